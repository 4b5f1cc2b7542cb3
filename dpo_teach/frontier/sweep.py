"""Run the sweep: train a policy with each method and evaluate it; results already on disk are not measured again."""

import random
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from dpo_teach.evaluation import (
    FrontierPoint,
    ReferenceSamples,
    ReviewScores,
    TooFewSamplesError,
    best_of_n_scores,
    draw_reference_samples,
    judge_reviews,
    optimum_scores,
)
from dpo_teach.frontier.labels import flip_labels, judge_by, relabel, reward_with_length
from dpo_teach.frontier.results import Result, Results, read_results
from dpo_teach.frontier.settings import METHODS, SweepConfig, SweepRun
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair, load_pairs
from dpo_teach.progress_bar import progress_bar
from dpo_teach.rlhf import (
    LearnedReward,
    PPOConfig,
    PPOTrainer,
    RewardModel,
    RewardModelConfig,
    evaluate_reward_model,
    train_reward_model,
    true_review_reward,
)
from dpo_teach.runs.checkpoint import save_pretrained
from dpo_teach.sampling import decode, sample_responses, sample_tokens
from dpo_teach.training import DPOConfig, DPOTrainer, Example, SFTConfig, SFTTrainer
from dpo_teach.training.online import OnlineDPOConfig, train_online_dpo

__all__ = ["SweepRunner", "sweep"]

OPENING = "On Friday our film club saw The Salt Orchard."


def sweep(output: Path, config: SweepConfig, *, progress: bool = True) -> Results:
    """Measure every run that is not in the file yet.

    Args:
        output: the results file; policies that later runs sample from are saved next to it, in a folder named after it.
        config: the settings of the sweep.
        progress: show a progress bar.

    Returns:
        All results, including those from earlier calls.

    Raises:
        ValueError: the file contains a sweep with other settings, or no sweep.
        OSError: the file cannot be written; this is checked before the first run.
    """
    results = read_results(output) if output.exists() else Results(config.as_dict())
    _check_settings(output, results, config)
    results.save(output)
    runner = SweepRunner(config, output.with_suffix(".policies"), results.made["reward_models"])
    done = {result.run for result in results.results}
    for run in progress_bar("sweep", config.runs(), requested=progress, unit="run"):
        if run in done:
            continue
        try:
            results.results.append(runner.measure(run))
        except TooFewSamplesError as error:
            print(f"{run.method} at {run.setting:g}: left out; {error}")
            continue
        results.save(output)
    return results


def _check_settings(output: Path, results: Results, config: SweepConfig) -> None:
    """Methods, seeds and betas may be added; with other settings changed, the points could not be compared."""
    free = {"methods", "seeds", "betas"}
    changed = [f"{name} was {results.config.get(name)!r}, found {value!r}" for name, value in config.as_dict().items()
               if name not in free and results.config.get(name) != value]  # fmt: skip
    if changed:
        raise ValueError(f"{output}: expected the settings that the sweep was started with: {'; '.join(changed)}")
    results.config = {**results.config, **{name: value for name, value in config.as_dict().items() if name in free}}


@dataclass
class SweepRunner:
    """What the runs share: the starting model, the pairs, and everything that is computed only once.

    Args:
        config: the settings of the sweep.
        work: a folder for policies that later runs sample from.
        reward_accuracies: the accuracy of each seed's reward model, filled as they are trained.
    """

    config: SweepConfig
    work: Path
    reward_accuracies: dict[str, float] = field(default_factory=dict)
    _rewards: dict[int, LearnedReward] = field(default_factory=dict)

    @cached_property
    def start(self) -> Any:
        """The reference and its tokenizer."""
        return load_model("reviews-gpt2")

    @cached_property
    def pairs(self) -> list[PreferencePair]:
        """All training pairs."""
        return load_pairs("reviews-preferences", split="train")

    def pairs_of(self, run: SweepRun) -> list[PreferencePair]:
        """The pairs of a run, as many as its steps take; they depend on the seed and not on the method."""
        config, rng = self.config, random.Random(run.seed)
        pairs = rng.sample(self.pairs, self._steps(run) * config.batch_size)[: config.pairs]
        if config.length_bonus:
            pairs = relabel(pairs, lambda response: reward_with_length(response, config.length_bonus), rng)
        return flip_labels(pairs, config.flipped, rng)

    @cached_property
    def test_pairs(self) -> list[PreferencePair]:
        """Held-out pairs; policies are evaluated on their prompts."""
        return load_pairs("reviews-preferences", split="test")

    def measure(self, run: SweepRun) -> Result:
        """Do one run and evaluate it.

        Raises:
            TooFewSamplesError: there are too few samples to estimate the optimum at this β.
        """
        if METHODS[run.method].trainer == "samples":
            return Result(FrontierPoint(run.method, run.setting, self._limit(run), run.seed))
        policy, _ = load_model("reviews-gpt2")
        if METHODS[run.method].judge == "reward model":
            self.learned_reward(run.seed)  # trained once per seed; not part of the measured time
        started = time.perf_counter()
        drawn = self._train(policy, run)
        seconds = time.perf_counter() - started
        return self._evaluate(policy, run, gradient_steps=self._steps(run), samples_drawn=drawn, seconds=seconds)

    def _train(self, policy: Any, run: SweepRun) -> int:
        """Train a policy in place, and return the number of responses that were drawn for it."""
        method, tokenizer, steps = METHODS[run.method], self.start.tokenizer, self._steps(run)
        if method.trainer == "none":
            return 0
        shared: dict[str, Any] = {"learning_rate": self.config.learning_rate or method.rate, "seed": run.seed}
        pairs, size = self.pairs_of(run), self.config.batch_size
        plan: dict[str, Any] = {"batch_size": size, "epochs": -(-steps * size // len(pairs)), "max_steps": steps}
        if method.trainer == "sft":
            examples = [Example(pair.prompt, pair.chosen) for pair in pairs]
            SFTTrainer(policy, tokenizer, examples, SFTConfig(**plan, **shared)).train()
        elif method.trainer == "preference":
            varied: dict[str, Any] = {method.setting: run.setting}
            config = DPOConfig(**varied, **plan, **shared, **method.settings)
            DPOTrainer(policy, tokenizer, pairs, config).train()
        elif method.trainer == "ppo":
            return self._ppo(policy, run, [pair.prompt for pair in pairs], shared)
        elif method.trainer == "online":
            return self._online(policy, run, [pair.prompt for pair in pairs], shared)
        return 0

    def _ppo(self, policy: Any, run: SweepRun, prompts: list[str], shared: dict[str, Any]) -> int:
        config = PPOConfig(beta=run.setting, epochs=2, minibatch_size=self.config.batch_size,
                           iterations=self.config.iterations, rollouts=self.config.rollouts, **shared)  # fmt: skip
        by_model = METHODS[run.method].judge == "reward model"
        reward = self.learned_reward(run.seed) if by_model else true_review_reward
        PPOTrainer(policy, self.start.tokenizer, prompts, reward, config).train()
        if run.method == "ppo-true" and run.seed == self.config.seeds[0]:
            save_pretrained(self._proposal(run.setting), policy, self.start.tokenizer)
        return self.config.iterations * self.config.rollouts

    def _online(self, policy: Any, run: SweepRun, prompts: list[str], shared: dict[str, Any]) -> int:
        method = METHODS[run.method]
        rounds = method.settings["rounds"]
        if method.judge == "reward model":
            judge = judge_by(self.learned_reward(run.seed))
        else:
            judge = judge_by(true_review_reward, random.Random(run.seed))
        config = OnlineDPOConfig(beta=run.setting, rounds=rounds, pairs=len(prompts) // rounds,
                                 batch_size=self.config.batch_size, **shared)  # fmt: skip
        train_online_dpo(policy, self.start.tokenizer, prompts, judge, config)
        return 2 * config.rounds * config.pairs

    def _steps(self, run: SweepRun) -> int:
        return round(METHODS[run.method].length * self.config.steps)

    def learned_reward(self, seed: int) -> LearnedReward:
        """The reward model of one seed, trained on first use: three passes over the pairs of DPO."""
        if seed not in self._rewards:
            model = RewardModel(load_model("reviews-gpt2").model)
            config = RewardModelConfig(seed=seed, epochs=3, batch_size=self.config.batch_size)
            train_reward_model(model, self.start.tokenizer, self.pairs_of(SweepRun("dpo", 0.0, seed)), config)
            scores = evaluate_reward_model(model, self.start.tokenizer, self.test_pairs)
            self.reward_accuracies[str(seed)] = round(scores.accuracy, 4)
            self._rewards[seed] = LearnedReward(model, self.start.tokenizer)
        return self._rewards[seed]

    def _evaluate(self, policy: Any, run: SweepRun, **cost: Any) -> Result:
        reference, tokenizer = self.start
        prompts = [pair.prompt for pair in self.test_pairs][: self.config.evaluation_samples]
        samples = sample_tokens(policy, tokenizer, prompts, seed=run.seed)
        scores = judge_reviews(policy, reference, tokenizer, samples)
        learned = None
        if METHODS[run.method].judge == "reward model":
            learned = fmean(self.learned_reward(run.seed)(prompts, decode(samples, tokenizer)))
        texts = tuple(sample_responses(policy, tokenizer, [OPENING] * 3, seed=1))
        return Result(FrontierPoint(run.method, run.setting, scores, run.seed), learned_reward=learned, texts=texts,
                      **cost)  # fmt: skip

    def _limit(self, run: SweepRun) -> ReviewScores:
        if run.method == "best-of-n":
            return best_of_n_scores(self.reference_samples, int(run.setting))
        return optimum_scores(self.mixture_samples.pooled(), run.setting)

    @cached_property
    def reference_samples(self) -> ReferenceSamples:
        """Responses of the reference only, several per prompt."""
        return self._draw(())

    @cached_property
    def mixture_samples(self) -> ReferenceSamples:
        """Responses of the reference and of the policies that PPO trained on the true reward."""
        folders = [self._proposal(beta) for beta in self.config.betas]
        return self._draw([load_model(folder).model for folder in folders if folder.is_dir()])

    def _draw(self, proposals: Any) -> ReferenceSamples:
        prompts = [pair.prompt for pair in self.test_pairs][: self.config.limit_prompts]
        count = self.config.limit_samples * (1 + len(proposals))
        return draw_reference_samples(self.start.model, self.start.tokenizer, prompts, count, proposals=proposals)

    def _proposal(self, beta: float) -> Path:
        return self.work / f"ppo-true-{beta:g}"

"""Run the sweep: train a policy with each method and evaluate it; results already on disk are not measured again."""

import time
from collections.abc import Callable
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
from dpo_teach.frontier.results import Result, Results, read_results
from dpo_teach.frontier.settings import TRAINING_PAIRS, SweepConfig, SweepRun
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
    """Seeds, betas and n may be added; all other settings must stay the same, or the points could not be compared."""
    free = {"seeds", "betas", "best_of", "optimum_betas"}
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
        """The pairs that all methods train on."""
        return load_pairs("reviews-preferences", split="train")[:TRAINING_PAIRS]

    @cached_property
    def test_pairs(self) -> list[PreferencePair]:
        """Held-out pairs; policies are evaluated on their prompts."""
        return load_pairs("reviews-preferences", split="test")

    def measure(self, run: SweepRun) -> Result:
        """Do one run and evaluate it.

        Raises:
            TooFewSamplesError: there are too few samples to estimate the optimum at this β.
        """
        if run.method in ("best-of-n", "optimum"):
            return Result(FrontierPoint(run.method, run.setting, self._limit(run), run.seed))
        policy, _ = load_model("reviews-gpt2")
        if run.method == "ppo-learned":
            self.learned_reward(run.seed)  # trained once per seed; not part of the measured time
        started = time.perf_counter()
        steps, drawn = self._trainers()[run.method](policy, run)
        seconds = time.perf_counter() - started
        return self._evaluate(policy, run, gradient_steps=steps, samples_drawn=drawn, seconds=seconds)

    def _trainers(self) -> dict[str, Callable[[Any, SweepRun], tuple[int, int]]]:
        """By method, a function that trains a policy in place and returns its gradient steps and drawn responses."""
        return {
            "reference": lambda policy, run: (0, 0),
            "sft": self._sft,
            "dpo": self._dpo,
            "ppo-learned": lambda policy, run: self._ppo(policy, run, self.learned_reward(run.seed)),
            "ppo-true": lambda policy, run: self._ppo(policy, run, true_review_reward),
        }

    def _sft(self, policy: Any, run: SweepRun) -> tuple[int, int]:
        config = SFTConfig(**self._supervised(run))
        examples = [Example(pair.prompt, pair.chosen) for pair in self.pairs]
        return len(SFTTrainer(policy, self.start.tokenizer, examples, config).train()), 0

    def _dpo(self, policy: Any, run: SweepRun) -> tuple[int, int]:
        config = DPOConfig(beta=run.setting, **self._supervised(run))
        return len(DPOTrainer(policy, self.start.tokenizer, self.pairs, config).train()), 0

    def _supervised(self, run: SweepRun) -> dict[str, Any]:
        epochs = -(-self.config.steps * 32 // len(self.pairs))
        return {"learning_rate": self.config.learning_rate, "epochs": epochs, "max_steps": self.config.steps,
                "batch_size": 32, "seed": run.seed}  # fmt: skip

    def _ppo(self, policy: Any, run: SweepRun, reward: Any) -> tuple[int, int]:
        config = PPOConfig(beta=run.setting, learning_rate=self.config.learning_rate, epochs=2, minibatch_size=32,
                           iterations=self.config.iterations, rollouts=self.config.rollouts,
                           seed=run.seed)  # fmt: skip
        prompts = [pair.prompt for pair in self.pairs]
        PPOTrainer(policy, self.start.tokenizer, prompts, reward, config).train()
        if run.method == "ppo-true" and run.seed == self.config.seeds[0]:
            save_pretrained(self._proposal(run.setting), policy, self.start.tokenizer)
        return self.config.steps, self.config.iterations * self.config.rollouts

    def learned_reward(self, seed: int) -> LearnedReward:
        """The reward model of one seed, trained on first use."""
        if seed not in self._rewards:
            model = RewardModel(load_model("reviews-gpt2").model)
            train_reward_model(model, self.start.tokenizer, self.pairs, RewardModelConfig(seed=seed))
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
        if run.method == "ppo-learned":
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

"""Run the sweep: each method trains a policy, which is then evaluated; results on the disk are not measured again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm.auto import tqdm

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
from dpo_teach.frontier.settings import SweepConfig, SweepRun
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair, load_pairs
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
    """Measure every run that the file does not have yet.

    Args:
        output: the results file; policies that later runs draw from go into a folder of its name beside it.
        config: what is swept.
        progress: show a progress bar.

    Returns:
        All results, those from before among them.

    Raises:
        ValueError: the file holds a sweep of other settings, or no sweep at all.
        OSError: the file cannot be written, which is found out before the first run.
    """
    results = read_results(output) if output.exists() else Results(config.as_dict())
    _check_settings(output, results, config)
    results.save(output)
    runner = SweepRunner(config, output.with_suffix(".policies"), results.made["reward_models"])
    done = {result.run for result in results.results}
    for run in tqdm(config.runs(), disable=not progress, unit="run"):
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
    """Seeds, betas and n may be added to; everything else must be as it was, or the points could not be compared."""
    free = {"seeds", "betas", "best_of", "optimum_betas"}
    changed = [f"{name} was {results.config.get(name)!r}, is {value!r}" for name, value in config.as_dict().items()
               if name not in free and results.config.get(name) != value]  # fmt: skip
    if changed:
        raise ValueError(f"{output}: this sweep was started with other settings: {'; '.join(changed)}")
    results.config = {**results.config, **{name: value for name, value in config.as_dict().items() if name in free}}


@dataclass
class SweepRunner:
    """Everything that the runs share: the start, the pairs, and what is worth computing once.

    Args:
        config: what is swept.
        work: a folder for policies that later runs draw from.
        reward_accuracies: by seed, filled as reward models are trained.
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
        """The pairs that everybody learns from."""
        return load_pairs("reviews-preferences", split="train")

    @cached_property
    def test_pairs(self) -> list[PreferencePair]:
        """Pairs that nobody has seen; policies are judged on their prompts."""
        return load_pairs("reviews-preferences", split="test")

    def measure(self, run: SweepRun) -> Result:
        """Do one run and judge it.

        Raises:
            TooFewSamplesError: the optimum is wanted at a β that the samples know too little of.
        """
        if run.method in ("best-of-n", "optimum"):
            return Result(FrontierPoint(run.method, run.setting, self._limit(run), run.seed))
        policy, _ = load_model("reviews-gpt2")
        if run.method == "ppo-learned":
            self.learned_reward(run.seed)  # trained once for a seed, and not counted among its seconds
        started = time.perf_counter()
        steps, drawn = self._trainers()[run.method](policy, run)
        seconds = time.perf_counter() - started
        return self._judge(policy, run, gradient_steps=steps, samples_drawn=drawn, seconds=seconds)

    def _trainers(self) -> dict[str, Callable[[Any, SweepRun], tuple[int, int]]]:
        """By method, what trains a policy in place and tells its gradient steps and the responses that it drew."""
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
        """The reward model of one seed, trained when it is first asked for."""
        if seed not in self._rewards:
            model = RewardModel(load_model("reviews-gpt2").model)
            train_reward_model(model, self.start.tokenizer, self.pairs, RewardModelConfig(seed=seed))
            scores = evaluate_reward_model(model, self.start.tokenizer, self.test_pairs)
            self.reward_accuracies[str(seed)] = round(scores.accuracy, 4)
            self._rewards[seed] = LearnedReward(model, self.start.tokenizer)
        return self._rewards[seed]

    def _judge(self, policy: Any, run: SweepRun, **cost: Any) -> Result:
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
        """Responses of the reference alone, several to each prompt."""
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

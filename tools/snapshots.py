"""Record policies during and after training, for notebooks 02 to 04: `make snapshots`, three hours on two cores.

Five questions, each with three seeds. What happens when DPO with a large β continues for ten epochs? And PPO? What do β
and the learning rate each change in a run of DPO of 96 steps? What happens when PPO exploits a reward model that was
fitted to only 128 comparisons? What do more pairs buy, and labels without errors? Runs that are in the file already are
not repeated.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, get_args

from dpo_teach.evaluation import evaluate_pairs, judge_reviews, score_samples
from dpo_teach.frontier.settings import TRAINING_PAIRS
from dpo_teach.frontier.snapshots import Snapshot, Training, read_snapshots
from dpo_teach.models import ASSETS, freeze_reference, load_model
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
)
from dpo_teach.sampling import decode, sample_tokens
from dpo_teach.training import DPOConfig, DPOTrainer

__all__ = ["RUNS", "Run", "choose_pairs", "record"]

OUTPUT = ASSETS / "runs" / "snapshots.jsonl"
SAMPLE_SEEDS = range(100, 104)
"""Seeds of the reference's responses by which KL(π_ref ‖ π) is estimated; evaluations draw with the run's own seed."""

STEPS_PER_ITERATION = 8
"""Of PPO, in both settings below: 128 responses used twice or 64 used four times, 32 in a step."""

PPO_SETTINGS: dict[str, tuple[int | None, dict[str, Any], dict[str, Any]]] = {
    "ppo": (None, {"epochs": 3}, {"rollouts": 128, "epochs": 2}),
    "ppo-128": (128, {"epochs": 8}, {"rollouts": 64, "epochs": 4, "max_new_tokens": 48}),
}
"""By method: how many pairs the reward model is fitted to (other ones for each seed), its settings, and PPO's."""


class Run(NamedTuple):
    """One run, and the steps after which its policy is evaluated; the last one ends the run."""

    method: Training
    beta: float
    learning_rate: float
    seed: int
    evaluated_at: tuple[int, ...]
    pairs: int = TRAINING_PAIRS
    flipped: float = 0.0
    """The share of the pairs whose label is wrong on purpose, in addition to the annotator's own errors."""


VARIED = [*((pairs, 0.0) for pairs in (256, 1_024, 4_096, 16_384)), *((4_096, share) for share in (0.1, 0.25, 0.4))]
VARIED_BATCH, VARIED_STEPS = 64, 256
RUNS = [
    run
    for seed in (0, 1, 2)
    for run in (
        Run("dpo", 1.0, 5e-4, seed, (32, 64, 96, 160, 240, 320, 480, 640)),
        *(Run("dpo", beta, rate, seed, (96,)) for beta in (0.05, 0.3, 1.0) for rate in (1e-4, 2e-4, 5e-4, 1e-3)),
        *(Run("ppo-128", beta, 1e-3, seed, (0, 96)) for beta in (0.0, 0.2)),
        Run("ppo", 1.0, 5e-4, seed, (160, 320, 480, 640)),
        *(Run("dpo-pairs", 0.3, 5e-4, seed, (VARIED_STEPS,), *varied) for varied in VARIED),
    )
]


def choose_pairs(train: list[PreferencePair], run: Run) -> list[PreferencePair]:
    """The pairs of a run. For "dpo-pairs", the seed chooses them, and which labels are flipped."""
    if run.method != "dpo-pairs":
        return train[: run.pairs]
    rng = random.Random(run.seed)
    pairs = rng.sample(train, run.pairs)
    for i in rng.sample(range(run.pairs), round(run.flipped * run.pairs)):
        pairs[i] = replace(pairs[i], chosen=pairs[i].rejected, rejected=pairs[i].chosen)
    return pairs


class Recorder:
    """What the runs share: the reference, the pairs, and the reference's responses."""

    def __init__(self) -> None:
        start, self.tokenizer = load_model("reviews-gpt2")
        self.reference = freeze_reference(start)
        self.train, self.test = (load_pairs("reviews-preferences", split=split) for split in ("train", "test"))
        self.prompts = [pair.prompt for pair in self.test]
        self.drawn = [one for seed in SAMPLE_SEEDS
                      for one in sample_tokens(self.reference, self.tokenizer, self.prompts, seed=seed)]  # fmt: skip
        self.drawn_logps = score_samples(self.reference, self.drawn, self.tokenizer.pad_token_id)

    def measure(self, run: Run) -> list[Snapshot]:
        """Train a policy, and evaluate it after the requested steps."""
        policy, _ = load_model("reviews-gpt2")
        found: list[Snapshot] = []
        pairs = choose_pairs(self.train, run)
        reward = self._fit_reward(run, pairs) if run.method != "dpo" else None

        def on_step(step: int) -> None:
            if step in run.evaluated_at:
                found.append(self._evaluate(policy, run, step, reward))

        on_step(0)
        if reward is not None and run.method in PPO_SETTINGS:
            self._ppo(policy, run, pairs, reward, on_step)
        else:
            self._dpo(policy, run, pairs, on_step)
        return found

    def _dpo(self, policy: Any, run: Run, pairs: list[PreferencePair], on_step: Callable[[int], None]) -> None:
        steps, size = run.evaluated_at[-1], VARIED_BATCH if run.method == "dpo-pairs" else 32
        config = DPOConfig(beta=run.beta, learning_rate=run.learning_rate, seed=run.seed, max_steps=steps,
                           batch_size=size, epochs=-(-steps * size // len(pairs)))  # fmt: skip
        DPOTrainer(policy, self.tokenizer, pairs, config, on_step=lambda row: on_step(row["step"])).train()

    def _ppo(
        self, policy: Any, run: Run, pairs: list[PreferencePair], reward: LearnedReward, on_step: Callable[[int], None]
    ) -> None:
        config = PPOConfig(beta=run.beta, learning_rate=run.learning_rate, seed=run.seed,
                           iterations=run.evaluated_at[-1] // STEPS_PER_ITERATION,
                           **PPO_SETTINGS[run.method][2])  # fmt: skip
        prompts = [pair.prompt for pair in pairs]
        PPOTrainer(policy, self.tokenizer, prompts, reward, config,
                   on_iteration=lambda row: on_step(int(row["iteration"]) * STEPS_PER_ITERATION)).train()  # fmt: skip

    def _fit_reward(self, run: Run, pairs: list[PreferencePair]) -> LearnedReward:
        if run.method == "dpo-pairs":  # as many steps as DPO
            settings = {"batch_size": VARIED_BATCH, "epochs": VARIED_STEPS * VARIED_BATCH // run.pairs}
        else:
            count, settings, _ = PPO_SETTINGS[run.method]
            pairs = pairs if count is None else pairs[run.seed * count : (run.seed + 1) * count]
        model = RewardModel(load_model("reviews-gpt2").model)
        train_reward_model(model, self.tokenizer, pairs, RewardModelConfig(seed=run.seed, **settings))
        return LearnedReward(model, self.tokenizer)

    def _evaluate(self, policy: Any, run: Run, step: int, reward: LearnedReward | None) -> Snapshot:
        log_ratios = self.drawn_logps - score_samples(policy, self.drawn, self.tokenizer.pad_token_id)
        samples = sample_tokens(policy, self.tokenizer, self.prompts, seed=run.seed)
        learned, accuracy = None, None
        if reward is not None:
            learned = fmean(reward(self.prompts, decode(samples, self.tokenizer)))
            accuracy = evaluate_reward_model(reward.model, self.tokenizer, self.test).accuracy
        return Snapshot(
            run.method, run.beta, run.learning_rate, run.seed, run.evaluated_at[-1], step,
            pairs=evaluate_pairs(policy, self.reference, self.tokenizer, self.test,
                                 beta=run.beta or 1.0),  # at β = 0 every margin would be 0
            reviews=judge_reviews(policy, self.reference, self.tokenizer, samples),
            reference_kl=log_ratios.mean().item(),
            reference_kl_error=log_ratios.std().item() / len(self.drawn) ** 0.5,
            learned_reward=learned, reward_accuracy=accuracy, trained_on=run.pairs, flipped=run.flipped,
        )  # fmt: skip


def record(output: Path = OUTPUT, runs: list[Run] = RUNS) -> None:
    """Do the runs that the file lacks, and add a line for each evaluation. An interrupted call can be repeated."""
    methods: tuple[Training, ...] = get_args(Training) if output.exists() else ()
    found = [one for method in methods for one in read_snapshots(method, output)]
    done = {(one.method, one.beta, one.learning_rate, one.seed, one.steps, one.trained_on, one.flipped)
            for one in found}  # fmt: skip
    missing = [run for run in runs if (*run[:4], run.evaluated_at[-1], *run[5:]) not in done]
    if not missing:
        return
    recorder = Recorder()
    for run in progress_bar("snapshots", missing, requested=True, unit="run"):
        snapshots = recorder.measure(run)
        with output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(snapshot.as_dict()) + "\n" for snapshot in snapshots)

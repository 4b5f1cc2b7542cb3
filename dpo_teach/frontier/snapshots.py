"""Policies during and after runs of DPO and PPO, evaluated: recorded by `make snapshots`, shown in the notebooks."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from dpo_teach.evaluation import PairScores, ReviewScores, standard_error
from dpo_teach.frontier.settings import TRAINING_PAIRS

__all__ = ["Means", "Snapshot", "mean_and_error", "means_by_setting", "read_snapshots"]

Training = Literal["dpo", "ppo", "ppo-128", "dpo-pairs"]
"""DPO; PPO on a reward model fitted to all pairs; PPO on one fitted to 128 of them, which is easy to exploit; DPO and a
reward model on the same pairs, whose number and labels vary."""


Means = dict[tuple[int, float], dict[str, tuple[float, float]]]
"""By number of pairs and share of flipped labels: the mean over seeds of each measure, with its standard error."""


@dataclass(frozen=True)
class Snapshot:
    """A policy after some steps of one run in the reviews world.

    Args:
        method: how it was trained.
        beta: the run's β.
        learning_rate: its peak learning rate.
        seed: decides the order of the pairs, and the samples.
        steps: the length of the run.
        step: the step after which the policy was evaluated.
        pairs: its scores on 512 held-out pairs.
        reviews: the scores of its new responses to their prompts.
        reference_kl: KL(π_ref ‖ π), estimated from 2,048 responses of the reference to the same prompts, nats.
        reference_kl_error: its standard error.
        learned_reward: the mean learned reward of the new responses, if there is a reward model.
        reward_accuracy: the accuracy of the reward model on the held-out pairs.
        trained_on: the number of pairs.
        flipped: the share of them whose label was flipped on purpose.
    """

    method: Training
    beta: float
    learning_rate: float
    seed: int
    steps: int
    step: int
    pairs: PairScores
    reviews: ReviewScores
    reference_kl: float
    reference_kl_error: float
    learned_reward: float | None = None
    reward_accuracy: float | None = None
    trained_on: int = TRAINING_PAIRS
    flipped: float = 0.0

    @property
    def mean_log_ratio(self) -> float:
        """The mean of the chosen and the rejected responses' log-ratio on held-out pairs, nats."""
        return (self.pairs.chosen_log_ratio + self.pairs.rejected_log_ratio) / 2

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Snapshot":
        """Undo `as_dict`."""
        return cls(**{**row, "pairs": PairScores(**row["pairs"]), "reviews": ReviewScores(**row["reviews"])})


def read_snapshots(method: Training = "dpo", path: Path | None = None) -> list[Snapshot]:
    """The snapshots of one method in a file, one JSON object per line; without a path, in the bundled one.

    >>> {snapshot.seed for snapshot in read_snapshots("ppo")}
    {0, 1, 2}
    """
    file = files("dpo_teach") / "assets" / "runs" / "snapshots.jsonl" if path is None else path
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [Snapshot.from_dict(row) for row in rows if row["method"] == method]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean of one value per seed, and its standard error.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    """
    return mean(values), standard_error(values)


_MEASURES: dict[str, Callable[[Snapshot], float]] = {
    "accuracy": lambda one: one.pairs.preference_accuracy,
    "reward model": lambda one: one.reward_accuracy or 0.0,
    "true reward": lambda one: one.reviews.true_reward,
    "KL": lambda one: one.reviews.kl,
    "fluency": lambda one: one.reviews.fluency,
}


def means_by_setting(snapshots: Sequence[Snapshot]) -> Means:
    """The means over the seeds of each setting: held-out accuracy of DPO and of the reward model, reward, KL, fluency.

    Args:
        snapshots: the last ones of runs that differ in their number of pairs, in the share of flipped labels, and in
            their seeds.

    >>> means_by_setting(read_snapshots("dpo-pairs"))[4_096, 0.25]["reward model"]  # doctest: +ELLIPSIS
    (0.63..., 0.02...)
    """
    settings = sorted({(one.trained_on, one.flipped) for one in snapshots})
    return {
        setting: {
            name: mean_and_error([value(one) for one in snapshots if (one.trained_on, one.flipped) == setting])
            for name, value in _MEASURES.items()
        }
        for setting in settings
    }

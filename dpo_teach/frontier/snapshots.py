"""Policies during and after runs of DPO, evaluated: recorded by `make snapshots`, read by notebooks 03 and 04."""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from dpo_teach.evaluation import PairScores, ReviewScores

__all__ = ["Snapshot", "read_snapshots"]


@dataclass(frozen=True)
class Snapshot:
    """A policy after some steps of one run of DPO in the reviews world.

    Args:
        beta: the run's β.
        learning_rate: its peak learning rate.
        seed: decides the order of the pairs, and the samples.
        steps: the length of the run.
        step: the step after which the policy was evaluated.
        pairs: its scores on 512 held-out pairs.
        reviews: the scores of its new responses to their prompts.
        reference_kl: KL(π_ref ‖ π), estimated from 2,048 responses of the reference to the same prompts, nats.
        reference_kl_error: its standard error.
    """

    beta: float
    learning_rate: float
    seed: int
    steps: int
    step: int
    pairs: PairScores
    reviews: ReviewScores
    reference_kl: float
    reference_kl_error: float

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


def read_snapshots(path: Path | None = None) -> list[Snapshot]:
    """The snapshots in a file, one JSON object per line; without a path, the bundled ones.

    >>> {snapshot.seed for snapshot in read_snapshots()}
    {0, 1, 2}
    """
    file = files("dpo_teach") / "assets" / "runs" / "snapshots.jsonl" if path is None else path
    return [Snapshot.from_dict(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]

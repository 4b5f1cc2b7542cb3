"""The recorded runs of the clinic: one JSON line each, with one list of numbers per metric."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from dpo_teach.clinic.recipe import Row
from dpo_teach.runs.atomic_io import atomic_write

__all__ = ["HEALTHY", "Recording", "read_recordings", "write_recordings"]

HEALTHY = "healthy"
_BUNDLED = files("dpo_teach") / "assets" / "clinic" / "runs.jsonl"
_KEPT = ("loss", "preference_accuracy", "chosen_logps", "rejected_logps", "chosen_rewards", "rejected_rewards")
_COLUMNS = (*_KEPT, "grad_norm", *(f"eval_{name}" for name in _KEPT))
_HEAD = ("fault", "beta", "learning_rate", "seed")
_DIGITS = 4


@dataclass(frozen=True)
class Recording:
    """The metrics of one run.

    Args:
        fault: its fault, a name of `FAULTS`, or "healthy".
        beta: β of the healthy run.
        learning_rate: peak rate of the healthy run.
        seed: of pairs and order.
        rows: one row of metrics per step, as in `metrics.jsonl`.
    """

    fault: str
    beta: float
    learning_rate: float
    seed: int
    rows: list[Row]

    @property
    def key(self) -> tuple[str, float, float, int]:
        """What tells runs apart."""
        return self.fault, self.beta, self.learning_rate, self.seed


def read_recordings(path: Path | None = None) -> list[Recording]:
    """Read recorded runs; by default those that the package ships."""
    lines = (path or _BUNDLED).read_text(encoding="utf-8").splitlines()
    return [_from_columns(json.loads(line)) for line in lines]


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recorded runs, rounded to four digits, without the margin: it is the difference of two rewards."""
    atomic_write(path, "".join(json.dumps(_as_columns(one)) + "\n" for one in recordings))


def _as_columns(recording: Recording) -> dict[str, Any]:
    head = {name: getattr(recording, name) for name in _HEAD}
    evaluated = [int(row["step"]) for row in recording.rows if "eval_loss" in row]
    columns = {name: [_round(row[name]) for row in recording.rows if name in row] for name in _COLUMNS}
    return {**head, "evaluated": evaluated, **columns}


def _from_columns(line: dict[str, Any]) -> Recording:
    rows: list[Row] = [{"step": step} for step in range(1, len(line["loss"]) + 1)]
    for name in _COLUMNS:
        steps = line["evaluated"] if name.startswith("eval_") else range(1, len(rows) + 1)
        for step, value in zip(steps, line[name], strict=True):
            rows[step - 1][name] = value
    for row in rows:
        for prefix in ("", "eval_"):
            if f"{prefix}chosen_rewards" in row:
                row[f"{prefix}margin"] = row[f"{prefix}chosen_rewards"] - row[f"{prefix}rejected_rewards"]
    return Recording(**{name: line[name] for name in _HEAD}, rows=rows)


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value

"""The results file of a sweep. It is small and rewritten after every run, so a sweep can be interrupted at any time."""

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from dpo_teach.evaluation import FrontierPoint
from dpo_teach.frontier.settings import SweepRun
from dpo_teach.runs.atomic_io import atomic_write

__all__ = ["Result", "Results", "read_results"]

_VERSIONS = ("dpo_teach", "torch", "transformers")


@dataclass(frozen=True)
class Result:
    """One point of the frontier, its cost, and a few of its texts.

    Args:
        point: true reward, KL, fluency and length, each with its standard error.
        gradient_steps: gradient steps of the policy.
        samples_drawn: responses drawn during training.
        seconds: training time on the machine named in the results, without the time to train a reward model.
        learned_reward: the mean learned reward of the fresh responses, if a reward model was trained.
        texts: a few responses to the same opening.
    """

    point: FrontierPoint
    gradient_steps: int = 0
    samples_drawn: int = 0
    seconds: float = 0.0
    learned_reward: float | None = None
    texts: tuple[str, ...] = ()

    @property
    def run(self) -> SweepRun:
        """The run that produced this result."""
        return SweepRun(self.point.method, self.point.setting, self.point.seed)

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        own = {name: getattr(self, name) for name in ("gradient_steps", "samples_drawn", "learned_reward")}
        return {**self.point.as_dict(), **own, "seconds": round(self.seconds, 1), "texts": list(self.texts)}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Result":
        """The inverse of `as_dict`."""
        own = {name: row[name] for name in ("gradient_steps", "samples_drawn", "learned_reward", "seconds")}
        rest = {name: value for name, value in row.items() if name not in {*own, "texts"}}
        return cls(FrontierPoint.from_dict(rest), **own, texts=tuple(row["texts"]))


@dataclass
class Results:
    """The results of a sweep so far.

    Args:
        config: the sweep's settings, as JSON.
        made: when and how the sweep was run: date, versions, cores, and the accuracy of each seed's reward model.
        results: the finished runs.
    """

    config: dict[str, Any]
    made: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.made:
            self.made = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(),
                         "python": platform.python_version(), **{name: version(name) for name in _VERSIONS},
                         "reward_models": {}}  # fmt: skip

    def of(self, *methods: str) -> list[Result]:
        """The results of some methods, in the order in which they were run."""
        return [result for result in self.results if result.point.method in methods]

    def save(self, path: Path) -> None:
        """Write all results to the file atomically: if the process is killed while writing, the old file remains."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n".join("  " + json.dumps(result.as_dict(), ensure_ascii=False) for result in self.results)
        head = f'"config": {json.dumps(self.config)},\n "made": {json.dumps(self.made)}'
        atomic_write(path, f'{{{head},\n "results": [\n{rows}\n]}}\n')


def read_results(source: Path | str = "frontier") -> Results:
    """Read the results of a sweep.

    Args:
        source: a results file, or the name of a sweep that the package ships (see `SWEEPS`).

    Raises:
        ValueError: the file does not contain the results of a sweep.
    """
    path = files("dpo_teach") / "assets" / "frontier" / f"{source}.json" if isinstance(source, str) else source
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Results(found["config"], found["made"], [Result.from_dict(row) for row in found["results"]])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the results of a sweep, found other content ({type(error).__name__}: {error})"
        ) from error

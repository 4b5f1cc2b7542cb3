"""What a sweep found: a small file, rewritten whole after every run, so that a sweep can be stopped at any moment."""

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
    """One point of the frontier, what it cost, and what it writes.

    Args:
        point: true reward, KL, fluency and length, each with its standard error.
        gradient_steps: of the policy.
        samples_drawn: responses that training drew.
        seconds: of training, on the machine that the results name; a reward model's own are not among them.
        learned_reward: the mean learned reward of the fresh responses, where a reward model was trained.
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
        """Which run it was."""
        return SweepRun(self.point.method, self.point.setting, self.point.seed)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        own = {name: getattr(self, name) for name in ("gradient_steps", "samples_drawn", "learned_reward")}
        return {**self.point.as_dict(), **own, "seconds": round(self.seconds, 1), "texts": list(self.texts)}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Result":
        """Undo `as_dict`."""
        own = {name: row[name] for name in ("gradient_steps", "samples_drawn", "learned_reward", "seconds")}
        rest = {name: value for name, value in row.items() if name not in {*own, "texts"}}
        return cls(FrontierPoint.from_dict(rest), **own, texts=tuple(row["texts"]))


@dataclass
class Results:
    """All that a sweep has found so far.

    Args:
        config: the sweep's settings, as JSON.
        made: when and with what: date, versions, cores, and the reward models' accuracies by seed.
        results: the runs that are done.
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
        """Replace the file by one with all results; killed in between, the old file is left."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n".join("  " + json.dumps(result.as_dict(), ensure_ascii=False) for result in self.results)
        head = f'"config": {json.dumps(self.config)},\n "made": {json.dumps(self.made)}'
        atomic_write(path, f'{{{head},\n "results": [\n{rows}\n]}}\n')


def read_results(path: Path | None = None) -> Results:
    """The results of a sweep, or, without a path, those that come with the package.

    Raises:
        ValueError: the file is not one that a sweep has written.
    """
    source = files("dpo_teach") / "assets" / "frontier" / "results.json" if path is None else path
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
        return Results(found["config"], found["made"], [Result.from_dict(row) for row in found["results"]])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{source}: not the results of a sweep ({type(error).__name__}: {error})") from error

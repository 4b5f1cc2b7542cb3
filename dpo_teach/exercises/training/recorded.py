"""The five recorded runs of "find what is wrong with the run"."""

import json
from importlib.resources import files
from typing import Any

__all__ = ["recorded_runs"]


def recorded_runs() -> dict[str, list[dict[str, Any]]]:
    """The metrics of each run, a row for each step, by the run's letter; made by `make example-runs`.

    >>> list(recorded_runs())
    ['A', 'B', 'C', 'D', 'E']
    """
    folder = files("dpo_teach") / "assets" / "runs"
    return {
        label: [json.loads(line) for line in (folder / f"{label}.jsonl").read_text(encoding="utf-8").splitlines()]
        for label in "ABCDE"
    }

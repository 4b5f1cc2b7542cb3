"""Read the metrics of a run: a `metrics.jsonl` of this package, or the log history of TRL."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpo_teach.runs.folder import METRICS

__all__ = ["History", "history_from_rows", "read_history"]

_TRL_STATE = "trainer_state.json"
_TRL_NAMES = {
    "rewards/chosen": "chosen_rewards",
    "rewards/rejected": "rejected_rewards",
    "rewards/margins": "margin",
    "rewards/accuracies": "preference_accuracy",
    "logps/chosen": "chosen_logps",
    "logps/rejected": "rejected_logps",
}
"""TRL's names of our metrics; with "eval_" in front, those of the held-out pairs."""
_NEEDED = ("loss", "margin")


@dataclass(frozen=True)
class History:
    """The metrics of a run, in the names of `metrics.jsonl`.

    Args:
        source: where they come from, for messages.
        rows: one row of numbers for each logged step, in order; metrics of held-out pairs begin with `eval_`.
    """

    source: str
    rows: tuple[Mapping[str, float], ...]

    def series(self, name: str) -> list[float]:
        """All values of one metric, in order, from the rows that have it."""
        return [row[name] for row in self.rows if name in row]

    @property
    def first_step(self) -> int:
        """The step of the first row; later than 1 if only every n-th step was logged."""
        return int(self.rows[0]["step"])


def read_history(source: Path | str) -> History:
    """Read the metrics of a run from a file or a folder.

    Args:
        source: a folder with `metrics.jsonl` (ours) or `trainer_state.json` (TRL's, also in its newest checkpoint);
            a `.jsonl` file with one row of metrics per line; or a `.json` file with a trainer state or a list of rows.

    Raises:
        ValueError: there is no such file, it is not JSON, or it does not have the metrics of a DPO run.
    """
    path = _find(Path(source))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected a text file, found {error}") from None
    if path.suffix == ".jsonl":
        rows = [_parse(line, f"{path}, line {number}") for number, line in enumerate(text.splitlines(), start=1)
                if line.strip()]  # fmt: skip
        return history_from_rows(rows, str(path))
    found = _parse(text, str(path))
    logged = found.get("log_history") if isinstance(found, dict) else found
    if not isinstance(logged, list):
        raise ValueError(f"{path}: expected TRL's 'log_history' or a list of rows, found {_describe(found)}")
    return history_from_rows(logged, str(path))


def history_from_rows(rows: Iterable[object], source: str = "the rows") -> History:
    """Bring rows of metrics into the names of `metrics.jsonl`, with one row per step.

    TRL writes the metrics of the held-out pairs into a row of their own, and a summary into the last one.

    Args:
        rows: of ours or of TRL's names; what is not a number is left out.
        source: where they come from, for messages.

    Raises:
        ValueError: a row is not an object with a step, or no row has the metrics of a DPO run.
    """
    by_step: dict[int, dict[str, float]] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping) or not _is_number(row.get("step")):
            raise ValueError(
                f"{source}, row {number}: expected an object with the number 'step', found {_describe(row)}"
            )
        numbers = {_rename(name): float(value) for name, value in row.items() if _is_number(value)}
        by_step.setdefault(int(row["step"]), {}).update(numbers)
    logged = tuple(row for _, row in sorted(by_step.items()) if "loss" in row or "eval_loss" in row)
    missing = [name for name in _NEEDED if not any(name in row for row in logged)]
    if missing:
        names = sorted({name for row in by_step.values() for name in row} - {"step"})
        raise ValueError(f"{source}: expected the metrics of a DPO run, among them {' and '.join(map(repr, missing))}, "
                         f"found {', '.join(names) or 'none'}")  # fmt: skip
    return History(source, logged)


def _find(path: Path) -> Path:
    """The file with the metrics: the path itself, or the one in a folder."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f"{path}: expected a run folder, a metrics.jsonl or a trainer_state.json, found nothing")
    checkpoints = sorted(path.glob(f"checkpoint-*/{_TRL_STATE}"), key=_number_of, reverse=True)
    candidates = [path / METRICS, path / _TRL_STATE, *checkpoints]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ValueError(f"{path}: expected {METRICS} or {_TRL_STATE} in this folder, found neither")


def _number_of(state: Path) -> int:
    return int("".join(re.findall(r"\d+", state.parent.name)) or 0)


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: expected JSON, found {error}") from None


def _rename(name: str) -> str:
    prefix = "eval_" if name.startswith("eval_") else ""
    return prefix + _TRL_NAMES.get(name.removeprefix(prefix), name.removeprefix(prefix))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _describe(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."

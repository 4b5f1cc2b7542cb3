"""A learner's progress: a file next to the notebooks, and a card that shows it.

An error in reading or writing the file never affects a check.
"""

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TypedDict

__all__ = ["FILE_NAME", "ProgressCard", "ProgressEntry", "ProgressRow", "progress", "record_check"]

FILE_NAME = ".dpo_teach_progress.json"

_SIGNS = {"solved": "✅", "tried": "✏️", "not yet": "·"}
_TIMES = {1: "once", 2: "twice"}


class ProgressEntry(TypedDict):
    """The record of one exercise: whether it is solved, and the number of checks until it was solved or so far."""

    solved: bool
    tries: int


class _InvalidFileError(Exception):
    """The file exists but is not a progress file."""


# The card


@dataclass(frozen=True)
class ProgressRow:
    """One exercise on a card.

    Args:
        title: its name, preceded by the notebook's number on a card of several notebooks.
        solved: whether it is solved.
        tries: the number of checks.
    """

    title: str
    solved: bool
    tries: int

    @property
    def state(self) -> str:
        """The state: "solved", "tried" or "not yet"."""
        return "solved" if self.solved else "tried" if self.tries else "not yet"

    def __str__(self) -> str:
        details = {"solved": "", "tried": f": tried {_TIMES.get(self.tries, f'{self.tries} times')}"}
        return f"{_SIGNS[self.state]} {self.title}{details.get(self.state, ': not yet')}"

    def to_html(self) -> str:
        """The row as HTML; its sign is hidden from screen readers, which read out the words instead."""
        sign, words = str(self).split(" ", 1)
        return f'<span aria-hidden="true">{sign}</span> {escape(f"{words}: solved" if self.solved else words)}'


@dataclass(frozen=True, repr=False)
class ProgressCard:
    """Which exercises are solved, tried or still to do, one per line."""

    rows: tuple[ProgressRow, ...]

    def __repr__(self) -> str:
        return "\n".join(map(str, self.rows))

    def _repr_html_(self) -> str:
        """A box in the colours of the notebook's theme."""
        items = "".join(f"<li>{row.to_html()}</li>" for row in self.rows)
        solved = sum(row.solved for row in self.rows)
        style = "display:inline-block;border:1px solid currentColor;border-radius:6px;padding:0.5em 1em"
        return (
            f'<div style="{style}"><strong>{solved} of {len(self.rows)} solved</strong>'
            f'<ul style="list-style:none;margin:0.25em 0 0;padding:0">{items}</ul></div>'
        )


def progress(notebook: str | None = None) -> ProgressCard:
    """The progress card of one notebook or of all notebooks.

    Args:
        notebook: number of the notebook, such as "03"; None for all notebooks.

    Returns:
        The card, for a notebook to display.

    Raises:
        ValueError: the notebook does not exist or has no exercises.
    """
    from dpo_teach.exercises import EXERCISES  # imported here, since the exercises import this module

    if notebook is not None and notebook not in EXERCISES:
        raise ValueError(f"notebook must be one of {', '.join(EXERCISES)}, found {notebook!r}")
    entries = _read_entries()
    rows = []
    for number in EXERCISES if notebook is None else [notebook]:
        for exercise in EXERCISES[number]:
            title = exercise.name if notebook else f"{number} {exercise.name}"
            entry = entries.get(exercise.answer_name, ProgressEntry(solved=False, tries=0))
            rows.append(ProgressRow(title, entry["solved"], entry["tries"]))
    return ProgressCard(tuple(rows))


# The file


def record_check(answer_name: str, status: str) -> None:
    """Count one check, unless the exercise was not attempted or is already solved.

    Args:
        answer_name: the answer name of the exercise.
        status: the status of the verdict.
    """
    path = _file_path()
    if path is None or status == "unattempted":
        return
    with contextlib.suppress(OSError):
        try:
            entries = _load(path)
        except _InvalidFileError:
            path.replace(_unused_backup_name(path))
            entries = {}
        before = entries.get(answer_name, ProgressEntry(solved=False, tries=0))
        if not before["solved"]:
            entries[answer_name] = ProgressEntry(solved=status == "solved", tries=before["tries"] + 1)
            _save(path, entries)


def _read_entries() -> dict[str, ProgressEntry]:
    """The recorded entries by answer name; empty without a readable file."""
    path = _file_path()
    if path is None:
        return {}
    try:
        return _load(path)
    except (OSError, _InvalidFileError):
        return {}


def _file_path() -> Path | None:
    """The path in the environment variable DPO_TEACH_PROGRESS, or the current folder's file; None for "off"."""
    setting = os.environ.get("DPO_TEACH_PROGRESS", "").strip()
    if setting.lower() == "off":
        return None
    return Path(setting or FILE_NAME).expanduser()


def _load(path: Path) -> dict[str, ProgressEntry]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["exercises"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _InvalidFileError from None
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        raise _InvalidFileError
    return entries


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("solved")) is bool and type(value.get("tries")) is int


def _save(path: Path, entries: dict[str, ProgressEntry]) -> None:
    """Write a temporary file and rename it, so that a reader sees either the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"exercises": entries}, file, indent=1, sort_keys=True)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _unused_backup_name(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}.broken-{number}{path.suffix}") for number in range(1, 1000))
    return next(name for name in names if not name.exists())

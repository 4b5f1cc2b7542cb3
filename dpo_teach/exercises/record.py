"""A learner's progress, kept in a file beside the notebooks. No trouble with that file ever troubles a check."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TypedDict

__all__ = ["FILE_NAME", "Entry", "note", "read"]

FILE_NAME = ".dpo_teach_progress.json"


class Entry(TypedDict):
    """What is known of one exercise: whether it is solved, and how many checks that took, or has taken so far."""

    solved: bool
    tries: int


class _BrokenError(Exception):
    """The file is there, and it is not one of ours."""


def note(answer_name: str, status: str) -> None:
    """Count one check; a solved exercise stays as it is, and one that was not attempted leaves no trace.

    Args:
        answer_name: which exercise.
        status: of the verdict.
    """
    path = _path()
    if path is None or status == "unattempted":
        return
    with contextlib.suppress(OSError):
        try:
            entries = _load(path)
        except _BrokenError:
            path.replace(_free_name(path))
            entries = {}
        before = entries.get(answer_name, Entry(solved=False, tries=0))
        if not before["solved"]:
            entries[answer_name] = Entry(solved=status == "solved", tries=before["tries"] + 1)
            _save(path, entries)


def read() -> dict[str, Entry]:
    """What has been noted, by the name of the answer; nothing where there is no file, or a broken one."""
    path = _path()
    if path is None:
        return {}
    try:
        return _load(path)
    except (OSError, _BrokenError):
        return {}


def _path() -> Path | None:
    """Where the environment variable DPO_TEACH_PROGRESS says, or in the current folder; None if that says "off"."""
    place = os.environ.get("DPO_TEACH_PROGRESS", "").strip()
    if place.lower() == "off":
        return None
    return Path(place or FILE_NAME).expanduser()


def _load(path: Path) -> dict[str, Entry]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["exercises"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _BrokenError from None
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        raise _BrokenError
    return entries


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("solved")) is bool and type(value.get("tries")) is int


def _save(path: Path, entries: dict[str, Entry]) -> None:
    """First under another name, and then in one go: whoever reads meanwhile finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"exercises": entries}, file, indent=1, sort_keys=True)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}.broken-{number}{path.suffix}") for number in range(1, 1000))
    return next(name for name in names if not name.exists())

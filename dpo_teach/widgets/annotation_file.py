"""Labels on the disk: one line of JSON each, there when it was given, and readable by `load_pairs`."""

import contextlib
import json
import os
from pathlib import Path

from dpo_teach.pairs import PairError, PreferencePair, survey_pairs
from dpo_teach.runs.atomic_io import sync

__all__ = ["LabelFile"]


class LabelFile:
    """A JSONL file of preference pairs that grows by one label at a time.

    `append` returns when the disk has the line; `drop_last` writes the rest beside the file and renames it. A process
    that is killed at any moment leaves the labels that were given.

    Args:
        path: ends in ".jsonl"; its folder is made with the first label. What it holds is read.

    Raises:
        PairError: the path ends otherwise, or a line of the file is no pair; the message names file and line.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix != ".jsonl":
            raise PairError(f"{self.path}: the ending {self.path.suffix!r} is not wanted for labels, but .jsonl")
        self.pairs = self._read()
        self._size = self._size_on_disk()

    def append(self, pair: PreferencePair) -> None:
        """Write one label at the end.

        Raises:
            PairError: somebody else changed the file.
            OSError: the disk is full or may not be written to; the file is as it was.
        """
        self._check_untouched()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        row = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line if self._ends_a_line() else b"\n" + line)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):  # half a line would break the file
                os.truncate(self.path, self._size)
            raise
        if self._size == 0:
            sync(self.path.parent)
        self._size = self._size_on_disk()
        self.pairs.append(pair)

    def drop_last(self) -> PreferencePair:
        """Take the last label out again; returns it.

        Raises:
            PairError: somebody else changed the file.
            IndexError: there is no label.
            OSError: the disk is full or may not be written to; the file is as it was.
        """
        self._check_untouched()
        lines = [line for line in self.path.read_bytes().split(b"\n") if line.strip()]
        scratch = self.path.with_name(self.path.name + ".tmp")
        scratch.write_bytes(b"".join(line + b"\n" for line in lines[:-1]))
        sync(scratch)
        scratch.replace(self.path)
        sync(self.path.parent)
        self._size = self._size_on_disk()
        return self.pairs.pop()

    def _read(self) -> list[PreferencePair]:
        if not self.path.exists() or not self.path.read_bytes().strip():
            return []
        survey = survey_pairs(self.path)
        if survey.problems:
            raise PairError(f"{survey.problems[0]}; mend or delete that line to go on with these labels")
        return survey.pairs

    def _ends_a_line(self) -> bool:
        """Whether the next label begins a line; a file that was edited by hand may end without a newline."""
        return self._size == 0 or self.path.read_bytes().endswith(b"\n")

    def _size_on_disk(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _check_untouched(self) -> None:
        size = self._size_on_disk()
        if size != self._size:
            raise PairError(f"{self.path}: has {size} bytes where {self._size} were left; somebody else changed it, "
                            "open it again to go on")  # fmt: skip

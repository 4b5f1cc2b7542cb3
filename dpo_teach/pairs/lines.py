"""The lines of a JSONL file as rows, parsed when they are asked for: a large file stays on the disk."""

import codecs
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from dpo_teach.pairs.pair import json_kind, quote

__all__ = ["JsonLines", "Row", "as_row", "without_repeats"]


@dataclass(frozen=True)
class Row:
    """One row as it was read: its cells by column, or why it has none."""

    number: int
    cells: Mapping[str, Any] | None
    trouble: str = ""


class JsonLines(Sequence[Row]):
    """The rows of a file with one JSON object on each line that is not blank.

    The file is mapped into memory: the system reads the part that is looked at, and may forget it again. What is held
    is where each line begins and ends.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            size = path.stat().st_size
            self._bytes: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._spans = np.array(list(self._find_lines()), dtype=np.int64).reshape(-1, 3)  # begin, end, number

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        begin, end, number = self._spans[index].tolist()
        return _parse_line(number, bytes(self._bytes[begin:end]))

    def begin_as_an_array(self) -> bool:
        """Whether the first line opens an array: then this is JSON, and not one object a line."""
        begin, end, _ = self._spans[0].tolist()
        return self._bytes[begin:end].lstrip().startswith(b"[")

    def _find_lines(self) -> Iterator[tuple[int, int, int]]:
        """Begin, end and number of each line with something on it; U+2028 inside a string ends no line."""
        begin = len(codecs.BOM_UTF8) if self._bytes[:3] == codecs.BOM_UTF8 else 0
        number = 1
        while begin < len(self._bytes):
            newline = self._bytes.find(b"\n", begin)
            end = len(self._bytes) if newline < 0 else newline
            if self._bytes[begin:end].strip():
                yield begin, end, number
            begin, number = end + 1, number + 1


def _parse_line(number: int, line: bytes) -> Row:
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=without_repeats)
    except UnicodeDecodeError as error:
        return Row(number, None, f"byte {error.start + 1} is not valid UTF-8, wanted a file in UTF-8")
    except json.JSONDecodeError as error:
        return Row(number, None, f"broken JSON at column {error.colno}: {error.msg}, wanted one object on the line")
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, or brackets 5,000 deep
        return Row(number, None, f"unreadable JSON: {error}")
    return as_row(number, value)


def without_repeats(cells: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; Python's reader would take the last of two cells with one name, and say nothing.

    Raises:
        ValueError: a name is there twice.

    >>> without_repeats([("chosen", " 4"), ("rejected", " 5")])
    {'chosen': ' 4', 'rejected': ' 5'}
    """
    found = dict(cells)
    if len(found) < len(cells):
        names = [name for name, _ in cells]
        raise ValueError(f"{next(quote(name) for name in names if names.count(name) > 1)} is there twice")
    return found


def as_row(number: int, value: object) -> Row:
    """A row out of a value: only an object has columns."""
    if isinstance(value, Mapping):
        return Row(number, value)
    return Row(number, None, f"is {quote(value)} (one {json_kind(value)}), wanted an object with named columns")

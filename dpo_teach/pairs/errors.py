"""Errors in preference data. Each message is one line: source, row, field, what was expected and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["PairError", "PairFileNotFoundError", "PairProblem", "RowError", "closest", "first_line",
           "listing", "quote"]  # fmt: skip


class PairError(ValueError):
    """Preference data is invalid. The message is one line."""


class PairFileNotFoundError(PairError, FileNotFoundError):
    """The file does not exist. Both `except PairError` and `except FileNotFoundError` catch it."""


@dataclass(frozen=True)
class PairProblem:
    """The problem with one row.

    Args:
        source: the file, or the name and split of a Hub dataset.
        unit: the unit of `row`: "line" for a JSONL file, "row" otherwise.
        row: number of the row, counted from 1.
        field: name of the column in the source; empty if the whole row is invalid.
        what: what was expected and what was found.

    >>> print(PairProblem("pairs.jsonl", "line", 3, "chosen", "expected text, found 5 (int)"))
    pairs.jsonl, line 3, field 'chosen': expected text, found 5 (int)
    """

    source: str
    unit: str
    row: int
    field: str
    what: str

    def __str__(self) -> str:
        field = f", field {self.field!r}" if self.field else ""
        return f"{self.source}, {self.unit} {self.row}{field}: {self.what}"


class RowError(Exception):
    """A row is not a preference pair. The caller adds the row number and converts it to a `PairProblem`."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field
        self.what = what


def quote(value: object, longest: int = 40) -> str:
    """Format a value on one line and shorten it.

    >>> quote("two\\nlines")
    "'two\\\\nlines'"
    """
    # Shorten text before calling repr, so that repr never escapes a cell of a megabyte to show 40 characters.
    text = repr(value[: longest + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= longest + 2 else f"{text[:longest]}..."


def listing(names: Iterable[str], longest: int = 12) -> str:
    """Format a list of names for a message.

    >>> listing(["good", "bad"])
    "'good', 'bad'"
    """
    quoted = [quote(name, longest=80) for name in names]
    more = f" and {len(quoted) - longest} more" if len(quoted) > longest else ""
    return (", ".join(quoted[:longest]) + more) or "nothing"


def closest(name: str, candidates: Iterable[str]) -> str:
    """Format a suggestion of the most similar candidate, or an empty string if none is similar.

    >>> closest("chosen", ["Chosen", "rejected"])
    "; did you mean 'Chosen'?"
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {quote(by_lower[near[0]])}?" if near else ""


def first_line(error: BaseException) -> str:
    r"""The first line of an error's message, or its type if it has none.

    >>> first_line(ValueError("two\nlines")), first_line(KeyError())
    ('two', 'KeyError')
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

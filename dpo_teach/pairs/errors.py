"""Errors in preference data: one line that names the source, row and field, what was expected and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["PairError", "PairFileNotFoundError", "PairProblem", "RowError", "closest", "listing", "quote"]


class PairError(ValueError):
    """Preference data that cannot be used; the message is one line."""


class PairFileNotFoundError(PairError, FileNotFoundError):
    """The file does not exist; caught by `except PairError` as well as by `except FileNotFoundError`."""


@dataclass(frozen=True)
class PairProblem:
    """What is wrong with one row.

    Args:
        source: the file, or the Hub name and split.
        unit: what `row` counts: "line" in a JSONL file, "row" everywhere else.
        row: counted from 1.
        field: the column, by its name in the source; empty if the whole row is invalid.
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
    """A row is not a preference pair; the caller, who knows the row's number, makes it a `PairProblem`."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field
        self.what = what


def quote(value: object, longest: int = 40) -> str:
    """A value on one line, shortened.

    >>> quote("two\\nlines")
    "'two\\\\nlines'"
    """
    # Text is also shortened before repr, so that a cell of a megabyte is not escaped for the sake of 40 characters.
    text = repr(value[: longest + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= longest + 2 else f"{text[:longest]}..."


def listing(names: Iterable[str], longest: int = 12) -> str:
    """Names for a message.

    >>> listing(["good", "bad"])
    "'good', 'bad'"
    """
    quoted = [quote(name, longest=80) for name in names]
    more = f" and {len(quoted) - longest} more" if len(quoted) > longest else ""
    return (", ".join(quoted[:longest]) + more) or "nothing"


def closest(name: str, candidates: Iterable[str]) -> str:
    """The end of a message that suggests the most similar of `candidates`, or nothing.

    >>> closest("chosen", ["Chosen", "rejected"])
    "; did you mean 'Chosen'?"
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {quote(by_lower[near[0]])}?" if near else ""

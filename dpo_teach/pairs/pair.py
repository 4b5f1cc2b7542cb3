"""What a preference pair is, and the words in which something wrong with one is told."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

__all__ = ["PairError", "PairFileNotFoundError", "PairProblem", "PairSurvey", "PreferencePair"]


@dataclass(frozen=True)
class PreferencePair:
    """One comparison: to `prompt`, somebody preferred the response `chosen` to the response `rejected`.

    The texts are used as they stand: a model sees `prompt + chosen` and `prompt + rejected`, so the space between a
    prompt and its response belongs to one of the two, most often to the response.

    >>> PreferencePair(prompt="The plot", chosen=" is a delight.", rejected=" drags.").prompt
    'The plot'
    """

    prompt: str
    chosen: str
    rejected: str
    where: str = field(default="", compare=False, repr=False)
    """The file and row that it came from, for messages."""


class PairError(ValueError):
    """Preference data that cannot be used; the message is one line: where, what was found, what is wanted."""


class PairFileNotFoundError(PairError, FileNotFoundError):
    """There is no such file; caught by `except PairError` as well as by `except FileNotFoundError`."""


@dataclass(frozen=True)
class PairProblem:
    """What is wrong with one row.

    Args:
        source: the file, or the Hub name and split.
        unit: how `row` counts: "line" in a JSONL file, "row" everywhere else.
        row: counted from 1.
        field: the column, by its name in the file; empty if the row cannot be read at all.
        what: what was found and what is wanted.

    >>> print(PairProblem("pairs.jsonl", "line", 3, "chosen", "is empty, wanted text"))
    pairs.jsonl, line 3, chosen: is empty, wanted text
    """

    source: str
    unit: str
    row: int
    field: str
    what: str

    def __str__(self) -> str:
        field = f", {self.field}" if self.field else ""
        return f"{self.source}, {self.unit} {self.row}{field}: {self.what}"


@dataclass(frozen=True)
class PairSurvey:
    """Everything that a source holds: the usable pairs, in order, and one problem for each row that is none."""

    pairs: list[PreferencePair]
    problems: list[PairProblem]


class RowError(Exception):
    """A row is no pair; turned into a `PairProblem` by whoever knows which row it was."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field
        self.what = what


def quote(value: object, longest: int = 40) -> str:
    """A value on one line, cut short.

    >>> quote("two\\nlines")
    "'two\\\\nlines'"
    """
    # Cutting before repr as well keeps a cell of a megabyte from being escaped for the sake of 40 characters.
    text = repr(value[: longest + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= longest + 2 else f"{text[:longest]}..."


def json_kind(value: object) -> str:
    """What JSON calls a value.

    >>> json_kind([1, 2])
    'array'
    """
    names = {dict: "object", list: "array", str: "string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "number" if isinstance(value, (int, float)) else type(value).__name__)


def listing(names: Iterable[str], longest: int = 12) -> str:
    """Names for a message.

    >>> listing(["good", "bad"])
    "'good', 'bad'"
    """
    quoted = [quote(name, longest=80) for name in names]
    more = f" and {len(quoted) - longest} more" if len(quoted) > longest else ""
    return (", ".join(quoted[:longest]) + more) or "nothing"


def closest(name: str, candidates: Iterable[str]) -> str:
    """The ending of a message that suggests the likeliest of `candidates`, or nothing.

    >>> closest("chosen", ["Chosen", "rejected"])
    "; did you mean 'Chosen'?"
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {quote(by_lower[near[0]])}?" if near else ""

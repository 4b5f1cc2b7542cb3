"""What is worth a look in a set of pairs: nothing here is an error, and all of it has ruined runs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from dpo_teach.pairs.pair import PreferencePair

__all__ = ["Finding", "check_pairs", "find", "repeats_prompt"]

_SHOWN = 3
_GAP_ERRORS = 3.0


@dataclass(frozen=True)
class Finding:
    """Something worth a look.

    Args:
        what: the kind of pairs that was found.
        count: how many there are.
        rows: where the first of them are.
    """

    what: str
    count: int
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: the finding, the count, and the first rows."""
        where = f" ({', '.join(self.rows)}{', ...' if self.count > len(self.rows) else ''})" if self.rows else ""
        return f"{self.what}: {self.count}{where}"


def check_pairs(pairs: Sequence[PreferencePair], held_out: Sequence[PreferencePair] = ()) -> list[Finding]:
    """Look for pairs that are repeated or contradict each other, and for texts that give the answer away.

    Args:
        pairs: the pairs to train on.
        held_out: the pairs to evaluate on.

    Returns:
        What was found, nothing if all is well.

    >>> pair, other = PreferencePair("p", "a", "b", "row 1"), PreferencePair("p", "b", "a", "row 2")
    >>> print(*check_pairs([pair, other]))
    pairs that another pair contradicts: 2 (row 1, row 2)
    """
    found = [
        find("pairs that repeat an earlier one", _repeated(pairs)),
        find("pairs that another pair contradicts", _contradicted(pairs)),
        find("pairs with an empty prompt", (pair for pair in pairs if not pair.prompt.strip())),
        find("pairs whose responses begin with the prompt again", (pair for pair in pairs if repeats_prompt(pair))),
        find("pairs that share their prompt with a held-out pair", _shared(pairs, held_out)),
    ]
    return [finding for finding in (*found, _length_gap(pairs)) if finding is not None]


def find(what: str, pairs: Iterable[PreferencePair]) -> Finding | None:
    """Describe some pairs, with the rows of the first of them; None if there are none."""
    listed = list(pairs)
    rows = [pair.where.rpartition(", ") for pair in listed[:_SHOWN] if pair.where]
    one_source = len({source for source, _, _ in rows}) == 1
    shown = tuple(row if one_source else f"{source}, {row}" for source, _, row in rows)
    return Finding(what, len(listed), shown) if listed else None


def _repeated(pairs: Iterable[PreferencePair]) -> Iterator[PreferencePair]:
    seen = set[PreferencePair]()
    for pair in pairs:
        if pair in seen:
            yield pair
        seen.add(pair)


def _contradicted(pairs: Sequence[PreferencePair]) -> Iterator[PreferencePair]:
    all_pairs = {(pair.prompt, pair.chosen, pair.rejected) for pair in pairs}
    return (pair for pair in pairs if (pair.prompt, pair.rejected, pair.chosen) in all_pairs)


def repeats_prompt(pair: PreferencePair) -> bool:
    """Whether both responses begin with the text of the prompt.

    >>> repeats_prompt(PreferencePair("Why?", "Why? Because.", "Why? No."))
    True
    """
    start = pair.prompt.strip()
    return bool(start) and all(text.lstrip().startswith(start) for text in (pair.chosen, pair.rejected))


def _shared(pairs: Iterable[PreferencePair], held_out: Iterable[PreferencePair]) -> Iterator[PreferencePair]:
    prompts = {pair.prompt for pair in held_out}
    return (pair for pair in pairs if pair.prompt in prompts)


def _length_gap(pairs: Sequence[PreferencePair]) -> Finding | None:
    """A mean difference in length of more than three standard errors and a tenth of the length: a policy learns it."""
    if len(pairs) < 2:
        return None
    gaps = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    mean, error = fmean(gaps), stdev(gaps) / len(gaps) ** 0.5
    length = fmean(len(pair.chosen) + len(pair.rejected) for pair in pairs) / 2
    if abs(mean) <= max(_GAP_ERRORS * error, length / 10):
        return None
    longer = sum(gap > 0 for gap in gaps) if mean > 0 else sum(gap < 0 for gap in gaps)
    what = "longer" if mean > 0 else "shorter"
    return Finding(f"pairs whose chosen response is {what}, by {abs(mean):.0f} characters on average", longer)

"""From a source of rows to preference pairs: all of them, or the first thing that is wrong."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from dpo_teach.pairs.layout import Layout, find_layout
from dpo_teach.pairs.mapped import MappedPairs, read_row
from dpo_teach.pairs.pair import PairError, PairProblem, PairSurvey, PreferencePair, RowError
from dpo_teach.pairs.reading import Source, Table, read_table

__all__ = ["hold_out", "load_pairs", "map_pairs", "survey_pairs", "without_prompts_of"]

Item = TypeVar("Item")


def load_pairs(
    source: Source,
    *,
    split: str = "train",
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
    on_bad_row: Literal["error", "drop"] = "error",
) -> list[PreferencePair]:
    """Preference pairs from a file, a folder, the Hub, or a list, all in memory.

    Three kinds of row are understood, and `dpo_teach.pairs.formats` shows each: an explicit prompt (`prompt`, `chosen`,
    `rejected`), an implicit one (`chosen` and `rejected` begin with it), and conversations (lists of `role`/`content`
    messages), which become text in "\\n\\nHuman: ...\\n\\nAssistant:" turns.

    Args:
        source: a `.jsonl`, `.json` (one array) or `.parquet` file; a folder with one such file for each split, like
            `train.jsonl`; "reviews-preferences", which comes with the package; the name of a dataset on the Hub; or a
            list of dicts or of `PreferencePair`s. What exists here is taken before what may exist on the Hub.
        split: the file of a folder, or the split of a Hub dataset. One file or a list is used whole, whatever it says.
        columns: the names of the columns where they differ, as {"prompt": "question", "chosen": "good"}.
        prompt_template: a prompt out of several columns, as "{instruction}\\n{input}\\n"; null counts as empty text.
        on_bad_row: "error" stops at the first row that is no pair; "drop" leaves such rows out.

    Returns:
        The pairs, in the order of the source; at least one.

    Raises:
        PairError: a file, a column or a row is not as wanted; the message says which, and is one line.

    >>> load_pairs([{"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}])
    [PreferencePair(prompt='2 + 2 =', chosen=' 4', rejected=' 5')]
    """
    return list(map_pairs(source, split=split, columns=columns, prompt_template=prompt_template, on_bad_row=on_bad_row))


def map_pairs(
    source: Source,
    *,
    split: str = "train",
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
    on_bad_row: Literal["error", "drop"] = "error",
) -> MappedPairs:
    """The same pairs as `load_pairs`, each read from its file when it is looked at: for data sets that are large.

    Every row is checked once, here. A JSONL file then stays on the disk, mapped into memory; other sources are read
    whole.

    Args, Raises: as `load_pairs`.

    >>> len(map_pairs("reviews-preferences", split="test"))
    512
    """
    if on_bad_row not in ("error", "drop"):
        raise PairError(f"on_bad_row must be 'error' or 'drop', found {on_bad_row!r}")
    table, layout, usable, problems = _look_through(source, split, columns, prompt_template)
    if problems and on_bad_row == "error":
        counted = f"{len(problems)} of {len(usable) + len(problems)} rows cannot be used"
        raise PairError(f"{problems[0]} ({counted}; on_bad_row='drop', CLI: --on-bad-row drop, leaves such rows out)")
    if not usable:
        raise PairError(f"{problems[0].source}: none of its {len(problems)} rows is a pair; the first: {problems[0]}")
    return MappedPairs(table, layout, usable, problems)


def survey_pairs(
    source: Source,
    *,
    split: str = "train",
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
) -> PairSurvey:
    """Read everything that `load_pairs` would, and say of each row that is no pair what is wrong with it.

    Args: as `load_pairs`.

    Returns:
        The usable pairs and, for every other row, its first problem; both in the order of the source.

    Raises:
        PairError: what is wrong is wrong with the whole file: missing, empty, not JSON, without a column.

    >>> rows = [{"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 4"}]
    >>> print(*survey_pairs(rows).problems)
    the list, row 1, rejected: is the same as 'chosen', wanted two different responses
    """
    table, layout, usable, problems = _look_through(source, split, columns, prompt_template)
    return PairSurvey(list(MappedPairs(table, layout, usable)), problems)


def _look_through(
    source: Source, split: str, columns: Mapping[str, str] | None, prompt_template: str | None
) -> tuple[Table, Layout, list[int], list[PairProblem]]:
    """The table, its layout, the positions of its usable rows, and what is wrong with the others."""
    table = read_table(source, split)
    layout = find_layout(table, columns, prompt_template)
    usable, problems = [], []
    for position in range(len(table.rows)):
        try:
            read_row(table, layout, position)
            usable.append(position)
        except RowError as error:
            number = table.rows[position].number
            problems.append(PairProblem(table.source, table.unit, number, error.field, error.what))
    return table, layout, usable, problems


def hold_out(pairs: Sequence[Item], size: int, seed: int) -> tuple[Sequence[Item], Sequence[Item]]:
    """Set some pairs aside, drawn without replacement, so that training never sees what evaluation asks.

    Args:
        pairs: all pairs; they stay in their order, in both parts.
        size: how many to hold out; at least 0 and fewer than there are.
        seed: the same seed holds out the same positions, on every machine.

    Returns:
        The pairs that are kept, and the pairs that are held out; those of `map_pairs` stay mapped. Two pairs of one
        prompt may be on both sides: `without_prompts_of` sees to that.

    Raises:
        ValueError: `size` is negative, or leaves nothing to train on.

    >>> hold_out(["a", "b", "c", "d"], size=1, seed=0)
    (['a', 'b', 'c'], ['d'])
    """
    if not 0 <= size < len(pairs):
        raise ValueError(f"size must be at least 0 and below the number of pairs ({len(pairs)}), found {size}")
    held = set(random.Random(seed).sample(range(len(pairs)), size))
    parts: tuple[list[int], list[int]] = ([], [])
    for position in range(len(pairs)):
        parts[position in held].append(position)
    return _select(pairs, parts[0]), _select(pairs, parts[1])


def without_prompts_of(held: Sequence[PreferencePair], pairs: Sequence[PreferencePair]) -> Sequence[PreferencePair]:
    """The pairs whose prompt no held-out pair has: a policy that has seen the prompt has seen half of the question.

    Args:
        held: the pairs that are held out.
        pairs: the others; those of `map_pairs` stay mapped.

    >>> one, two = load_pairs([{"prompt": "2 + 2 =", "chosen": c, "rejected": " 5"} for c in (" 4", " four")])
    >>> other = PreferencePair("1 + 1 =", " 2", " 3")
    >>> without_prompts_of([one], [two, other])
    [PreferencePair(prompt='1 + 1 =', chosen=' 2', rejected=' 3')]
    """
    prompts = {pair.prompt for pair in held}
    kept = [position for position, pair in enumerate(pairs) if pair.prompt not in prompts]
    return _select(pairs, kept)


def _select(items: Sequence[Item], positions: list[int]) -> Any:
    select: Callable[[list[int]], Any] = getattr(items, "select", lambda part: [items[i] for i in part])
    return select(positions)

"""Load preference pairs from a source of rows. Invalid rows raise an error or are collected in a survey."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dpo_teach.pairs.columns import find_layout, unread_columns
from dpo_teach.pairs.errors import PairError, PairProblem, RowError, listing
from dpo_teach.pairs.layouts import pair_from_row
from dpo_teach.pairs.messages import Unread
from dpo_teach.pairs.pair import PreferencePair
from dpo_teach.pairs.reading import Source, read_rows

__all__ = ["PairSurvey", "load_pairs", "survey_pairs"]

OnBadRow = Literal["error", "drop"]


@dataclass(frozen=True)
class PairSurvey:
    """The contents of a source.

    Args:
        pairs: the valid pairs, in order.
        problems: the first problem of each invalid row.
        unread_columns: columns that are not empty and were not read.
        unread_keys: keys of messages that have a value and were not read, such as 'tool_calls'.
    """

    pairs: list[PreferencePair]
    problems: list[PairProblem]
    unread_columns: list[str]
    unread_keys: Unread

    @property
    def not_read(self) -> str:
        """The names of everything that was not read, on one line; empty if all was read."""
        kinds = {"columns": self.unread_columns, "message keys": self.unread_keys}
        return "; ".join(f"{kind} {listing(names)}" for kind, names in kinds.items() if names)

    def valid_pairs(self, on_bad_row: OnBadRow) -> list[PreferencePair]:
        """Return the valid pairs; there is at least one.

        Raises:
            PairError: a row is invalid and `on_bad_row` is "error", or no row is valid.
        """
        if on_bad_row not in ("error", "drop"):
            raise PairError(f"on_bad_row must be 'error' or 'drop', found {on_bad_row!r}")
        if self.problems and on_bad_row == "error":
            total = len(self.pairs) + len(self.problems)
            raise PairError(f"{self.problems[0]} ({len(self.problems)} of {total} rows are invalid; on_bad_row='drop' "
                            "(--on-bad-row drop) skips them)")  # fmt: skip
        if not self.pairs:
            first = self.problems[0]
            raise PairError(f"{first.source}: all {len(self.problems)} rows are invalid; first problem: {first}")
        return self.pairs


def load_pairs(
    source: Source,
    *,
    split: str = "train",
    dataset_config: str | None = None,
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
    on_bad_row: OnBadRow = "error",
) -> list[PreferencePair]:
    """Read preference pairs from a file, a folder, the Hugging Face Hub, or a list.

    Three kinds of rows are supported (see `dpo_teach.pairs.layouts`): an explicit prompt (`prompt`, `chosen`,
    `rejected`), an implicit prompt (`chosen` and `rejected` begin with it), and conversations (lists of messages with
    `role` and `content`, or with `from` and `value`). A conversation is rendered by the chat template of the tokenizer,
    if it has one, and is otherwise written with "\\n\\nHuman: ...\\n\\nAssistant:" turns.

    Args:
        source: a `.jsonl`, `.json` (one array), `.csv`, `.tsv` or `.parquet` file, which may be compressed (`.gz`,
            `.bz2`, `.xz`, `.zst`); a folder with such files or their shards, named after their split, such as
            `train.jsonl`, or written by `save_to_disk` of `datasets`; "reviews-preferences", which is part of the
            package; the name of a dataset on the Hub; or a list of dicts or `PreferencePair`s (a dataset of `datasets`
            or a table of pandas will do). Local files and folders take precedence over the Hub.
        split: split of a folder or a Hub dataset. Ignored for a single file or a list.
        dataset_config: configuration (subset) of a Hub dataset that has several.
        columns: column names that differ from the default, such as {"prompt": "question", "chosen": "good"}.
        prompt_template: builds the prompt from columns, such as "{instruction}\\n{input}\\n"; null becomes "".
        on_bad_row: "error" raises at the first invalid row; "drop" skips such rows.

    Returns:
        The pairs, in the order of the source; at least one.

    Raises:
        PairError: a file, a column or a row is invalid; the message names it on one line.

    >>> load_pairs([{"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}])
    [PreferencePair(prompt='2 + 2 =', chosen=' 4', rejected=' 5')]
    """
    survey = survey_pairs(source, split=split, dataset_config=dataset_config, columns=columns,
                          prompt_template=prompt_template)  # fmt: skip
    return survey.valid_pairs(on_bad_row)


def survey_pairs(
    source: Source,
    *,
    split: str = "train",
    dataset_config: str | None = None,
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
) -> PairSurvey:
    """Read the same sources as `load_pairs`, but report every invalid row instead of the first.

    Args: as `load_pairs`.

    Returns:
        The valid pairs, the first problem of every invalid row, and what was not read, in the order of the source.

    Raises:
        PairError: the source as a whole is invalid, for example missing, empty, not JSON, or without a required column.

    >>> rows = [{"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 4"}]
    >>> print(*survey_pairs(rows).problems)
    the list, row 1, field 'rejected': expected a response that differs from 'chosen', found the same text
    """
    table = read_rows(source, split, dataset_config)
    layout = find_layout(table, columns, prompt_template)
    survey = PairSurvey([], [], unread_columns(table, layout), {})
    for row in table.rows:
        try:
            if row.cells is None:
                raise RowError("", row.problem)
            where = f"{row.source}, {table.unit} {row.number}"
            survey.pairs.append(pair_from_row(row.cells, layout, where, survey.unread_keys))
        except RowError as error:
            survey.problems.append(PairProblem(row.source, table.unit, row.number, error.field, error.what))
    return survey

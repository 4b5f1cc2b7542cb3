"""Load preference pairs from a source of rows. Invalid rows raise an error or are collected in a survey."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dpo_teach.pairs.errors import PairError, PairProblem, RowError
from dpo_teach.pairs.layouts import find_layout, pair_from_row
from dpo_teach.pairs.pair import PreferencePair
from dpo_teach.pairs.reading import Source, read_rows

__all__ = ["PairSurvey", "load_pairs", "survey_pairs"]

OnBadRow = Literal["error", "drop"]


@dataclass(frozen=True)
class PairSurvey:
    """The contents of a source: the valid pairs, in order, and one problem for each invalid row."""

    pairs: list[PreferencePair]
    problems: list[PairProblem]

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
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
    on_bad_row: OnBadRow = "error",
) -> list[PreferencePair]:
    """Read preference pairs from a file, a folder, the Hugging Face Hub, or a list.

    Three kinds of rows are supported (see `dpo_teach.pairs.layouts`): an explicit prompt (`prompt`, `chosen`,
    `rejected`), an implicit prompt (`chosen` and `rejected` begin with it), and conversations (lists of messages with
    `role` and `content`), which are converted to text with "\\n\\nHuman: ...\\n\\nAssistant:" turns.

    Args:
        source: a `.jsonl`, `.json` (one array) or `.parquet` file; a folder with one such file per split, such as
            `train.jsonl`; "reviews-preferences", which is part of the package; the name of a dataset on the Hub; or a
            list of dicts or `PreferencePair`s. Local files and folders take precedence over the Hub.
        split: file of a folder, or split of a Hub dataset. Ignored for a single file or a list.
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
    survey = survey_pairs(source, split=split, columns=columns, prompt_template=prompt_template)
    return survey.valid_pairs(on_bad_row)


def survey_pairs(
    source: Source,
    *,
    split: str = "train",
    columns: Mapping[str, str] | None = None,
    prompt_template: str | None = None,
) -> PairSurvey:
    """Read the same sources as `load_pairs`, but report every invalid row instead of the first.

    Args: as `load_pairs`.

    Returns:
        The valid pairs and the first problem of every invalid row, both in the order of the source.

    Raises:
        PairError: the source as a whole is invalid, for example missing, empty, not JSON, or without a required column.

    >>> rows = [{"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 4"}]
    >>> print(*survey_pairs(rows).problems)
    the list, row 1, field 'rejected': expected a response that differs from 'chosen', found the same text
    """
    table = read_rows(source, split)
    layout = find_layout(table, columns, prompt_template)
    survey = PairSurvey([], [])
    for row in table.rows:
        try:
            if row.cells is None:
                raise RowError("", row.problem)
            where = f"{table.source}, {table.unit} {row.number}"
            survey.pairs.append(pair_from_row(row.cells, layout, where))
        except RowError as error:
            survey.problems.append(PairProblem(table.source, table.unit, row.number, error.field, error.what))
    return survey

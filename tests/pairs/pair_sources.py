"""Rows, files and errors shared by the tests of `dpo_teach.pairs`."""

import json
from pathlib import Path

import pytest

from dpo_teach.pairs import PairError, PairProblem, PreferencePair, load_pairs, survey_pairs

ROWS = [
    {"prompt": "The plot", "chosen": " is a delight.", "rejected": " drags."},
    {"prompt": "The cast", "chosen": " shines.", "rejected": " is wooden."},
]
PAIRS = [PreferencePair(**row) for row in ROWS]
GOOD = ROWS[0]


def write_jsonl(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def error_of(source, **options) -> str:
    """Return the error message of `load_pairs` for an invalid source, and check that it is one line."""
    with pytest.raises(PairError) as caught:
        load_pairs(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def problem_of(row: dict, **options) -> PairProblem:
    """Return the problem of an invalid row that follows a valid row."""
    survey = survey_pairs([GOOD, row], **options)
    assert len(survey.pairs) == 1
    (problem,) = survey.problems
    assert (problem.source, problem.unit, problem.row) == ("the list", "row", 2)
    return problem

"""Rows, files and errors that the tests of `dpo_teach.pairs` share."""

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
    """The message with which `load_pairs` rejects a source; every message is one line."""
    with pytest.raises(PairError) as caught:
        load_pairs(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def problem_of(row: dict, **options) -> PairProblem:
    """What is wrong with `row`, which follows a valid row."""
    survey = survey_pairs([GOOD, row], **options)
    assert len(survey.pairs) == 1
    (problem,) = survey.problems
    assert (problem.source, problem.unit, problem.row) == ("the list", "row", 2)
    return problem

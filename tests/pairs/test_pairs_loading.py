"""Sources with valid and invalid rows, held-out pairs, and the bundled and other real data."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_sources import GOOD, PAIRS, ROWS, error_of, write_jsonl

from dpo_teach.pairs import PreferencePair, hold_out, load_pairs, survey_pairs, without_prompts_of
from dpo_teach.pairs.reading import ASSETS

REAL = Path(__file__).parents[3] / "shared/data/instruction-preferences/instruction-data-with-preference.json"


# Invalid rows are reported or dropped.


def test_an_invalid_row_is_an_error_that_explains_how_to_skip_it(tmp_path):
    rows = [*ROWS, GOOD | {"chosen": ""}, GOOD | {"rejected": 3}]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    message = error_of(path)
    assert message.startswith(f"{path}, line 3, field 'chosen': ")
    assert "2 of 4 rows are invalid" in message
    assert "on_bad_row='drop' (--on-bad-row drop)" in message


def test_invalid_rows_can_be_dropped(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", [ROWS[0], GOOD | {"chosen": ""}, ROWS[1]])
    assert load_pairs(path, on_bad_row="drop") == PAIRS


def test_dropping_every_row_is_an_error(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", [GOOD | {"chosen": ""}, GOOD | {"chosen": 3}])
    message = error_of(path, on_bad_row="drop")
    assert message.startswith(f"{path}: all 2 rows are invalid; first problem: {path}, line 1, field 'chosen': ")


def test_a_survey_collects_every_problem(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [
        json.dumps(ROWS[0]).encode(),
        b'{"prompt": "x", "chosen" "y"}',
        json.dumps(GOOD | {"chosen": " "}).encode(),
        b'{"prompt": "caf\xe9"}',
        b"[1, 2]",
        json.dumps({"prompt": "x", "chosen": "y"}).encode(),
        json.dumps(ROWS[1]).encode(),
        b"[" * 100_000,
    ]
    path.write_bytes(b"\n".join(lines))
    survey = survey_pairs(path)
    assert survey.pairs == PAIRS
    assert [(problem.row, problem.field) for problem in survey.problems] == [
        (2, ""),
        (3, "chosen"),
        (4, ""),
        (5, ""),
        (6, "rejected"),
        (8, ""),
    ]
    whats = [problem.what for problem in survey.problems]
    assert "invalid JSON at column 26" in whats[0]
    assert "only whitespace" in whats[1]
    assert "invalid byte at position 16" in whats[2]
    assert "found [1, 2] (array)" in whats[3]
    assert "expected this column, found 'prompt', 'chosen'" in whats[4]
    assert "invalid JSON" in whats[5]


@pytest.mark.usefixtures("unchecked_shapes")
def test_on_bad_row_must_be_error_or_drop():
    assert error_of(ROWS, on_bad_row="skip").startswith("on_bad_row must be 'error' or 'drop', found 'skip'")


# Held-out pairs.


@given(st.integers(1, 50), st.data(), st.integers(0, 2**32))
def test_hold_out_returns_a_partition_in_the_original_order(count, data, seed):
    size = data.draw(st.integers(0, count - 1))
    everything = list(range(count))
    kept, held = hold_out(everything, size, seed)
    assert len(held) == size
    assert sorted(kept + held) == everything
    assert kept == sorted(kept) and held == sorted(held)
    assert hold_out(everything, size, seed) == (kept, held)


def test_hold_out_depends_only_on_the_seed():
    assert hold_out(range(10), size=3, seed=123) == ([2, 3, 5, 6, 7, 8, 9], [0, 1, 4])
    assert len({tuple(hold_out(range(10), size=3, seed=seed)[1]) for seed in range(20)}) > 10


@pytest.mark.parametrize("size", [-1, 2, 3])
def test_hold_out_must_leave_pairs_to_train_on(size):
    with pytest.raises(ValueError, match=rf"size must be .*\(2\), found {size}"):
        hold_out(PAIRS, size, seed=0)


def test_pairs_that_share_a_held_out_prompt_are_removed():
    """Four pairs of three prompts: the other pair of the held-out prompt is removed."""
    pairs = [PreferencePair(prompt, " good", f"bad {i}") for i, prompt in enumerate("abca")]
    assert without_prompts_of(pairs[:1], pairs[1:]) == pairs[1:3]
    assert without_prompts_of([], pairs) == pairs


# Real data.


@pytest.mark.slow
@pytest.mark.skipif(not (ASSETS / "reviews-preferences").is_dir(), reason="the bundled pairs have not been built")
@pytest.mark.parametrize(("split", "at_least"), [("train", 16384), ("test", 512)])
def test_the_bundled_pairs_are_all_usable(split, at_least):
    survey = survey_pairs("reviews-preferences", split=split)
    assert survey.problems == []
    assert len(survey.pairs) >= at_least


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="../shared/data does not exist")
def test_real_instruction_preferences_can_be_read():
    template = "{instruction}\n{input}\n"
    survey = survey_pairs(REAL, prompt_template=template)
    assert len(survey.pairs) == 1094
    assert len(survey.problems) == 6
    assert {(problem.field, problem.what.split(",")[0]) for problem in survey.problems} == {
        ("rejected", "expected a response that differs from 'chosen'")
    }
    assert survey.pairs[0].prompt == (
        "Evaluate the following phrase by transforming it into the spelling given.\nfreind --> friend\n"
    )
    assert load_pairs(REAL, prompt_template=template, on_bad_row="drop") == survey.pairs
    assert "6 of 1100 rows are invalid" in error_of(REAL, prompt_template=template)
    assert "if 'instruction' is the prompt" in error_of(REAL)

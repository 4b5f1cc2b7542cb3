"""Findings about a set of pairs: counts and first rows by hand; a clean set has none."""

import random

from dpo_teach import load_pairs
from dpo_teach.pairs.checks import check_pairs
from dpo_teach.pairs.pair import PreferencePair


def pair(prompt: str, chosen: str, rejected: str, row: int = 0) -> PreferencePair:
    return PreferencePair(prompt, chosen, rejected, f"row {row}")


def lines(*found: PreferencePair, held_out: tuple[PreferencePair, ...] = ()) -> list[str]:
    return [str(finding) for finding in check_pairs(found, held_out)]


def test_repeated_and_contradictory_pairs_are_counted_apart() -> None:
    eleven, twelve = "Eleven.", "Twelve."
    found = lines(pair("p", eleven, twelve, 1), pair("p", twelve, eleven, 2), pair("p", eleven, twelve, 3))
    assert found == [
        "pairs that repeat an earlier one: 1 (row 3)",
        "pairs that another pair contradicts: 3 (row 1, row 2, row 3)",
    ]


def test_the_same_responses_to_another_prompt_are_neither() -> None:
    assert lines(pair("p", "a", "b"), pair("q", "b", "a"), pair("r", "a", "b")) == []


def test_only_the_first_rows_are_listed() -> None:
    found = lines(*(pair("", "a", "b", row) for row in range(5)))
    assert "pairs with an empty prompt: 5 (row 0, row 1, row 2, ...)" in found
    assert "pairs that repeat an earlier one: 4 (row 1, row 2, row 3, ...)" in found


def test_rows_of_several_files_are_listed_with_their_files() -> None:
    pairs = [PreferencePair("", "a", "b", f"{file}.jsonl, line 1") for file in "xy"]
    assert "pairs with an empty prompt: 2 (x.jsonl, line 1, y.jsonl, line 1)" in lines(*pairs)
    assert "pairs with an empty prompt: 1 (line 1)" in lines(pairs[0])


def test_a_prompt_that_both_responses_repeat_is_found_and_one_that_a_single_response_quotes_is_not() -> None:
    twice = pair("Why?", "Why? Because.", " Why? No.", 1)
    assert lines(twice) == ["pairs whose responses begin with the prompt again: 1 (row 1)"]
    assert lines(pair("Why?", "Why? Because.", "No.")) == []


def test_prompts_shared_with_the_held_out_pairs_are_found() -> None:
    assert lines(pair("p", "a", "b", 1), pair("q", "a", "b", 2), held_out=(pair("q", "c", "d"),)) == [
        "pairs that share their prompt with a held-out pair: 1 (row 2)"
    ]


def test_a_length_gap_needs_both_a_tenth_of_the_length_and_three_standard_errors() -> None:
    rng = random.Random(0)
    longer = [pair(f"{i}", "x" * rng.randint(120, 140), "y" * 100) for i in range(50)]
    (found,) = lines(*longer)
    assert found.startswith("pairs whose chosen response is longer, by 3")
    assert found.endswith("characters on average: 50")
    assert lines(*(pair(f"{i}", "x" * 105, "y" * 100) for i in range(50))) == []  # a twentieth
    assert lines(pair("p", "x" * 300, "y"), pair("q", "x", "y" * 200)) == []  # within one standard error


def test_the_bundled_pairs_are_clean() -> None:
    train, test = (load_pairs("reviews-preferences", split=split) for split in ("train", "test"))
    assert [finding.what for finding in check_pairs(train, test)] == []

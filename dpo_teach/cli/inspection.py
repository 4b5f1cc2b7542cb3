"""`dpo-teach inspect`: what was understood of preference data, and what is wrong with it."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import tyro

from dpo_teach.cli.options import BASE_MODEL, ReadingOptions
from dpo_teach.pairs import PreferencePair, survey_pairs

__all__ = ["inspect"]

INSPECTED_ROWS = 3
LISTED_PROBLEMS = 50


def inspect(
    data: tyro.conf.Positional[str],
    reading: ReadingOptions,
    model: str = BASE_MODEL,
    max_length: int | None = None,
    max_prompt_length: int | None = None,
) -> None:
    """Print what was understood of preference data: counts, lengths in tokens, three rows, and what is wrong.

    Args:
        data: a .jsonl, .json or .parquet file, a folder of them, reviews-preferences, or a Hub dataset.
        reading: how to read it.
        model: whose tokens to count in.
        max_length: tokens of prompt and response that fit; the model's context by default.
        max_prompt_length: tokens of the prompt that are kept, from its end; all of them by default.
    """
    from dpo_teach.batches import tokenize_prompt, tokenize_response
    from dpo_teach.models import fitting_length, load_model

    survey = survey_pairs(data, **reading.as_arguments())
    loaded = load_model(model)
    limit = fitting_length(max_length, loaded.model)
    too_long, cut = _fit(survey.pairs, loaded.tokenizer, limit, max_prompt_length)
    problems = [*map(str, survey.problems), *too_long]
    print(f"{data}: {len(survey.pairs)} pairs, {len(survey.problems)} rows that cannot be used")
    lengths = {
        "prompt": [len(tokenize_prompt(pair.prompt, loaded.tokenizer)) for pair in survey.pairs],
        "chosen": [len(tokenize_response(pair.chosen, loaded.tokenizer)) for pair in survey.pairs],
        "rejected": [len(tokenize_response(pair.rejected, loaded.tokenizer)) for pair in survey.pairs],
    }
    if survey.pairs:
        _print_lengths(lengths, limit, model)
        print(f"cut to fit: the responses of {cut} pairs")
    for pair in survey.pairs[:INSPECTED_ROWS]:
        print(f"\n  prompt    {pair.prompt!r}\n  chosen    {pair.chosen!r}\n  rejected  {pair.rejected!r}")
    _print_problems(problems)
    if problems:
        raise ValueError(f"{data}: {len(problems)} problems, listed above; --on-bad-row drop and --on-overlong drop "
                         "leave such pairs out of training")  # fmt: skip


def _fit(
    pairs: Sequence[PreferencePair], tokenizer: Any, max_length: int, max_prompt_length: int | None
) -> tuple[list[str], int]:
    """Which pairs do not fit, in words, and how many lose the end of a response."""
    from dpo_teach.batches import check_limits, tokenize_pair

    check_limits(max_length, max_prompt_length)
    too_long, cut = [], 0
    for number, pair in enumerate(pairs, start=1):
        try:
            ids = tokenize_pair(pair, tokenizer, max_length=max_length, max_prompt_length=max_prompt_length)
        except ValueError as error:
            too_long.append(f"{pair.where or f'pair {number}'}, {error}")
        else:
            cut += any(response[-1] != tokenizer.eos_token_id for response in (ids.chosen_ids, ids.rejected_ids))
    return too_long, cut


def _print_problems(problems: Sequence[str]) -> None:
    print(f"\nproblems: {len(problems)}")
    for problem in problems[:LISTED_PROBLEMS]:
        print(f"  {problem}")
    if len(problems) > LISTED_PROBLEMS:
        print(f"  and {len(problems) - LISTED_PROBLEMS} more")


def _print_lengths(lengths: dict[str, list[int]], limit: int, model: str) -> None:
    print(f"tokens of {model} ({limit} fit):    shortest   median  longest")
    for name, counts in lengths.items():
        print(f"  {name:30} {min(counts):8} {median(counts):8.0f} {max(counts):8}")

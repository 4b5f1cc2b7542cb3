"""`dpo-teach inspect`: what was understood of preference data, and what is wrong with it."""

from statistics import median

import tyro

from dpo_teach.cli.options import BASE_MODEL, ReadingOptions
from dpo_teach.pairs import survey_pairs

__all__ = ["inspect"]

INSPECTED_ROWS = 3


def inspect(
    data: tyro.conf.Positional[str], reading: ReadingOptions, model: str = BASE_MODEL, max_length: int | None = None
) -> None:
    """Print what was understood of preference data: counts, lengths in tokens, three rows, and what is wrong.

    Args:
        data: a .jsonl, .json or .parquet file, a folder of them, reviews-preferences, or a Hub dataset.
        reading: how to read it.
        model: whose tokens to count in.
        max_length: tokens of prompt and response that fit; the model's context by default.
    """
    from dpo_teach.batches import tokenize_pair, tokenize_prompt, tokenize_response
    from dpo_teach.models import context_length, load_model

    survey = survey_pairs(data, **reading.as_arguments())
    loaded = load_model(model)
    limit = max_length or context_length(loaded.model)
    problems = [str(problem) for problem in survey.problems]
    for number, pair in enumerate(survey.pairs, start=1):
        try:
            tokenize_pair(pair, loaded.tokenizer, max_length=limit)
        except ValueError as error:
            problems.append(f"{pair.where or f'pair {number}'}, {error}")
    print(f"{data}: {len(survey.pairs)} pairs, {len(survey.problems)} rows that cannot be used")
    lengths = {
        "prompt": [len(tokenize_prompt(pair.prompt, loaded.tokenizer)) for pair in survey.pairs],
        "chosen": [len(tokenize_response(pair.chosen, loaded.tokenizer)) for pair in survey.pairs],
        "rejected": [len(tokenize_response(pair.rejected, loaded.tokenizer)) for pair in survey.pairs],
    }
    if survey.pairs:
        _print_lengths(lengths, limit, model)
    for pair in survey.pairs[:INSPECTED_ROWS]:
        print(f"\n  prompt    {pair.prompt!r}\n  chosen    {pair.chosen!r}\n  rejected  {pair.rejected!r}")
    print(f"\nproblems: {len(problems)}")
    for problem in problems:
        print(f"  {problem}")
    if problems:
        raise ValueError(f"{data}: {len(problems)} problems, listed above; --on-bad-row drop and --on-overlong drop "
                         "leave such pairs out of training")  # fmt: skip


def _print_lengths(lengths: dict[str, list[int]], limit: int, model: str) -> None:
    print(f"tokens of {model} ({limit} fit):    shortest   median  longest")
    for name, counts in lengths.items():
        print(f"  {name:30} {min(counts):8} {median(counts):8.0f} {max(counts):8}")

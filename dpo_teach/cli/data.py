"""Preference data on the command line: options shared by several commands, and `dpo-teach inspect`."""

import logging
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

import tyro

from dpo_teach.pairs import PreferencePair, hold_out, survey_pairs, without_prompts_of
from dpo_teach.pairs.checks import check_pairs

__all__ = ["BASE_MODEL", "DataOptions", "ReadingOptions", "inspect"]

BASE_MODEL = "reviews-gpt2"
INSPECTED_ROWS = 3
LISTED_PROBLEMS = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read preference data."""

    split: str = "train"
    """Split to read: a file in a folder, such as train.jsonl, or a split of a Hub dataset."""
    columns: dict[str, str] = field(default_factory=dict)
    """Column names, if they are not prompt, chosen and rejected. Example: prompt QUESTION chosen GOOD rejected BAD."""
    prompt_template: str | None = None
    """Template that builds the prompt from columns, such as '{instruction}\\n{input}\\n'; \\n stands for a new line."""

    def as_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `survey_pairs`."""
        template = None if self.prompt_template is None else self.prompt_template.replace("\\n", "\n")
        return {"split": self.split, "columns": self.columns or None, "prompt_template": template}


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Which preference pairs to use, and how many of them to hold out."""

    data: str = "reviews-preferences"
    """A .jsonl, .json or .parquet file, a folder of such files, the bundled reviews-preferences, or a Hub dataset."""
    on_bad_row: Literal["error", "drop"] = "error"
    """Stop with an error at the first invalid row, or skip invalid rows."""
    hold_out: int = 0
    """Number of pairs to hold out for evaluation; they are not used for training."""
    hold_out_seed: int = 0
    """Random seed that selects the held-out pairs. Use the same value for sft, train and evaluate."""

    def load(self) -> tuple[list[PreferencePair], list[PreferencePair]]:
        """Return the pairs to train on and the held-out pairs; warn about skipped rows and removed pairs.

        Raises:
            ValueError: the data is invalid, or no pairs are left to train on.
        """
        survey = survey_pairs(self.data, **self.as_arguments())
        pairs, problems = survey.valid_pairs(self.on_bad_row), survey.problems
        if problems:
            total = len(pairs) + len(problems)
            logger.warning(
                "%d of %d rows are invalid and were skipped; first problem: %s", len(problems), total, problems[0]
            )
        if not 0 <= self.hold_out < len(pairs):
            raise ValueError(f"--hold-out must be at least 0 and less than the number of pairs ({len(pairs)}), found "
                             f"{self.hold_out}")  # fmt: skip
        rest, held = hold_out(pairs, self.hold_out, self.hold_out_seed)
        kept = without_prompts_of(held, rest)
        shared = f"{len(rest) - len(kept)} of the {len(rest)} remaining pairs share a prompt with a held-out pair"
        if not kept:
            logger.warning("%s: the evaluation uses new responses, but no new prompts", shared)
            return rest, held
        if len(kept) < len(rest):
            logger.warning("%s and are not used for training", shared)
        return kept, held


def inspect(
    data: tyro.conf.Positional[str],
    reading: ReadingOptions,
    model: str = BASE_MODEL,
    max_length: int | None = None,
    max_prompt_length: int | None = None,
) -> None:
    """Summarise preference data: number of pairs, lengths in tokens, three examples, and all problems.

    Args:
        data: a .jsonl, .json or .parquet file, a folder of such files, reviews-preferences, or a Hub dataset.
        reading: how to read the data.
        model: model whose tokenizer counts the tokens.
        max_length: maximum tokens of prompt and response together. By default, the model's context length.
        max_prompt_length: maximum tokens of a prompt; longer prompts lose their beginning. By default, no limit.
    """
    from dpo_teach.batches import check_limits, tokenize_pair, tokenize_prompt, tokenize_response
    from dpo_teach.models import fitting_length, load_model

    survey = survey_pairs(data, **reading.as_arguments())
    loaded = load_model(model)
    tokenizer, limit = loaded.tokenizer, fitting_length(max_length, loaded.model)
    check_limits(limit, max_prompt_length)
    problems, truncated = [str(problem) for problem in survey.problems], 0
    for pair in survey.pairs:
        try:
            ids = tokenize_pair(pair, tokenizer, max_length=limit, max_prompt_length=max_prompt_length)
            truncated += any(response[-1] != tokenizer.eos_token_id for response in (ids.chosen_ids, ids.rejected_ids))
        except ValueError as error:
            problems.append(f"{pair.where}, {error}")
    print(f"{data}: {len(survey.pairs)} pairs, {len(survey.problems)} invalid rows")
    if survey.pairs:
        print(f"tokens of {model} (limit {limit}):    shortest   median  longest")
        for name, tokenize in (("prompt", tokenize_prompt), ("chosen", tokenize_response),
                               ("rejected", tokenize_response)):  # fmt: skip
            counts = [len(tokenize(getattr(pair, name), tokenizer)) for pair in survey.pairs]
            print(f"  {name:30} {min(counts):8} {median(counts):8.0f} {max(counts):8}")
        print(f"truncated: the responses of {truncated} pairs")
    findings = check_pairs(survey.pairs)
    if findings:
        print("\nworth a look:", *findings, sep="\n  ")
    for pair in survey.pairs[:INSPECTED_ROWS]:
        print(f"\n  prompt    {pair.prompt!r}\n  chosen    {pair.chosen!r}\n  rejected  {pair.rejected!r}")
    print(f"\nproblems: {len(problems)}")
    for problem in problems[:LISTED_PROBLEMS]:
        print(f"  {problem}")
    if len(problems) > LISTED_PROBLEMS:
        print(f"  and {len(problems) - LISTED_PROBLEMS} more")
    if problems:
        raise ValueError(f"{data}: found {len(problems)} problems, listed above; correct these rows, or skip them in "
                         "training with --on-bad-row drop and --on-overlong drop")  # fmt: skip

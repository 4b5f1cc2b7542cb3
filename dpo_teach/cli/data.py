"""Preference data on the command line: options shared by several commands, and `dpo-teach inspect`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import tyro

from dpo_teach.pairs import PreferencePair, hold_out, survey_pairs, without_prompts_of
from dpo_teach.pairs.checks import check_pairs

if TYPE_CHECKING:
    from dpo_teach.batches import TokenizedPair

__all__ = ["BASE_MODEL", "DataOptions", "LoadedPairs", "ReadingOptions", "inspect"]

BASE_MODEL = "reviews-gpt2"
INSPECTED_ROWS = 3
LISTED_PROBLEMS = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read preference data."""

    split: str = "train"
    """Split to read: files in a folder, such as train.jsonl, or a split of a Hub dataset."""
    dataset_config: str | None = None
    """Configuration (subset) of a Hub dataset that has several."""
    columns: dict[str, str] = field(default_factory=dict)
    """Column names, if they are not prompt, chosen and rejected. Example: prompt QUESTION chosen GOOD rejected BAD."""
    prompt_template: str | None = None
    """Template that builds the prompt from columns, such as '{instruction}\\n{input}\\n'; \\n stands for a new line."""
    on_bad_row: Literal["error", "drop"] = "error"
    """Stop with an error at the first invalid row (inspect lists all), or skip invalid rows."""
    chat_template: Path | None = None
    """File with a chat template (Jinja) that renders conversations. By default, the one of the model's tokenizer."""

    def set_chat_template(self, tokenizer: Any) -> None:
        """Give the chat template to a tokenizer, which is saved with it.

        Raises:
            ValueError: the file is not valid UTF-8, or empty.
            OSError: it cannot be read.
        """
        if self.chat_template is None:
            return
        try:
            tokenizer.chat_template = self.chat_template.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"--chat-template {self.chat_template}: expected UTF-8, found {error}") from error
        if not tokenizer.chat_template.strip():
            raise ValueError(f"--chat-template {self.chat_template}: expected a template, found an empty file")

    def describe(self, pairs: Sequence[PreferencePair], not_read: str, tokenizer: Any, model: str) -> list[str]:
        """Describe what was not read, and how conversations are rendered; one line each.

        Args:
            pairs: the pairs.
            not_read: names of columns and message keys that were not read.
            tokenizer: the tokenizer that renders the pairs.
            model: the model that the tokenizer belongs to.
        """
        from dpo_teach.batches import has_chat_template

        notes = [f"not read: {not_read}"] if not_read else []
        count = sum(pair.conversation is not None for pair in pairs)
        template = f"the chat template of {self.chat_template or model}"
        if count and has_chat_template(tokenizer):
            notes.append(f"conversations: {count} pairs, rendered with {template}")
        elif count:
            plain = r'"\n\nHuman: ...\n\nAssistant: ..."'
            notes.append(f"conversations: {count} pairs, as plain text, {plain}, because {model} has no chat template")
        elif self.chat_template is not None:
            notes.append(f"not used: {template}, because no pair consists of messages")
        return notes

    def as_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `survey_pairs`."""
        template = None if self.prompt_template is None else self.prompt_template.replace("\\n", "\n")
        return {"split": self.split, "dataset_config": self.dataset_config, "columns": self.columns or None,
                "prompt_template": template}  # fmt: skip


class LoadedPairs(NamedTuple):
    """The pairs to train on, the held-out pairs, and the names of what was not read, on one line."""

    train: list[PreferencePair]
    held_out: list[PreferencePair]
    not_read: str


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Which preference pairs to use, and how many of them to hold out."""

    data: str = "reviews-preferences"
    """A file (.jsonl, .json, .csv, .tsv, .parquet, also compressed as .gz, .bz2, .xz or .zst), a folder of such files,
    the bundled reviews-preferences, or a Hub dataset."""
    hold_out: int = 0
    """Number of pairs to hold out for evaluation; they are not used for training."""
    hold_out_seed: int = 0
    """Random seed that selects the held-out pairs. Use the same value for sft, train and evaluate."""

    def load(self) -> "LoadedPairs":
        """Read the pairs and hold some out; warn about skipped rows and removed pairs.

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
            return LoadedPairs(rest, held, survey.not_read)
        if len(kept) < len(rest):
            logger.warning("%s and are not used for training", shared)
        return LoadedPairs(kept, held, survey.not_read)


def inspect(
    data: tyro.conf.Positional[str],
    reading: ReadingOptions,
    model: str = BASE_MODEL,
    max_length: int | None = None,
    max_prompt_length: int | None = None,
) -> None:
    """Summarise preference data: number of pairs, lengths in tokens, three examples, and all problems.

    Args:
        data: a file (.jsonl, .json, .csv, .tsv, .parquet, also compressed), a folder, reviews-preferences, or a dataset
            on the Hub.
        reading: how to read the data.
        model: model whose tokenizer counts the tokens.
        max_length: maximum tokens of prompt and response together. By default, the model's context length.
        max_prompt_length: maximum tokens of a prompt; longer prompts lose their beginning. By default, no limit.
    """
    from dpo_teach.batches import check_limits, check_tokens
    from dpo_teach.models import fitting_length, load_model

    survey = survey_pairs(data, **reading.as_arguments())
    if reading.on_bad_row == "drop":
        survey.valid_pairs("drop")  # raises an error if there are none
    loaded = load_model(model)
    tokenizer, limit = loaded.tokenizer, fitting_length(max_length, loaded.model)
    check_limits(limit, max_prompt_length)
    reading.set_chat_template(tokenizer)
    tokens = _tokenize(survey.pairs, tokenizer, limit, max_prompt_length)
    print(f"{data}: {len(survey.pairs)} pairs, {len(survey.problems)} invalid rows")
    for note in reading.describe(survey.pairs, survey.not_read, tokenizer, model):
        print(note)
    if tokens.whole:
        print(f"tokens of {model} (limit {limit}):    shortest   median  longest")
        for name in ("prompt", "chosen", "rejected"):
            counts = [len(getattr(ids, f"{name}_ids")) for ids in tokens.whole]
            print(f"  {name:30} {min(counts):8} {median(counts):8.0f} {max(counts):8}")
        ends = [{ids.chosen_ids[-1], ids.rejected_ids[-1]} for ids in tokens.fitted]
        print(f"truncated: the responses of {sum(end != {tokenizer.eos_token_id} for end in ends)} pairs")
    findings = [*check_pairs(survey.pairs), *check_tokens(tokens.pairs, tokens.fitted, tokenizer)]
    if findings:
        print("\nworth a look:", *findings, sep="\n  ")
    _print_examples(survey.pairs[:INSPECTED_ROWS], tokenizer)
    problems = [*map(str, survey.problems), *tokens.problems]
    print(f"\nproblems: {len(problems)}")
    for problem in problems[:LISTED_PROBLEMS]:
        print(f"  {problem}")
    if len(problems) > LISTED_PROBLEMS:
        print(f"  and {len(problems) - LISTED_PROBLEMS} more")
    if tokens.problems or (survey.problems and reading.on_bad_row == "error"):
        raise ValueError(f"{data}: found {len(problems)} problems, listed above; correct these rows, or skip them in "
                         "training with --on-bad-row drop and --on-overlong drop")  # fmt: skip


class _Tokens(NamedTuple):
    """The ids of whole pairs, the pairs that fit with their ids, and the problems of the others."""

    whole: list["TokenizedPair"]
    pairs: list[PreferencePair]
    fitted: list["TokenizedPair"]
    problems: list[str]


def _tokenize(
    pairs: Sequence[PreferencePair], tokenizer: Any, max_length: int, max_prompt_length: int | None
) -> _Tokens:
    from dpo_teach.batches import fit_pair, tokenize_whole, unwrap

    tokens = _Tokens([], [], [], [])
    for pair, found in zip(pairs, tokenize_whole(pairs, tokenizer), strict=True):
        try:
            tokens.whole.append(unwrap(found))
            tokens.fitted.append(fit_pair(tokens.whole[-1], tokenizer, max_length, max_prompt_length))
            tokens.pairs.append(pair)
        except ValueError as error:
            tokens.problems.append(f"{pair.where}, {error}")
    return tokens


def _print_examples(pairs: Sequence[PreferencePair], tokenizer: Any) -> None:
    """Print pairs as text; rendered conversations with all special tokens, as the model reads them."""
    from dpo_teach.batches import has_chat_template, tokenize_whole

    for pair, ids in zip(pairs, tokenize_whole(pairs, tokenizer), strict=True):
        texts = [pair.prompt, pair.chosen, pair.rejected]
        if pair.conversation is not None and has_chat_template(tokenizer) and not isinstance(ids, ValueError):
            texts = [tokenizer.decode(part) for part in (ids.prompt_ids, ids.chosen_ids, ids.rejected_ids)]
        print("", *(f"  {name:9} {text!r}" for name, text in zip(("prompt", "chosen", "rejected"), texts, strict=True)),
              sep="\n")  # fmt: skip

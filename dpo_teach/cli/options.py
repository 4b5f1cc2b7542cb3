"""What several commands are told in the same way: which preference data, and how to read it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dpo_teach.cli.telling import note
from dpo_teach.pairs import PreferencePair, hold_out, map_pairs, without_prompts_of

__all__ = ["BASE_MODEL", "DataOptions", "ReadingOptions"]

BASE_MODEL = "reviews-gpt2"


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How preference data is read."""

    split: str = "train"
    """Which file of a folder, or which split of a Hub dataset."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns of other names, as: prompt QUESTION chosen GOOD rejected BAD."""
    prompt_template: str | None = None
    """A prompt out of several columns, as '{instruction}\\n{input}\\n'; \\n is a new line."""

    def as_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `load_pairs` and `survey_pairs`."""
        template = None if self.prompt_template is None else self.prompt_template.replace("\\n", "\n")
        return {"split": self.split, "columns": self.columns or None, "prompt_template": template}


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """Which preference pairs, and how many of them are kept away from training."""

    data: str = "reviews-preferences"
    """A .jsonl, .json or .parquet file, a folder of them, the bundled reviews-preferences, or a Hub dataset."""
    on_bad_row: Literal["error", "drop"] = "error"
    """What to do with a row that is no pair: stop and name it, or leave it out."""
    hold_out: int = 0
    """So many pairs, chosen by the seed below, are held out: trained on by no command, evaluated on by all."""
    hold_out_seed: int = 0
    """Decides which pairs are held out. Give sft, train and evaluate the same."""

    def load(self) -> tuple[Sequence[PreferencePair], Sequence[PreferencePair]]:
        """The pairs to train on, and those held out; what is in neither is told.

        Raises:
            ValueError: the data cannot be used, or nothing is left to train on.
        """
        pairs = map_pairs(self.data, **self.as_arguments(), on_bad_row=self.on_bad_row)
        if pairs.problems:
            rows = len(pairs) + len(pairs.problems)
            note(f"{len(pairs.problems)} of {rows} rows are no pairs and left out; the first: {pairs.problems[0]}")
        if not 0 <= self.hold_out < len(pairs):
            raise ValueError(f"--hold-out must be at least 0 and below the number of pairs ({len(pairs)}), found "
                             f"{self.hold_out}")  # fmt: skip
        rest, held = hold_out(pairs, self.hold_out, self.hold_out_seed)
        return _apart(rest, held), held


def _apart(rest: Sequence[PreferencePair], held: Sequence[PreferencePair]) -> Sequence[PreferencePair]:
    """Pairs to train on that share no prompt with those held out, where the data has any; what is done is told."""
    kept = without_prompts_of(held, rest)
    shared = f"{len(rest) - len(kept)} of the {len(rest)} other pairs have a prompt that is held out"
    if not kept:
        note(f"{shared}: the held-out pairs ask about other responses, and not about other prompts")
        return rest
    if len(kept) < len(rest):
        note(f"{shared}, and are not trained on")
    return kept

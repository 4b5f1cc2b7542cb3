"""Be the annotator: label thirty pairs by hand, train DPO on them, and measure what it learned about your taste."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import traitlets

from dpo_teach.pairs import PreferencePair
from dpo_teach.training import plan_steps
from dpo_teach.widgets.annotation import Annotation, Candidate, Rule, label_candidates
from dpo_teach.widgets.annotation_experiment import (
    SETTINGS,
    Agreement,
    compare_texts,
    load_author,
    measure_agreement,
    review_candidates,
    train_on_labels,
    write_as_author,
    write_reviews,
)
from dpo_teach.widgets.explorer import Explorer

__all__ = ["Annotator"]

OPENINGS, SHOWN = 64, 3
SEND_EVERY_S = 0.25
_CURVES = ("step", "loss", "margin", "eval_loss", "eval_margin", "eval_preference_accuracy")


class Annotator(Explorer, module="annotator", render="annotator", styles=("annotator",)):
    """Compare reviews by hand in the browser or by a rule, then train DPO on the labels and evaluate the policy.

    Every fifth label is held back from training. Each label is written at once to a file that `load_pairs` can read;
    with an existing file, labelling continues where it stopped.

    Args:
        path: file of the labels, ending in ".jsonl"; the file and its folder are created with the first label.
        candidates: the pairs to compare; by default pairs written by `reviews-gpt2`.
        wanted: the number of labels to collect; at least 5.

    Raises:
        ValueError: `wanted` is below 5 or above the number of candidates.
        PairError: the file cannot be used; the message names file and line.

    >>> pairs = [Candidate("We saw it.", f" {n} stars.", " No stars.") for n in range(1, 6)]
    >>> Annotator("labels.jsonl", candidates=pairs, wanted=5)
    Annotator: 0 of 5 labels, 0 to train on and 0 held back
    """

    commands = ("choose", "skip", "undo", "train")

    turn = traitlets.Int(0).tag(sync=True)
    phase = traitlets.Enum(["labelling", "ready", "training", "trained"], "labelling").tag(sync=True)
    prompt = traitlets.Unicode("").tag(sync=True)
    left = traitlets.Unicode("").tag(sync=True)
    right = traitlets.Unicode("").tag(sync=True)
    given = traitlets.Int(0).tag(sync=True)
    wanted = traitlets.Int(30).tag(sync=True)
    kept = traitlets.Int(0).tag(sync=True)
    held = traitlets.Int(0).tag(sync=True)
    can_undo = traitlets.Bool(False).tag(sync=True)
    file = traitlets.Unicode("").tag(sync=True)
    steps = traitlets.Int(0).tag(sync=True)
    curve = traitlets.List(traitlets.Any()).tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        candidates: Sequence[Candidate] | None = None,
        wanted: int = 30,
    ) -> None:
        pairs = review_candidates() if candidates is None else candidates
        self.annotation = Annotation(path, pairs, wanted=wanted)
        self.policy: Any = None
        self.reference, self.tokenizer = None, None
        self.agreement: Agreement | None = None
        super().__init__(wanted=wanted, file=Path(path).name)
        self._show()

    @property
    def labels(self) -> Sequence[PreferencePair]:
        """Every label so far, in the order in which they were given."""
        return self.annotation.labels

    @property
    def held_back(self) -> list[PreferencePair]:
        """The labels that training does not see: every fifth."""
        return self.annotation.held_back

    @property
    def training_pairs(self) -> list[PreferencePair]:
        """The labels that training sees."""
        return self.annotation.training_pairs

    def choose(self, side: str, turn: int | None = None) -> None:
        """Prefer the response on one side.

        Args:
            side: "left" or "right".
            turn: the turn that the browser showed; an answer to an earlier turn is ignored. None for the current one.

        Raises:
            ValueError, PairError, OSError: as in `Annotation.choose`.
        """
        if self._is_current(turn):
            self.annotation.choose(side)
            self._show()

    def skip(self, turn: int | None = None) -> None:
        """Prefer neither; the pair is shown again after all others. `turn` and errors as in `choose`."""
        if self._is_current(turn):
            self.annotation.skip()
            self._show()

    def undo(self, turn: int | None = None) -> None:
        """Undo the last answer and discard the trained policy. `turn` and errors as in `choose`."""
        if self._is_current(turn):
            self.annotation.undo()
            self._show()

    def answer_with(self, rule: Rule) -> None:
        """Let a rule give the missing labels.

        Args:
            rule: takes prompt, left and right response, and returns "left", "right" or "skip".

        Raises:
            ValueError: the rule returned something else, or it skips all remaining pairs.
        """
        if not self.annotation.finished:
            try:
                self.annotation.answer_with(rule)
            finally:
                self._show()

    def train(self, turn: int | None = None) -> None:
        """Train `reviews-gpt2` on the labels and measure what it learned; this takes some seconds.

        Raises:
            ValueError: labels are missing.
        """
        if not self._is_current(turn):
            return
        if not self.annotation.finished:
            raise ValueError(f"training needs {self.wanted} labels, found {len(self.labels)}")
        self._begin_training()
        try:
            self.policy = train_on_labels(self.reference, self.tokenizer, self.training_pairs,
                                          held_back=self.held_back, on_step=self._log_step)  # fmt: skip
            self.curve = list(self._rows)
            self.result = self._measure()
        finally:
            self.phase = "trained" if self.result else "ready"

    def agreement_with(self, rule: Rule, count: int = 200) -> Agreement:
        """Compare the policy with a rule on `count` fresh pairs, without those that the rule skips.

        Raises:
            ValueError: there is no trained policy yet, or the rule skips every pair.
        """
        if self.policy is None:
            raise ValueError("there is no policy yet: call train() first")
        fresh = label_candidates(review_candidates(count, split="test"), rule)
        if not fresh:
            raise ValueError(f"the rule skips all {count} fresh pairs")
        return measure_agreement(self.policy, self.reference, self.tokenizer, fresh)

    def describe(self) -> str:
        """The number of labels and, after training, how many of the held-back labels the policy agrees with."""
        labels = f"Annotator: {self.given} of {self.wanted} labels, {self.kept} to train on and {self.held} held back"
        if self.agreement is None:
            return labels
        return f"{labels}; the policy agrees on {self.agreement.agreed:g} of {self.agreement.pairs} held-back pairs"

    def _is_current(self, turn: int | None) -> bool:
        return turn is None or turn == self.turn

    def _show(self) -> None:
        """Send the labelling state to the browser; a policy trained on other labels is discarded."""
        candidate = self.annotation.current
        self.policy = self.agreement = None
        with self.hold_sync():
            texts = ("", "", "") if candidate is None else (candidate.prompt, candidate.left, candidate.right)
            self.prompt, self.left, self.right = texts[0], texts[1].strip(), texts[2].strip()
            self.given, self.can_undo = len(self.labels), self.annotation.can_undo
            self.kept, self.held = len(self.training_pairs), len(self.held_back)
            self.phase = "ready" if candidate is None else "labelling"
            self.curve, self.result = [], {}
            self.turn += 1

    def _begin_training(self) -> None:
        self.policy = self.agreement = None
        lengths = [0] * len(self.training_pairs)
        steps = len(plan_steps(lengths, batch_size=SETTINGS.batch_size, epochs=SETTINGS.epochs))
        with self.hold_sync():
            self.curve, self.result, self.steps, self.phase = [], {}, steps, "training"
            self.turn += 1
        self._rows: list[list[float]] = []
        self._sent_at = 0.0
        self.reference, self.tokenizer = load_author()

    def _log_step(self, row: Mapping[str, Any]) -> None:
        """Extend the curve in the browser, a few times a second."""
        self._rows.append([float(row[name]) for name in _CURVES])
        now = time.monotonic()
        if now - self._sent_at > SEND_EVERY_S:
            self.curve, self._sent_at = list(self._rows), now

    def _measure(self) -> dict[str, Any]:
        """Evaluate the policy and return the results that the browser shows."""
        self.agreement, trained = (
            measure_agreement(self.policy, self.reference, self.tokenizer, pairs)
            for pairs in (self.held_back, self.training_pairs)
        )
        openings = tuple(candidate.prompt for candidate in review_candidates(OPENINGS, split="test"))
        before, after = write_as_author(openings), write_reviews(self.policy, self.tokenizer, openings)
        samples = [
            {"prompt": openings[i], "before": before[i].strip(), "after": after[i].strip()} for i in range(SHOWN)
        ]
        return {
            "agreed": self.agreement.agreed, "pairs": self.agreement.pairs, "share": self.agreement.share,
            "error": self.agreement.error, "luck": self.agreement.luck,
            "trained_agreed": trained.agreed, "trained_pairs": trained.pairs,
            "openings": OPENINGS, "samples": samples,
            "traits": [{"name": t.name, "before": t.before, "after": t.after, "error": t.error, "moved": t.moved}
                       for t in compare_texts(before, after)],
        }  # fmt: skip

"""Collecting labels: which pair is asked next, what was answered, and which labels training must not see."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dpo_teach.pairs import PreferencePair
from dpo_teach.widgets.annotation_file import LabelFile
from dpo_teach.widgets.annotation_pairs import Candidate, Decision, Rule

__all__ = ["HELD_BACK_EVERY", "Annotation", "label_candidates"]

HELD_BACK_EVERY = 5
"""Every fifth label is kept out of training, so that the policy can be asked about pairs that it has not seen."""


class _Answer(NamedTuple):
    """One answer: to which candidate (None: the file had a label to no candidate), and whether it was a label."""

    candidate: int | None
    labelled: bool


class Annotation:
    """Labels that are given one after the other, each on the disk when it was given.

    Asked next is the first candidate without a label behind the one that was answered last; behind the last candidate
    come the skipped ones. So the labels in the file are enough to go on where somebody stopped.

    Args:
        path: of the labels, a JSONL file that `load_pairs` reads; one that is there already is gone on with.
        candidates: the pairs to ask about.
        wanted: how many labels make an end; at least 5, at most as many as there are candidates.

    Raises:
        ValueError: `wanted` is out of its range.
        PairError: the file cannot be used; the message names file and line.
    """

    def __init__(self, path: str | os.PathLike[str], candidates: Sequence[Candidate], *, wanted: int = 30) -> None:
        if not HELD_BACK_EVERY <= wanted <= len(candidates):
            raise ValueError(
                f"wanted must be from {HELD_BACK_EVERY} to the {len(candidates)} candidates, found {wanted}"
            )
        self.candidates, self.wanted = candidates, wanted
        self._file = LabelFile(path)
        places = {_key(c.prompt, c.left, c.right): position for position, c in enumerate(candidates)}
        self._answers = [_Answer(places.get(_key(p.prompt, p.chosen, p.rejected)), True) for p in self.labels]

    @property
    def labels(self) -> Sequence[PreferencePair]:
        """Every label, in the order in which they were given."""
        return self._file.pairs

    @property
    def held_back(self) -> list[PreferencePair]:
        """Every fifth label: for judging, never for training."""
        return list(self.labels[HELD_BACK_EVERY - 1 :: HELD_BACK_EVERY])

    @property
    def training_pairs(self) -> list[PreferencePair]:
        """All other labels."""
        return [pair for number, pair in enumerate(self.labels, start=1) if number % HELD_BACK_EVERY]

    @property
    def finished(self) -> bool:
        """Whether all labels that are wanted are given."""
        return len(self.labels) >= self.wanted

    @property
    def position(self) -> int | None:
        """Which candidate is asked about, counted from 0; None when all labels are given."""
        if self.finished:
            return None
        labelled = {answer.candidate for answer in self._answers if answer.labelled}
        answered = [answer.candidate for answer in self._answers if answer.candidate is not None]
        begin = answered[-1] + 1 if answered else 0
        order = [*range(begin, len(self.candidates)), *range(begin)]
        return next(position for position in order if position not in labelled)

    @property
    def current(self) -> Candidate | None:
        """The pair that is asked about; None when all labels are given."""
        position = self.position
        return None if position is None else self.candidates[position]

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer to take back."""
        return bool(self._answers)

    def choose(self, side: str) -> None:
        """Prefer the response on one side, "left" or "right"; the label is on the disk when this returns.

        Raises:
            ValueError: there is no such side, or all labels are given.
            PairError: somebody else changed the file.
            OSError: the label could not be written; it is not given then.
        """
        if side not in ("left", "right"):
            raise ValueError(f"side must be 'left' or 'right', found {side!r}")
        position, asked = self._asked()
        self._file.append(_label(asked, side))
        self._answers.append(_Answer(position, True))

    def skip(self) -> None:
        """Prefer neither: nothing is written, and the pair comes back behind all others.

        Raises:
            ValueError: all labels are given.
        """
        position, _ = self._asked()
        self._answers.append(_Answer(position, False))

    def undo(self) -> None:
        """Take the last answer back, also one of an earlier session; its pair is asked about again.

        Raises:
            ValueError: there is no answer.
            PairError: somebody else changed the file.
            OSError: the file could not be written; the label stands then.
        """
        if not self._answers:
            raise ValueError("there is no answer to undo")
        if self._answers[-1].labelled:
            self._file.drop_last()
        self._answers.pop()

    def let(self, rule: Rule) -> None:
        """Have a rule answer until all labels are given.

        Args:
            rule: gets prompt, left and right response, and gives "left", "right" or "skip".

        Raises:
            ValueError: the rule gave another answer, or it skips every pair that is left.
        """
        skipped = 0
        while (asked := self.current) is not None:
            decision = rule(asked.prompt, asked.left, asked.right)
            if decision == "skip":
                skipped += 1
                self.skip()
            else:
                skipped = 0
                self.choose(decision)
            if skipped > len(self.candidates):
                raise ValueError(
                    f"the rule skips every pair that is left; it gave {len(self.labels)} of {self.wanted} labels"
                )

    def _asked(self) -> tuple[int, Candidate]:
        position = self.position
        if position is None:
            raise ValueError(f"all {len(self.labels)} labels are given; undo one to change it")
        return position, self.candidates[position]


def label_candidates(candidates: Iterable[Candidate], rule: Rule) -> list[PreferencePair]:
    """The pairs that a rule makes of candidates; those that it skips are left out.

    >>> asked = [Candidate("We saw it.", " Fine.", " Awful."), Candidate("We saw it.", " Bad.", " Good.")]
    >>> [pair.chosen for pair in label_candidates(asked, lambda prompt, left, right: "right")]
    [' Awful.', ' Good.']
    """
    decided: list[tuple[Candidate, Decision]] = [(c, rule(c.prompt, c.left, c.right)) for c in candidates]
    return [_label(candidate, decision) for candidate, decision in decided if decision != "skip"]


def _label(asked: Candidate, side: str) -> PreferencePair:
    chosen, rejected = (asked.left, asked.right) if side == "left" else (asked.right, asked.left)
    return PreferencePair(asked.prompt, chosen, rejected)


def _key(prompt: str, first: str, second: str) -> tuple[str, frozenset[str]]:
    """What a pair is known by, whichever side was preferred."""
    return prompt, frozenset((first, second))

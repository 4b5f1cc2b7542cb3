"""Collecting labels: which pair comes next, the labels on the disk, and which of them training must not see."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from dpo_teach.pairs import PairError, PreferencePair, survey_pairs
from dpo_teach.runs.atomic_io import atomic_write

__all__ = ["HELD_BACK_EVERY", "Annotation", "Candidate", "Decision", "LabelFile", "Rule", "label_candidates"]

HELD_BACK_EVERY = 5
"""Every fifth label is held back from training, to test the policy on pairs that it has not seen."""

Decision: TypeAlias = Literal["left", "right", "skip"]
Rule: TypeAlias = Callable[[str, str, str], Decision]
"""A scripted annotator: takes prompt, left and right response, and returns a decision."""


@dataclass(frozen=True)
class Candidate:
    """A pair without a label: a prompt, and the response on either side."""

    prompt: str
    left: str
    right: str


class LabelFile:
    """A JSONL file of preference pairs, changed one label at a time and readable by `load_pairs`.

    Each change writes a file beside it, waits until it is on the disk, and renames it. A process that is killed at any
    moment loses no label.

    Args:
        path: ends in ".jsonl"; its folder is created with the first label. An existing file is read.

    Raises:
        PairError: the path has another suffix, or a line of the file is not a pair; the message names file and line.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix != ".jsonl":
            raise PairError(f"{self.path}: labels need a file that ends in .jsonl, found {self.path.suffix!r}")
        self.pairs = self._read()
        self._size = self._size_on_disk()

    def append(self, pair: PreferencePair) -> None:
        """Add a label at the end.

        Raises:
            PairError: another program changed the file.
            OSError: the file cannot be written, for example on a full disk; it is unchanged then.
        """
        row = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        self._write([*self._lines(), json.dumps(row, ensure_ascii=False).encode()])
        self.pairs.append(pair)

    def drop_last(self) -> PreferencePair:
        """Remove the last label and return it.

        Raises:
            PairError: another program changed the file.
            IndexError: there is no label.
            OSError: the file cannot be written, for example on a full disk; it is unchanged then.
        """
        self._write(self._lines()[:-1])
        return self.pairs.pop()

    def _read(self) -> list[PreferencePair]:
        if not self.path.exists() or not self.path.read_bytes().strip():
            return []
        survey = survey_pairs(self.path)
        if survey.problems:
            raise PairError(f"{survey.problems[0]}; fix or delete that line to continue with these labels")
        return survey.pairs

    def _lines(self) -> list[bytes]:
        """The lines as they are, since a file edited by hand may have more fields than ours."""
        size = self._size_on_disk()
        if size != self._size:
            raise PairError(f"{self.path}: expected {self._size} bytes, found {size}; another program changed the "
                            "file, open it again to continue")  # fmt: skip
        return [line for line in self.path.read_bytes().split(b"\n") if line.strip()] if size else []

    def _write(self, lines: Iterable[bytes]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path, b"".join(line + b"\n" for line in lines))
        self._size = self._size_on_disk()

    def _size_on_disk(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


class _Answer(NamedTuple):
    """One answer: its candidate (None for a label in the file that belongs to none), and whether it is a label."""

    candidate: int | None
    labelled: bool


class Annotation:
    """Labels that are given one after the other, each written to the disk at once.

    Next comes the first candidate without a label after the one that was answered last; after the last candidate, the
    skipped ones come again. The labels in the file are therefore all that a later session needs to continue.

    Args:
        path: the JSONL file of the labels, which `load_pairs` reads; an existing one is continued.
        candidates: the pairs to compare.
        wanted: the number of labels to collect, from 5 to the number of candidates.

    Raises:
        ValueError: `wanted` is out of range.
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
        """Every fifth label: for evaluation, never for training."""
        return list(self.labels[HELD_BACK_EVERY - 1 :: HELD_BACK_EVERY])

    @property
    def training_pairs(self) -> list[PreferencePair]:
        """All other labels."""
        return [pair for number, pair in enumerate(self.labels, start=1) if number % HELD_BACK_EVERY]

    @property
    def finished(self) -> bool:
        """Whether all labels are given."""
        return len(self.labels) >= self.wanted

    @property
    def position(self) -> int | None:
        """The index of the candidate that comes next; None when all labels are given."""
        if self.finished:
            return None
        labelled = {answer.candidate for answer in self._answers if answer.labelled}
        answered = [answer.candidate for answer in self._answers if answer.candidate is not None]
        begin = answered[-1] + 1 if answered else 0
        order = [*range(begin, len(self.candidates)), *range(begin)]
        return next(position for position in order if position not in labelled)

    @property
    def current(self) -> Candidate | None:
        """The pair that comes next; None when all labels are given."""
        position = self.position
        return None if position is None else self.candidates[position]

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer to undo."""
        return bool(self._answers)

    def choose(self, side: str) -> None:
        """Prefer the response on one side, "left" or "right"; the label is on the disk when this returns.

        Raises:
            ValueError: there is no such side, or all labels are given.
            PairError: another program changed the file.
            OSError: the label could not be written; it does not count then.
        """
        if side not in ("left", "right"):
            raise ValueError(f"side must be 'left' or 'right', found {side!r}")
        position, candidate = self._next()
        self._file.append(_label(candidate, side))
        self._answers.append(_Answer(position, True))

    def skip(self) -> None:
        """Prefer neither: nothing is written, and the pair comes again after all others.

        Raises:
            ValueError: all labels are given.
        """
        position, _ = self._next()
        self._answers.append(_Answer(position, False))

    def undo(self) -> None:
        """Undo the last answer, also one of an earlier session; its pair comes again.

        Raises:
            ValueError: there is no answer.
            PairError: another program changed the file.
            OSError: the file could not be written; the label remains then.
        """
        if not self._answers:
            raise ValueError("there is no answer to undo")
        if self._answers[-1].labelled:
            self._file.drop_last()
        self._answers.pop()

    def answer_with(self, rule: Rule) -> None:
        """Let a rule answer until all labels are given.

        Args:
            rule: takes prompt, left and right response, and returns "left", "right" or "skip".

        Raises:
            ValueError: the rule returned another answer, or it skips all remaining pairs.
        """
        skipped = 0
        while (candidate := self.current) is not None:
            decision = rule(candidate.prompt, candidate.left, candidate.right)
            if decision == "skip":
                skipped += 1
                self.skip()
            else:
                skipped = 0
                self.choose(decision)
            if skipped > len(self.candidates):
                raise ValueError(
                    f"the rule skips all remaining pairs; it gave {len(self.labels)} of {self.wanted} labels"
                )

    def _next(self) -> tuple[int, Candidate]:
        position = self.position
        if position is None:
            raise ValueError(f"all {len(self.labels)} labels are given; undo one to change it")
        return position, self.candidates[position]


def label_candidates(candidates: Iterable[Candidate], rule: Rule) -> list[PreferencePair]:
    """The pairs that a rule labels; candidates that it skips are left out.

    >>> candidates = [Candidate("We saw it.", " Fine.", " Awful."), Candidate("We saw it.", " Bad.", " Good.")]
    >>> [pair.chosen for pair in label_candidates(candidates, lambda prompt, left, right: "right")]
    [' Awful.', ' Good.']
    """
    decided: list[tuple[Candidate, Decision]] = [(c, rule(c.prompt, c.left, c.right)) for c in candidates]
    return [_label(candidate, decision) for candidate, decision in decided if decision != "skip"]


def _label(candidate: Candidate, side: str) -> PreferencePair:
    chosen, rejected = (candidate.left, candidate.right) if side == "left" else (candidate.right, candidate.left)
    return PreferencePair(candidate.prompt, chosen, rejected)


def _key(prompt: str, first: str, second: str) -> tuple[str, frozenset[str]]:
    """Identifies a pair, whichever response was preferred."""
    return prompt, frozenset((first, second))

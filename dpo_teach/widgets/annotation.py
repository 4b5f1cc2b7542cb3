"""Collect preference labels: choose the next pair, save each label to disk, hold some labels back from training."""

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
"""Every fifth label is held back from training, so that the policy can be tested on pairs that it has not seen."""

Decision: TypeAlias = Literal["left", "right", "skip"]
Rule: TypeAlias = Callable[[str, str, str], Decision]
"""A scripted annotator: takes prompt, left and right response, and returns a decision."""


@dataclass(frozen=True)
class Candidate:
    """An unlabelled pair: a prompt, the response on the left and the response on the right."""

    prompt: str
    left: str
    right: str


class LabelFile:
    """A JSONL file of preference pairs, changed one label at a time and readable by `load_pairs`.

    Each change writes a temporary file next to it, waits until it is on disk, and renames it. No label is lost if the
    process is killed.

    Args:
        path: file name ending in ".jsonl". Its folder is created with the first label; an existing file is read.

    Raises:
        PairError: the path has another suffix, or a line of the file is not a pair; the message names file and line.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix != ".jsonl":
            raise PairError(f"{self.path}: expected a file name that ends in .jsonl, found {self.path.suffix!r}")
        self.pairs = self._read()
        self._size = self._size_on_disk()

    def append(self, pair: PreferencePair) -> None:
        """Append a label.

        Raises:
            PairError: another program has changed the file.
            OSError: the file cannot be written, for example because the disk is full; it is then unchanged.
        """
        row = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        self._write([*self._lines(), json.dumps(row, ensure_ascii=False).encode()])
        self.pairs.append(pair)

    def drop_last(self) -> PreferencePair:
        """Remove the last label and return it.

        Raises:
            PairError: another program has changed the file.
            IndexError: there is no label.
            OSError: the file cannot be written, for example because the disk is full; it is then unchanged.
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
        """The lines as stored: a file edited by hand may have fields that this class does not write."""
        size = self._size_on_disk()
        if size != self._size:
            raise PairError(f"{self.path}: expected {self._size} bytes, found {size}; another program has changed "
                            "the file: open it again to continue")  # fmt: skip
        return [line for line in self.path.read_bytes().split(b"\n") if line.strip()] if size else []

    def _write(self, lines: Iterable[bytes]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(self.path, b"".join(line + b"\n" for line in lines))
        self._size = self._size_on_disk()

    def _size_on_disk(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


class _Answer(NamedTuple):
    """An answer: the index of its candidate (None if a label in the file matches none), and whether it is a label."""

    candidate: int | None
    labelled: bool


class Annotation:
    """A labelling session: candidates are presented one at a time, and each label is written to disk at once.

    The next candidate is the first one without a label after the last answer; after the last candidate, the skipped
    ones are presented again. A later session therefore needs only the labels in the file to continue.

    Args:
        path: JSONL file of the labels, in the format of `load_pairs`; an existing file is continued.
        candidates: the pairs to compare.
        wanted: the number of labels to collect, from 5 to the number of candidates.

    Raises:
        ValueError: `wanted` is out of range.
        PairError: the file cannot be used; the message names file and line.
    """

    def __init__(self, path: str | os.PathLike[str], candidates: Sequence[Candidate], *, wanted: int = 30) -> None:
        if not HELD_BACK_EVERY <= wanted <= len(candidates):
            raise ValueError(
                f"wanted: expected a number from {HELD_BACK_EVERY} to {len(candidates)}, the number of candidates, "
                f"found {wanted}"
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
        """The labels that are not held back."""
        return [pair for number, pair in enumerate(self.labels, start=1) if number % HELD_BACK_EVERY]

    @property
    def finished(self) -> bool:
        """Whether the requested number of labels has been given."""
        return len(self.labels) >= self.wanted

    @property
    def position(self) -> int | None:
        """The index of the next candidate; None when labelling is finished."""
        if self.finished:
            return None
        labelled = {answer.candidate for answer in self._answers if answer.labelled}
        answered = [answer.candidate for answer in self._answers if answer.candidate is not None]
        begin = answered[-1] + 1 if answered else 0
        order = [*range(begin, len(self.candidates)), *range(begin)]
        return next(position for position in order if position not in labelled)

    @property
    def current(self) -> Candidate | None:
        """The next pair to label; None when labelling is finished."""
        position = self.position
        return None if position is None else self.candidates[position]

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer to undo."""
        return bool(self._answers)

    def choose(self, side: str) -> None:
        """Prefer the response on one side, "left" or "right"; the label is on disk when this returns.

        Raises:
            ValueError: the side is neither, or labelling is finished.
            PairError: another program has changed the file.
            OSError: the label could not be written; it is then not counted.
        """
        if side not in ("left", "right"):
            raise ValueError(f"side must be 'left' or 'right', found {side!r}")
        position, candidate = self._next()
        self._file.append(_label(candidate, side))
        self._answers.append(_Answer(position, True))

    def skip(self) -> None:
        """Prefer neither: nothing is written, and the pair is presented again after all others.

        Raises:
            ValueError: labelling is finished.
        """
        position, _ = self._next()
        self._answers.append(_Answer(position, False))

    def undo(self) -> None:
        """Undo the last answer, even one from an earlier session; its pair is presented again.

        Raises:
            ValueError: there is no answer to undo.
            PairError: another program has changed the file.
            OSError: the file could not be written; the label is then kept.
        """
        if not self._answers:
            raise ValueError("there is no answer to undo")
        if self._answers[-1].labelled:
            self._file.drop_last()
        self._answers.pop()

    def answer_with(self, rule: Rule) -> None:
        """Let a rule answer until labelling is finished.

        Args:
            rule: takes prompt, left and right response, and returns "left", "right" or "skip".

        Raises:
            ValueError: the rule returned something else, or it skips all remaining pairs.
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
                    f"the rule skips all remaining pairs: {len(self.labels)} of {self.wanted} labels so far"
                )

    def _next(self) -> tuple[int, Candidate]:
        position = self.position
        if position is None:
            raise ValueError(f"all {len(self.labels)} labels have been given: call undo() to change the last one")
        return position, self.candidates[position]


def label_candidates(candidates: Iterable[Candidate], rule: Rule) -> list[PreferencePair]:
    """Label candidates with a rule; candidates that it skips are left out.

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
    """A key that identifies a pair, whichever response was preferred."""
    return prompt, frozenset((first, second))

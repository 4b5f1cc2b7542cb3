"""Exercises in which something is chosen: one out of several, or one for each of several labels."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpo_teach.exercises.base import Exercise
from dpo_teach.exercises.verdict import Verdict, a, quoted

__all__ = ["ChoiceExercise", "MatchExercise", "Question"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ChoiceExercise(Exercise):
    """Name the one that is asked for.

    Args:
        answer: the right choice.
        explanation: why it is right; what `reveal` shows.
        diagnoses: for each wrong choice, what picking it overlooked.
    """

    answer: Hashable
    explanation: str
    diagnoses: Mapping[Hashable, str]

    def solution_cell(self) -> str:
        """An assignment of the right choice."""
        return f"{self.answer_name} = {self.answer!r}"

    def _solution(self) -> str:
        return self.explanation

    def _judge(self, answer: Any) -> Verdict:
        choices = sorted([self.answer, *self.diagnoses], key=str)
        choice = _meant(answer, choices)
        if choice is None:
            return Verdict("wrong", f"The choices are {', '.join(map(str, choices))}, and this is {_quoted(answer)}.")
        if choice == self.answer:
            return Verdict("solved", self.praise)
        return Verdict("wrong", self.diagnoses[choice])


@dataclass(frozen=True, kw_only=True)
class Question:
    """One of the questions of a `MatchExercise`.

    Args:
        answer: the right choice.
        explanation: why it is right, in a sentence or two.
        diagnoses: for each wrong choice, what picking it overlooked, without a word of the right one.
    """

    answer: str
    explanation: str
    diagnoses: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchExercise(Exercise):
    """Give each label its choice, in a dict such as `{"A": "both up", "B": ...}`.

    Args:
        choices: the same for every label, in the order in which they are listed.
        questions: by label.

    Raises:
        ValueError: a question does not have one diagnosis for each choice that is wrong there.
    """

    choices: tuple[str, ...]
    questions: Mapping[str, Question]

    def __post_init__(self) -> None:
        super().__post_init__()
        for label, question in self.questions.items():
            if {question.answer, *question.diagnoses} != set(self.choices) or question.answer in question.diagnoses:
                raise ValueError(f"question {label!r}: one diagnosis is wanted for each choice but the right one")

    def solution_cell(self) -> str:
        """A dict literal, one label a line."""
        lines = [f"    {_text(label)}: {_text(question.answer)}," for label, question in self.questions.items()]
        return "\n".join([f"{self.answer_name} = {{", *lines, "}"])

    def _solution(self) -> str:
        return " ".join(f"{label}: {one.answer}. {one.explanation}" for label, one in self.questions.items())

    def _judge(self, answer: Any) -> Verdict:
        if not isinstance(answer, Mapping):
            return Verdict("wrong", f"A dict is wanted, {self._form()}, and this is {a(answer)}.")
        given = {label: choice for label, choice in answer.items() if choice is not None and choice is not ...}
        strange = next((label for label in given if label not in self.questions), None)
        if strange is not None:
            return Verdict("wrong", f"There is no {_quoted(strange)} here: the labels are {_listed(self.questions)}.")
        meant = {label: _meant(choice, self.choices) for label, choice in given.items()}
        for label, choice in meant.items():
            if choice is None:
                choices = ", ".join(map(_quoted, self.choices))
                return Verdict("wrong", f"For {label} the choices are {choices}, and this is {_quoted(given[label])}.")
        return self._count(meant) if given else self._unattempted()

    def _count(self, meant: Mapping[str, Any]) -> Verdict:
        """How many are right, what is open, and what the first wrong one overlooked."""
        wrong = [label for label, one in self.questions.items() if label in meant and meant[label] != one.answer]
        missing = [label for label in self.questions if label not in meant]
        if not wrong and not missing:
            return Verdict("solved", self.praise)
        score = f"{len(meant) - len(wrong)} of {len(self.questions)} right"
        if missing:
            score += f", and not answered yet: {_listed(missing)}"
        if not wrong:
            return Verdict("unfinished", f"{score}.")
        first = wrong[0]
        return Verdict("wrong", f"{score}. {first}: {self.questions[first].diagnoses[meant[first]]}")

    def _form(self) -> str:
        return "`" + self.answer_name + " = {" + ", ".join(f"{_text(label)}: ..." for label in self.questions) + "}`"


def _meant(answer: Any, choices: Sequence[Any]) -> Any:
    """The choice that an answer stands for, be it 3, 3.0 or "3", in capitals or not; None if there is none."""
    said = _plain(answer)
    return next((choice for choice in choices if _plain(choice) == said), None)


def _plain(value: Any) -> str:
    if not isinstance(value, bool):
        try:
            return f"{float(value):g}"
        except (TypeError, ValueError, OverflowError, RuntimeError):
            pass
    return " ".join(str(value).casefold().split())


def _listed(labels: Iterable[str]) -> str:
    """Labels in a row, with semicolons between them if one has a comma of its own."""
    labels = list(labels)
    return ("; " if any("," in label for label in labels) else ", ").join(labels)


def _quoted(value: Any) -> str:
    return quoted(_text(value) if isinstance(value, str) else repr(value))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)

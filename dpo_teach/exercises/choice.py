"""Exercises with choices: one answer out of several, or one answer for each of several labels."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpo_teach.exercises.exercise import Exercise, Verdict, quote, type_with_article

__all__ = ["ChoiceExercise", "MatchExercise", "Question"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChoiceExercise(Exercise):
    """Choose one answer.

    Args:
        answer: the right choice.
        explanation: why it is right; shown by `reveal`.
        diagnoses: for each wrong choice, what it overlooks.
    """

    answer: Hashable
    explanation: str
    diagnoses: Mapping[Hashable, str]

    def solution_cell(self) -> str:
        """An assignment of the right choice."""
        return f"{self.answer_name} = {self.answer!r}"

    def _solution(self) -> str:
        return self.explanation

    def _evaluate(self, answer: Any) -> Verdict:
        choices = sorted([self.answer, *self.diagnoses], key=str)
        choice = _find_choice(answer, choices)
        if choice is None:
            listed = ", ".join(map(str, choices))
            return Verdict("wrong", f"Expected one of {listed}, found {_quote_literal(answer)}.")
        if choice == self.answer:
            return Verdict("solved", self.praise)
        return Verdict("wrong", self.diagnoses[choice])


@dataclass(frozen=True, kw_only=True)
class Question:
    """One of the questions of a `MatchExercise`.

    Args:
        answer: the right choice.
        explanation: why it is right, in a sentence or two.
        diagnoses: for each wrong choice, what it overlooks, without naming the right one.
    """

    answer: str
    explanation: str
    diagnoses: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MatchExercise(Exercise):
    """Choose an answer for each label, in a dict such as `{"A": "both up", "B": ...}`.

    Args:
        choices: the choices, the same for every label, in the order in which messages list them.
        questions: the question of each label.

    Raises:
        ValueError: a question does not have exactly one diagnosis for each wrong choice.
    """

    choices: tuple[str, ...]
    questions: Mapping[str, Question]

    def __post_init__(self) -> None:
        super().__post_init__()
        for label, question in self.questions.items():
            if {question.answer, *question.diagnoses} != set(self.choices) or question.answer in question.diagnoses:
                raise ValueError(f"question {label!r}: expected one diagnosis for each wrong choice")

    def solution_cell(self) -> str:
        """A dict literal, one label per line."""
        lines = [f"    {_literal(label)}: {_literal(question.answer)}," for label, question in self.questions.items()]
        return "\n".join([f"{self.answer_name} = {{", *lines, "}"])

    def _solution(self) -> str:
        return " ".join(f"{label}: {one.answer}. {one.explanation}" for label, one in self.questions.items())

    def _evaluate(self, answer: Any) -> Verdict:
        if not isinstance(answer, Mapping):
            form = ", ".join(f"{_literal(label)}: ..." for label in self.questions)
            return Verdict(
                "wrong",
                f"Expected a dict, `{self.answer_name} = {{{form}}}`, but this is {type_with_article(answer)}.",
            )
        given = {label: choice for label, choice in answer.items() if choice is not None and choice is not ...}
        unknown = next((label for label in given if label not in self.questions), None)
        if unknown is not None:
            labels = _join_labels(self.questions)
            return Verdict("wrong", f"Unknown label {_quote_literal(unknown)}: the labels are {labels}.")
        chosen = {label: _find_choice(choice, self.choices) for label, choice in given.items()}
        for label, choice in chosen.items():
            if choice is None:
                choices = ", ".join(one if one.isdigit() else _quote_literal(one) for one in self.choices)
                found = _quote_literal(given[label])
                return Verdict("wrong", f"{label}: expected one of {choices}, found {found}.")
        return self._count(chosen) if given else self._unattempted()

    def _count(self, chosen: Mapping[str, Any]) -> Verdict:
        """Count the right answers, list the missing ones, and explain the first wrong one."""
        wrong = [label for label, one in self.questions.items() if label in chosen and chosen[label] != one.answer]
        missing = [label for label in self.questions if label not in chosen]
        if not wrong and not missing:
            return Verdict("solved", self.praise)
        score = f"{len(chosen) - len(wrong)} of {len(self.questions)} right"
        if missing:
            score += f"; not answered yet: {_join_labels(missing)}"
        if not wrong:
            return Verdict("unfinished", f"{score}.")
        first = wrong[0]
        return Verdict("wrong", f"{score}. {first}: {self.questions[first].diagnoses[chosen[first]]}")


def _find_choice(answer: Any, choices: Sequence[Any]) -> Any:
    """The choice meant by an answer such as 3, 3.0, "3" or " Both UP "; None if there is none."""
    normalised = _normalise(answer)
    return next((choice for choice in choices if _normalise(choice) == normalised), None)


def _normalise(value: Any) -> str:
    if not isinstance(value, bool):
        try:
            return f"{float(value):g}"
        except (TypeError, ValueError, OverflowError, RuntimeError):
            pass
    return " ".join(str(value).casefold().split())


def _join_labels(labels: Iterable[str]) -> str:
    """Labels separated by commas, or by semicolons if one of them contains a comma."""
    labels = list(labels)
    return ("; " if any("," in label for label in labels) else ", ").join(labels)


def _quote_literal(value: Any) -> str:
    return quote(_literal(value) if isinstance(value, str) else repr(value))


def _literal(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Exercises in which a function is written.

A check runs the learner's function on known cases. Where the numbers are not the wanted ones, it runs the common
*mistakes* on the same cases: a match names what went wrong.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.base import Exercise
from dpo_teach.exercises.comparing import beside, first_difference, same
from dpo_teach.exercises.running import Outcome, is_blank, run_limited, tell_error, wrong_parameters
from dpo_teach.exercises.unforeseen import unforeseen
from dpo_teach.exercises.verdict import Verdict, a

__all__ = ["FunctionExercise", "Mistake", "WrongResultError"]


class WrongResultError(Exception):
    """A result that cannot be judged by its numbers; the message is told to the learner as it is."""


@dataclass(frozen=True)
class Mistake:
    """A common wrong answer, and what to say to it.

    Args:
        answer: a function that makes the mistake.
        diagnosis: two sentences: what is wrong, and why it matters.
        also: other functions that make the same mistake, and come to other numbers.
    """

    answer: Callable[..., Any]
    diagnosis: str
    also: tuple[Callable[..., Any], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionExercise(Exercise):
    """Write a function.

    Args:
        solution: does it right; its source, less the leading underscore, is what `reveal` shows.
        name_in_notebook: how a cell of the notebook reaches this exercise: "exercises.loss".
        cases: arguments to try it with, by name. Together they tell every mistake from the solution.
        mistakes: in the order in which to suspect them.
        time_limit: seconds that the learner's function may take for all cases together.
    """

    solution: Callable[..., Any]
    name_in_notebook: str
    cases: tuple[Mapping[str, Any], ...]
    mistakes: tuple[Mistake, ...] = ()
    time_limit: float = 10.0

    def case(self, number: int) -> dict[str, Any]:
        """The arguments of a test case, to try a function with by hand: `my_dpo_loss(**exercises.loss.case(1))`.

        Args:
            number: 1 for the first, as a check counts them.

        Returns:
            A copy, by name.

        Raises:
            ValueError: there is no such case.
        """
        if not 1 <= number <= len(self.cases):
            raise ValueError(f"number must lie between 1 and {len(self.cases)}, found {number}")
        return self._arguments(self.cases[number - 1])

    def results(self, function: Callable[..., Any]) -> list[Any]:
        """What a function comes to in each case."""
        return [self._try(function, case) for case in self.cases]

    def solution_cell(self) -> str:
        """The solution's source: no leading underscore and no type hints."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.solution)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.name, node.returns = node.name.removeprefix("_"), None
            elif isinstance(node, ast.arg):
                node.annotation = None
        return ast.unparse(tree)

    def _solution(self) -> str:
        return self.solution_cell()

    def _solution_is_code(self) -> bool:
        return True

    def _try(self, function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
        return function(*self._arguments(case).values())

    def _arguments(self, case: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _copied(value) for name, value in case.items()}

    def _judge(self, answer: Any) -> Verdict:
        if not callable(answer):
            return Verdict("wrong", f"A function is wanted, and this is {a(answer)}. {self.task}")
        complaint = wrong_parameters(answer, self.solution)
        if complaint:
            return Verdict("wrong", complaint)
        wanted = _known_results(self, self.solution)  # before the clock starts: it may have to import transformers
        found: list[Any] = []
        outcome = run_limited(lambda: self._collect(answer, found), self.time_limit)
        if isinstance(outcome.error, NotImplementedError) and not str(outcome.error):  # PyTorch's own have a message
            return self._unattempted()
        if outcome.timed_out or outcome.error:
            return Verdict("wrong", self._stopped(outcome, answer, len(found) + 1))
        if all(value is None or value is ... for value in found):
            return self._returned_nothing(found, answer)
        return self._compare(found, wanted)

    def _collect(self, function: Callable[..., Any], found: list[Any]) -> None:
        """One result after the other, so that it is known in which case a function stopped."""
        for case in self.cases:
            found.append(self._try(function, case))

    def _compare(self, found: Sequence[Any], wanted: Sequence[Any]) -> Verdict:
        if same(found, wanted):
            return Verdict("solved", self.praise)
        mistake = self._recognise(found)
        told = f"{mistake.diagnosis} {self._beside(found, wanted)}" if mistake else self._unforeseen(found, wanted)
        return Verdict("wrong", f"{told} {self._to_see(self._first_wrong(found, wanted))}")

    def _recognise(self, found: Sequence[Any]) -> Mistake | None:
        """The first mistake that comes to these results in the first cases, of which there may be more."""
        for mistake in self.mistakes:
            known = (_known_results(self, answer)[: len(found)] for answer in (mistake.answer, *mistake.also))
            if any(same(found, results) for results in known):
                return mistake
        return None

    def _first_wrong(self, found: Sequence[Any], wanted: Sequence[Any]) -> int:
        return first_difference(found, wanted) + 1

    def _to_see(self, number: int) -> str:
        return f"To see it, run `{self.answer_name}(**{self.name_in_notebook}.case({number}))`."

    def _beside(self, found: Sequence[Any], wanted: Sequence[Any]) -> str:
        return beside(found, wanted)

    def _unforeseen(self, found: Sequence[Any], wanted: Sequence[Any]) -> str:
        return unforeseen(found, wanted)

    def _returned_nothing(self, found: Sequence[Any], answer: Callable[..., Any]) -> Verdict:
        if any(value is ... for value in found) or is_blank(answer):
            return self._unattempted()
        return Verdict(
            "wrong",
            "Your function works, and then returns nothing. End it with `return` and the result, or the work is lost.",
        )

    def _stopped(self, outcome: Outcome, answer: Callable[..., Any], number: int) -> str:
        if isinstance(outcome.error, WrongResultError):
            return str(outcome.error)
        if outcome.error:
            return f"{tell_error(outcome.error, answer)} {self._to_see(number)}"
        end = "could not be stopped: restart the kernel before you go on" if outcome.still_running else "was stopped"
        return (
            f"Your function was still running after {self.time_limit:g} seconds, and {end}. "
            "Look for a loop that never ends, such as a `while` whose condition stays true."
        )


@functools.cache
def _known_results(exercise: FunctionExercise, function: Callable[..., Any]) -> list[Any]:
    """Of a solution or a mistake, whose results never change; with gradients, wherever the check is called."""
    with torch.enable_grad():
        return exercise.results(function)


def _copied(value: Any) -> Any:
    """So that an answer that writes into its arguments spoils nothing."""
    if isinstance(value, Tensor):
        return value.clone()
    return list(value) if isinstance(value, list) else value

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
from dpo_teach.exercises.comparing import beside, same, unforeseen
from dpo_teach.exercises.running import Outcome, is_blank, run_limited, tell_error, wrong_parameters
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
    """

    answer: Callable[..., Any]
    diagnosis: str


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionExercise(Exercise):
    """Write a function.

    Args:
        solution: does it right; its source, less the leading underscore, is what `reveal` shows.
        cases: arguments to try it with, by name. Together they tell every mistake from the solution.
        mistakes: in the order in which to suspect them.
        time_limit: seconds that the learner's function may take for all cases together.
    """

    solution: Callable[..., Any]
    cases: tuple[Mapping[str, Any], ...]
    mistakes: tuple[Mistake, ...] = ()
    time_limit: float = 10.0

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
        return function(*map(_copied, case.values()))

    def _judge(self, answer: Any) -> Verdict:
        if not callable(answer):
            return Verdict("wrong", f"A function is wanted, and this is {a(answer)}. {self.task}")
        complaint = wrong_parameters(answer, self.solution)
        if complaint:
            return Verdict("wrong", complaint)
        wanted = _known_results(self, self.solution)  # before the clock starts: it may have to import transformers
        outcome = run_limited(lambda: self.results(answer), self.time_limit)
        if isinstance(outcome.error, NotImplementedError):
            return self._unattempted()
        if outcome.timed_out or outcome.error:
            return Verdict("wrong", self._stopped(outcome, answer))
        if all(value is None or value is ... for value in outcome.value):
            return self._returned_nothing(outcome.value, answer)
        return self._compare(outcome.value, wanted)

    def _compare(self, found: Sequence[Any], wanted: Sequence[Any]) -> Verdict:
        if same(found, wanted):
            return Verdict("solved", self.praise)
        for mistake in self.mistakes:
            if same(found, _known_results(self, mistake.answer)):
                return Verdict("wrong", f"{mistake.diagnosis} {self._beside(found, wanted)}")
        return Verdict("wrong", self._unforeseen(found, wanted))

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

    def _stopped(self, outcome: Outcome, answer: Callable[..., Any]) -> str:
        if isinstance(outcome.error, WrongResultError):
            return str(outcome.error)
        if outcome.error:
            return tell_error(outcome.error, answer)
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

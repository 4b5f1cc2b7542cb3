"""Exercises in which the learner writes a function.

A check runs the learner's function on known cases. If its results are not the expected ones, the check compares them
with the results of common *mistakes* on the same cases: a match tells the learner what went wrong.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, ClassVar

import torch
from torch import Tensor

from dpo_teach.exercises.comparison import (
    all_close,
    fallback_diagnosis,
    first_difference,
    is_close,
    show_difference,
    to_numbers,
)
from dpo_teach.exercises.exercise import Exercise, Verdict, type_with_article
from dpo_teach.exercises.sandbox import (
    Outcome,
    WrongResultError,
    compute_gradients,
    describe_error,
    describe_wrong_parameters,
    explain_detached,
    is_stub,
    run_limited,
)

__all__ = ["FunctionExercise", "Mistake", "Trial", "WrongResultError", "copy_arguments"]


@dataclass(frozen=True)
class Mistake:
    """A common wrong answer and its diagnosis.

    Args:
        answer: a function that makes the mistake.
        diagnosis: two sentences: what is wrong, and why it matters.
        also: other functions that make the same mistake with other results.
        ignores: an argument; every function whose result does not depend on it makes the mistake, too.
    """

    answer: Callable[..., Any]
    diagnosis: str
    also: tuple[Callable[..., Any], ...] = ()
    ignores: str | None = None


def copy_arguments(case: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a case, copied so that a function may modify its arguments."""
    return {
        name: value.clone() if isinstance(value, Tensor) else list(value) if isinstance(value, list) else value
        for name, value in case.items()
    }


def _call(function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
    return function(*copy_arguments(case).values())


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a function is run on a case, and how its results are described; by default it is called once.

    Args:
        arguments: creates the arguments of a call, by name, from a case.
        run: runs a function on a case and returns the result to compare.
        returned: the part of such a result that the function itself returned.
        show_difference: describes the first difference between the results found and expected in all cases.
        fallback: describes results that no known mistake explains.
        to_see: the beginning of the sentence that says how to call the function on a case.
    """

    arguments: Callable[[Mapping[str, Any]], dict[str, Any]] = copy_arguments
    run: Callable[[Callable[..., Any], Mapping[str, Any]], Any] = _call
    returned: Callable[[Any], Any] = lambda result: result
    show_difference: Callable[[Sequence[Any], Sequence[Any]], str] = show_difference
    fallback: Callable[[Sequence[Any], Sequence[Any]], str] = fallback_diagnosis
    to_see: str = "To see it"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FunctionExercise(Exercise):
    """Write a function.

    Args:
        solution: a correct function; `reveal` shows its source, without the leading underscore.
        name_in_notebook: the expression for this exercise in a cell of the notebook, such as "exercises.loss".
        cases: test cases, each with the arguments by name. Together they distinguish every mistake from the solution.
        mistakes: known mistakes, in the order in which they are compared.
        trained: the arguments with respect to which the result is differentiated in training; the gradients must then
            be right too.
        trial: how the function is run on a case.
        time_limit: seconds that the learner's function may take for all cases together.
    """

    solution: Callable[..., Any]
    name_in_notebook: str
    cases: tuple[Mapping[str, Any], ...]
    mistakes: tuple[Mistake, ...] = ()
    trained: tuple[str, ...] = ()
    trial: Trial = field(default_factory=Trial)
    time_limit: float = 10.0

    solution_is_code: ClassVar[bool] = True

    def case(self, number: int) -> dict[str, Any]:
        """The arguments of a test case, for a call such as `my_dpo_loss(**exercises.loss.case(1))`.

        Args:
            number: 1 for the first, as in the messages of a check.

        Returns:
            A copy of the arguments, by name.

        Raises:
            ValueError: there is no case with this number.
        """
        if not 1 <= number <= len(self.cases):
            raise ValueError(f"number must be between 1 and {len(self.cases)}, found {number}")
        return self.trial.arguments(self.cases[number - 1])

    def results(self, function: Callable[..., Any]) -> list[Any]:
        """The result of a function in each case."""
        return [self.trial.run(function, case) for case in self.cases]

    def solution_cell(self) -> str:
        """The solution's source, without the leading underscore and type hints."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.solution)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.name, node.returns = node.name.removeprefix("_"), None
            elif isinstance(node, ast.arg):
                node.annotation = None
        return ast.unparse(tree)

    def _solution(self) -> str:
        return self.solution_cell()

    def _evaluate(self, answer: Any) -> Verdict:
        if not callable(answer):
            return Verdict("wrong", f"Expected a function, but this is {type_with_article(answer)}. {self.task}")
        complaint = describe_wrong_parameters(answer, self.solution)
        return Verdict("wrong", complaint) if complaint else self._evaluate_results(answer)

    def _evaluate_results(self, answer: Callable[..., Any]) -> Verdict:
        expected = _known_results(self, self.solution)  # before the time limit starts: it may import transformers
        outcome, found = self._collect(lambda case: self.trial.run(answer, case))
        # A stub may raise NotImplementedError without a message; PyTorch's own has one.
        if isinstance(outcome.error, NotImplementedError) and not str(outcome.error):
            return self._unattempted()
        if outcome.timed_out or outcome.error:
            return Verdict("wrong", self._describe_stop(outcome, answer, len(found) + 1))
        if all(value is None or value is ... for value in found):
            return self._evaluate_nothing(answer, found)
        if not all_close(found, expected):
            mistake = self._recognise(answer, found)
            if mistake:
                text = f"{mistake.diagnosis} {self.trial.show_difference(found, expected)}"
            else:
                text = self.trial.fallback(found, expected)
            return Verdict("wrong", f"{text} {self._to_see(first_difference(found, expected) + 1)}")
        complaint = self._find_wrong_gradient(answer) if self.trained else None
        if complaint:
            return Verdict("wrong", complaint)
        return Verdict("solved", self.praise + self._warn_of_changed_argument(answer))

    def _evaluate_nothing(self, answer: Callable[..., Any], found: Sequence[Any]) -> Verdict:
        if any(value is ... for value in found) or is_stub(answer):
            return self._unattempted()
        return Verdict(
            "wrong",
            "Your function runs, but it returns nothing. End it with `return` and the result.",
        )

    def _recognise(self, answer: Callable[..., Any], found: Sequence[Any]) -> Mistake | None:
        """The first mistake with the same results, or with the same finite results: `exp` overflows in many ways."""
        finite = [number for number, value in enumerate(found) if _is_finite(value)]
        mistake = _find_mistake(self, found, range(len(found)))
        if mistake is None and 0 < len(finite) < len(found):
            mistake = _find_mistake(self, found, finite)
        ignoring = (one for one in self.mistakes if one.ignores and self._ignores(answer, one.ignores))
        return mistake or next(ignoring, None)

    def _ignores(self, answer: Callable[..., Any], argument: str) -> bool:
        """Whether the answer returns as many numbers as it should, and the same ones if an argument is doubled."""
        case = self.cases[1]
        results = [_known_results(self, self.solution)[1]]
        with redirect_stdout(StringIO()):
            run_limited(
                lambda: results.extend(
                    self.trial.run(answer, {**case, argument: factor * case[argument]}) for factor in (1, 2)
                ),
                self.time_limit,
            )
        numbers = [to_numbers(self.trial.returned(result)) for result in results]
        shapes = {None if one is None else one.shape for one in numbers}
        return len(numbers) == 3 and len(shapes) == 1 and is_close(numbers[1], numbers[2])

    def _find_wrong_gradient(self, answer: Callable[..., Any]) -> str | None:
        """What is wrong with the gradients of a loss whose values are right; None if nothing is."""
        outcome, found = self._collect(lambda case: self._gradients(answer, case))
        if "numpy()" in str(outcome.error):  # PyTorch refuses to convert a tensor that has a gradient
            return explain_detached(answer)
        if outcome.timed_out or outcome.error:
            return self._describe_stop(outcome, answer, len(found) + 1)
        missing = [name for name in self.trained if found[0][name] is None]
        if missing:
            return explain_detached(answer, None if len(missing) == len(self.trained) else missing[0])
        with torch.enable_grad():
            expected = [self._gradients(self.solution, case) for case in self.cases]
        for number, (theirs, ours) in enumerate(zip(found, expected, strict=True), start=1):
            for name in self.trained:
                if not is_close(theirs[name], ours[name]):
                    return f"{_WRONG_GRADIENT.format(name=name)} {self._to_see(number)}"
        return None

    def _warn_of_changed_argument(self, answer: Callable[..., Any]) -> str:
        """A warning about an answer that modifies one of its arguments in place; empty if it does not."""
        arguments = self.case(1)
        before = copy_arguments(arguments)
        with redirect_stdout(StringIO()):
            run_limited(lambda: answer(*arguments.values()), self.time_limit)
        for name, value in arguments.items():
            if isinstance(value, Tensor) and not torch.equal(value, before[name]):
                return _CHANGED_ARGUMENT.format(name=name)
        return ""

    def _gradients(self, function: Callable[..., Any], case: Mapping[str, Any]) -> dict[str, Tensor | None]:
        return compute_gradients(function, self.trial.arguments(case), self.trained)

    def _collect(self, run: Callable[[Mapping[str, Any]], Any]) -> tuple[Outcome, list[Any]]:
        """Run all cases within the time limit: how that ended, and the results of the cases that were completed."""
        found: list[Any] = []

        def collect() -> None:
            for case in self.cases:
                found.append(run(case))

        return run_limited(collect, self.time_limit), found

    def _describe_stop(self, outcome: Outcome, answer: Callable[..., Any], number: int) -> str:
        if isinstance(outcome.error, WrongResultError):
            return str(outcome.error)
        if outcome.error:
            return f"{describe_error(outcome.error, answer)} {self._to_see(number)}"
        end = "could not be stopped: restart the kernel before you continue" if outcome.still_running else "was stopped"
        return (
            f"Your function was still running after {self.time_limit:g} seconds and {end}. "
            "Look for a loop that never ends, such as a `while` whose condition stays true."
        )

    def _to_see(self, number: int) -> str:
        return f"{self.trial.to_see}, run `{self.answer_name}(**{self.name_in_notebook}.case({number}))`."


_CHANGED_ARGUMENT = (
    " One thing to change: your function modifies its argument `{name}` in place, for example by `-=` or `.sub_()`, so "
    "that the caller's tensor holds other numbers afterwards. Compute a new tensor, as `a - b` does."
)
_WRONG_GRADIENT = (
    "The value is right, but its gradient with respect to `{name}` is not. "
    "An optimizer uses only the gradient: `F.logsigmoid` and `F.log_softmax` have the right one."
)


@functools.cache
def _known_results(exercise: FunctionExercise, function: Callable[..., Any]) -> list[Any]:
    """The results of a solution or a mistake, cached; gradients are enabled even if the caller has disabled them."""
    with torch.enable_grad():
        return exercise.results(function)


def _find_mistake(exercise: FunctionExercise, found: Sequence[Any], cases: Sequence[int]) -> Mistake | None:
    """The first mistake with the same results in the cases with these indices."""
    for mistake in exercise.mistakes:
        known = (_known_results(exercise, answer) for answer in (mistake.answer, *mistake.also))
        if any(all(is_close(found[case], results[case]) for case in cases) for results in known):
            return mistake
    return None


def _is_finite(value: Any) -> bool:
    try:
        return bool(torch.as_tensor(value).isfinite().all())
    except (TypeError, ValueError, RuntimeError):
        return True

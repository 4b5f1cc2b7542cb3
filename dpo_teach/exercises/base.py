"""What an exercise is: a check with a diagnosis for each common mistake, staged hints, and a solution to unfold.

A check runs the learner's function on known cases. Where the numbers are not the wanted ones, it runs the common
*mistakes* on the same cases: a match names what went wrong.
"""

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["ChoiceExercise", "Exercise", "FunctionExercise", "Help", "Mistake", "Verdict"]

_TOLERANCE = 1e-4
_SIGNS = {"solved": "✅", "unattempted": "✏️", "wrong": "❌"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found.

    Args:
        status: solved, unattempted (nothing wrong with that), or wrong.
        message: to the learner, in a sentence or three.
    """

    status: Literal["solved", "unattempted", "wrong"]
    message: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.status]} {self.message}"

    def _repr_markdown_(self) -> str:
        return repr(self)


@dataclass(frozen=True)
class Mistake:
    """A common wrong answer, and what to say to it.

    Args:
        answer: a function that makes the mistake.
        diagnosis: two sentences: what was done, and what to look at.
    """

    answer: Callable[..., Any]
    diagnosis: str


@dataclass(frozen=True, repr=False)
class Help:
    """Hints and a solution, folded one below the other; the learner opens as many as wanted.

    Args:
        hints: from a nudge to nearly all of it.
        solution: Python source, or the answer in words.
        is_code: whether the solution is source.
    """

    hints: tuple[str, ...]
    solution: str
    is_code: bool = True

    def __repr__(self) -> str:
        return f"{len(self.hints)} hints and a solution, folded: open them one at a time."

    def _repr_html_(self) -> str:
        solution = escape(self.solution)
        solution = f"<pre><code>{solution}</code></pre>" if self.is_code else f"<p>{solution}</p>"
        folds = [(f"Hint {i}", f"<p>{escape(hint)}</p>") for i, hint in enumerate(self.hints, start=1)]
        folds.append(("A solution", solution))
        return "".join(f"<details><summary>{title}</summary>{body}</details>" for title, body in folds)


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all exercises share.

    Args:
        task: what to do, in a sentence: said to those who have not begun.
        hints: from a nudge to nearly all of it.
        praise: what solving it has shown.
    """

    task: str
    hints: tuple[str, ...]
    praise: str

    def check(self, answer: Any) -> Verdict:
        """Compare an answer with the truth, and name the mistake where it is a known one.

        Args:
            answer: the learner's function or choice; None or `...` for "not yet".

        Returns:
            The verdict. A wrong answer, or one that raises, is a verdict and no exception.
        """
        raise NotImplementedError

    def reveal(self) -> str:
        """The solution, as text."""
        raise NotImplementedError

    def hint(self, number: int) -> str:
        """One hint.

        Args:
            number: 1 for the first.

        Returns:
            The hint.

        Raises:
            ValueError: there is no such hint.
        """
        if not 1 <= number <= len(self.hints):
            raise ValueError(f"number must lie between 1 and {len(self.hints)}, found {number}")
        return self.hints[number - 1]

    def help(self) -> Help:
        """All hints and the solution, folded."""
        return Help(self.hints, self.reveal())

    def _unattempted(self) -> Verdict:
        return Verdict("unattempted", f"Nothing to check yet. {self.task}")


@dataclass(frozen=True, kw_only=True)
class FunctionExercise(Exercise):
    """Write a function.

    Args:
        solution: does it right; its source is what `reveal` shows.
        cases: keyword arguments to try it with. Together they must tell every mistake from the solution.
        mistakes: in the order in which to suspect them.
    """

    solution: Callable[..., Any]
    cases: tuple[Mapping[str, Any], ...]
    mistakes: tuple[Mistake, ...] = field(default=())

    def check(self, answer: Any) -> Verdict:
        """As `Exercise.check`; the answer is a function."""
        if answer is None or answer is ...:
            return self._unattempted()
        if not callable(answer):
            return Verdict("wrong", f"A function is wanted, and this is {_a(answer)}. {self.task}")
        try:
            found = [_call(answer, case) for case in self.cases]
        except NotImplementedError:
            return self._unattempted()
        except Exception as error:
            return Verdict("wrong", f"Your function stopped with {type(error).__name__}: {error}")
        if all(value is None or value is ... for value in found):
            return self._unattempted()
        return self._judge(found)

    def _judge(self, found: Sequence[Any]) -> Verdict:
        wanted = [_call(self.solution, case) for case in self.cases]
        if _same(found, wanted):
            return Verdict("solved", self.praise)
        for mistake in self.mistakes:
            if _same(found, [_call(mistake.answer, case) for case in self.cases]):
                return Verdict("wrong", mistake.diagnosis)
        return Verdict("wrong", _difference(found, wanted))

    def reveal(self) -> str:
        """The source of the solution, to be pasted: no leading underscore and no type hints."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.solution)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.name, node.returns = node.name.removeprefix("_"), None
            elif isinstance(node, ast.arg):
                node.annotation = None
        return ast.unparse(tree)


@dataclass(frozen=True, kw_only=True)
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

    def check(self, answer: Any) -> Verdict:
        """As `Exercise.check`; the answer is a choice."""
        if answer is None or answer is ...:
            return self._unattempted()
        if isinstance(answer, Hashable):
            if answer == self.answer:
                return Verdict("solved", self.praise)
            if answer in self.diagnoses:
                return Verdict("wrong", self.diagnoses[answer])
        choices = ", ".join(map(str, sorted([self.answer, *self.diagnoses], key=str)))
        return Verdict("wrong", f"The choices are {choices}, and this is {answer!r}.")

    def reveal(self) -> str:
        """The explanation."""
        return self.explanation

    def help(self) -> Help:
        """All hints and the explanation, folded."""
        return Help(self.hints, self.explanation, is_code=False)


def _call(function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
    """With copies of the tensors, so that one that writes into its arguments spoils nothing."""
    arguments = [value.clone() if isinstance(value, Tensor) else value for value in case.values()]
    return function(*arguments)


def _same(found: Sequence[Any], wanted: Sequence[Any]) -> bool:
    return all(_close(a, b) for a, b in zip(found, wanted, strict=True))


def _close(found: Any, wanted: Any) -> bool:
    try:
        a, b = (torch.as_tensor(value, dtype=torch.float64) for value in (found, wanted))
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True))


def _difference(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """For a mistake that nobody foresaw: the first case that differs, in numbers or in shape."""
    case, (value, target) = next(
        (i, pair) for i, pair in enumerate(zip(found, wanted, strict=True), start=1) if not _close(*pair)
    )
    try:
        shape = tuple(torch.as_tensor(value).shape)
    except (TypeError, ValueError, RuntimeError):
        return f"A number or a tensor is wanted, and test case {case} got {_a(value)}."
    target_shape = tuple(torch.as_tensor(target).shape)
    if shape != target_shape:
        return f"In test case {case} your result has shape {shape}, and {target_shape} is wanted."
    return f"Not yet: in test case {case} your result is {_shown(value)}, and {_shown(target)} is wanted."


def _shown(value: Any) -> str:
    numbers = torch.as_tensor(value, dtype=torch.float64).flatten().tolist()
    texts = [f"{number:.4f}" if math.isfinite(number) else str(number) for number in numbers]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"

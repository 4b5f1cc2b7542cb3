"""Exercises in which a loss is written: its numbers have to be right, and its gradient has to arrive."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.comparing import close
from dpo_teach.exercises.cuts import tell_cut
from dpo_teach.exercises.function import FunctionExercise, Mistake
from dpo_teach.exercises.running import run_limited
from dpo_teach.exercises.verdict import Verdict

__all__ = ["LossExercise"]

_Gradients = dict[str, Tensor | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class LossExercise(FunctionExercise):
    """Write a loss, by which something is trained.

    The last of its cases may be one at which `exp` overflows. If an answer comes to infinity in it, or to no number,
    its mistake is recognised by the other cases.

    Args:
        trained: the arguments through which the gradient reaches what is trained.
    """

    trained: tuple[str, ...]

    def _recognise(self, found: Sequence[Any]) -> Mistake | None:
        mistake = super()._recognise(found)
        return mistake if mistake or _is_finite(found[-1]) else super()._recognise(found[:-1])

    def _judge(self, answer: Any) -> Verdict:
        verdict = super()._judge(answer)
        complaint = self._miss_gradient(answer) if verdict.status == "solved" else None
        return Verdict("wrong", complaint) if complaint else verdict

    def _miss_gradient(self, answer: Callable[..., Any]) -> str | None:
        """What is wrong with the gradient of a loss whose value is right; None if nothing is."""
        found: list[_Gradients] = []
        outcome = run_limited(lambda: self._collect_gradients(answer, found), self.time_limit)
        if "numpy()" in str(outcome.error):  # PyTorch makes no array of a tensor that has a gradient
            return tell_cut(answer)
        if outcome.timed_out or outcome.error:
            return self._stopped(outcome, answer, len(found) + 1)
        wanted: list[_Gradients] = []
        with torch.enable_grad():
            self._collect_gradients(self.solution, wanted)
        missing = [name for name in self.trained if found[0][name] is None]
        if missing:
            return tell_cut(answer, None if len(missing) == len(self.trained) else missing[0])
        return self._compare_gradients(found, wanted)

    def _compare_gradients(self, found: Sequence[_Gradients], wanted: Sequence[_Gradients]) -> str | None:
        for number, (one, other) in enumerate(zip(found, wanted, strict=True), start=1):
            for name in self.trained:
                if not close(one[name], other[name]):
                    return f"{_WRONG_GRADIENT.format(name=name)} {self._to_see(number)}"
        return None

    def _collect_gradients(self, function: Callable[..., Any], found: list[_Gradients]) -> None:
        for case in self.cases:
            found.append(self._gradients(function, case))

    def _gradients(self, function: Callable[..., Any], case: Mapping[str, Any]) -> _Gradients:
        """Of the loss, by each argument that is trained; None where there is none."""
        leaves = {name: value.requires_grad_() for name, value in self._arguments(case).items() if name in self.trained}
        copies = {name: leaf.clone() for name, leaf in leaves.items()}  # it may write in them
        arguments = self._arguments(case) | copies
        with warnings.catch_warnings(), redirect_stdout(StringIO()):  # what it prints has been printed once
            warnings.simplefilter("ignore")  # PyTorch's, of a number that is made of a tensor with a gradient
            loss = function(*arguments.values())
        if not isinstance(loss, Tensor) or not loss.requires_grad:
            return dict.fromkeys(self.trained)
        gradients = torch.autograd.grad(loss, tuple(leaves.values()), allow_unused=True)
        return dict(zip(leaves, gradients, strict=True))


_WRONG_GRADIENT = (
    "The value is right, but its gradient by `{name}` is not. "
    "An optimizer sees nothing but the gradient: `F.logsigmoid` has the right one."
)


def _is_finite(value: Any) -> bool:
    try:
        return bool(torch.as_tensor(value).isfinite().all())
    except (TypeError, ValueError, RuntimeError):
        return True

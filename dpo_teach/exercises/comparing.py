"""Numbers beside numbers: whether a learner's are the wanted ones, and how to tell where they are not."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.verdict import a

__all__ = ["TOLERANCE", "beside", "close", "same", "unforeseen"]

TOLERANCE = 1e-4
"""How far a right answer may lie from ours, relative and absolute: float32 passes, a mistake does not."""

_SHOWN_IN_FULL = 6


def same(found: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether the results of all cases are the wanted ones."""
    return len(found) == len(wanted) and all(close(one, other) for one, other in zip(found, wanted, strict=True))


def close(found: Any, wanted: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two results have one shape and the same numbers; NaN equals NaN."""
    one, other = _numbers(found), _numbers(wanted)
    if one is None or other is None or one.shape != other.shape:
        return False
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def beside(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """The learner's numbers next to the right ones, in the first case where they differ."""
    case = _first_difference(found, wanted)
    one, other = _numbers(found[case]), _numbers(wanted[case])
    if one is None or other is None:
        return f"In test case {case + 1} you get {a(found[case])}."
    if one.shape == other.shape and one.numel() > _SHOWN_IN_FULL:
        place = _first_difference(one.flatten().tolist(), other.flatten().tolist())
        yours, right = _shown(one.flatten()[place]), _shown(other.flatten()[place])
        return f"In test case {case + 1}, at position {place + 1}, you get {yours}, and {right} is right."
    return f"In test case {case + 1} you get {_shown(one)}, and {_shown(other)} is right."


def unforeseen(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """What to say of a mistake that nobody foresaw: the first case that differs, in type, shape or numbers."""
    case = _first_difference(found, wanted)
    value, where = found[case], f"in test case {case + 1}"
    if value is None or value is ...:
        return (
            f"Your function returns nothing {where}, and a result in others. "
            "Does every way through it end with `return`?"
        )
    one, other = _numbers(value), _numbers(wanted[case])
    if one is None or other is None:
        return f"A number or a tensor is wanted, and {where} your function returns {a(value)}."
    if one.shape != other.shape:
        return f"{where.capitalize()} your result has {_shape(one)}, and {_shape(other)} is wanted."
    yours, right = _shown(one), _shown(other)
    if one.isnan().any():
        return (
            f"{where.capitalize()} your result is {yours}, and {right} is wanted. Not a number comes of the logarithm "
            "of a negative number, of 0 divided by 0, or of infinity minus infinity."
        )
    return f"Not yet: {where} your result is {yours}, and {right} is wanted. No common mistake gives this number."


def _numbers(value: Any) -> Tensor | None:
    """A result as a tensor of our own; None where it holds no numbers."""
    try:
        return torch.as_tensor(value).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _first_difference(found: Sequence[Any], wanted: Sequence[Any]) -> int:
    return next(i for i, pair in enumerate(zip(found, wanted, strict=True)) if not close(*pair))


def _shape(numbers: Tensor) -> str:
    return f"shape {tuple(numbers.shape)}" if numbers.dim() else "the shape () of a single number"


def _shown(numbers: Tensor) -> str:
    """To 4 decimals, at which numbers that lie further apart than the tolerance differ."""
    values = numbers.flatten().tolist()
    texts = [f"{round(value, 4) + 0.0:.4f}" for value in values[:_SHOWN_IN_FULL]]  # + 0.0 takes the minus off -0.0
    if numbers.dim() == 0:
        return texts[0]
    return f"[{', '.join(texts + ['...'] * (len(values) > _SHOWN_IN_FULL))}]"

"""Numbers beside numbers: whether a learner's are the wanted ones, and how to tell where they are not."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.verdict import a

__all__ = ["TOLERANCE", "beside", "close", "first_difference", "numbers_of", "same", "shown"]

TOLERANCE = 1e-4
"""How far a right answer may lie from ours, relative and absolute: float32 passes, a mistake does not."""

_SHOWN_IN_FULL = 6


def same(found: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Whether the results of all cases are the wanted ones."""
    return len(found) == len(wanted) and all(close(one, other) for one, other in zip(found, wanted, strict=True))


def close(found: Any, wanted: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two results have one shape and the same numbers; NaN equals NaN."""
    one, other = numbers_of(found), numbers_of(wanted)
    if one is None or other is None or one.shape != other.shape:
        return False
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def first_difference(found: Sequence[Any], wanted: Sequence[Any]) -> int:
    """The place, from 0, of the first result that is not the wanted one."""
    return next(i for i, pair in enumerate(zip(found, wanted, strict=True)) if not close(*pair))


def beside(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """The learner's numbers next to the right ones, in the first case where they differ."""
    case = first_difference(found, wanted)
    one, other = numbers_of(found[case]), numbers_of(wanted[case])
    if one is None or other is None:
        return f"In test case {case + 1} you get {a(found[case])}."
    if one.shape == other.shape and one.numel() > _SHOWN_IN_FULL:
        place = first_difference(one.flatten().tolist(), other.flatten().tolist())
        yours, right = shown(one.flatten()[place]), shown(other.flatten()[place])
        return f"In test case {case + 1}, at position {place + 1}, you get {yours}, and {right} is right."
    return f"In test case {case + 1} you get {shown(one)}, and {shown(other)} is right."


def numbers_of(value: Any) -> Tensor | None:
    """A result as a tensor of our own; None where it holds no numbers, or complex ones."""
    try:
        numbers = torch.as_tensor(value).detach()
        return None if numbers.is_complex() else numbers.to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def shown(numbers: Tensor) -> str:
    """To 4 decimals, at which numbers that lie further apart than the tolerance differ."""
    values = numbers.flatten().tolist()
    texts = [f"{round(value, 4) + 0.0:.4f}" for value in values[:_SHOWN_IN_FULL]]  # + 0.0 takes the minus off -0.0
    if numbers.dim() == 0:
        return texts[0]
    return f"[{', '.join(texts + ['...'] * (len(values) > _SHOWN_IN_FULL))}]"

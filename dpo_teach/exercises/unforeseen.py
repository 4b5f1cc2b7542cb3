"""What to say of a mistake that nobody foresaw: by its type, its shape, or its numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.comparing import close, first_difference, numbers_of, shown
from dpo_teach.exercises.verdict import a

__all__ = ["unforeseen"]

_ENOUGH = 3  # numbers that have one factor in common: fewer may have it by chance

_NOT_A_NUMBER = (
    "Not a number comes of the logarithm of a negative number, of 0 divided by 0, or of infinity minus infinity."
)
_INFINITY = "Infinity comes of the logarithm of 0, of a division by 0, or of `exp` of a number in the hundreds."


def unforeseen(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """What is to be seen in the first case that differs.

    >>> unforeseen([1.0, 9.0], [1.0, 7.0])
    'Not yet: in test case 2 your result is 9.0000, and 7.0000 is wanted. No common mistake gives this number.'
    """
    case = first_difference(found, wanted)
    value, where = found[case], f"in test case {case + 1}"
    if value is None or value is ...:
        return (
            f"Your function returns nothing {where}, and a result in others. "
            "Does every way through it end with `return`?"
        )
    one, other = numbers_of(value), numbers_of(wanted[case])
    if one is None or other is None or one.shape != other.shape:
        return _tell_kind(value, wanted[case], where)
    told = f"your result is {shown(one)}, and {shown(other)} is wanted."
    if not one.isfinite().all():
        return f"{where.capitalize()} {told} {_NOT_A_NUMBER if one.isnan().any() else _INFINITY}"
    return f"Not yet: {where} {told} {_tell_factor(found, wanted)}"


def _tell_kind(value: Any, wanted: Any, where: str) -> str:
    """What a result is that cannot be compared number by number."""
    one, other = numbers_of(value), numbers_of(wanted)
    if isinstance(value, tuple):
        return _tell_tuple(value, wanted, where)
    if one is None or other is None:
        return f"A number or a tensor is wanted, and {where} your function returns {_type(value)}."
    return f"{where.capitalize()} your result has {_shape(one)}, and {_shape(other)} is wanted."


def _tell_tuple(value: tuple[Any, ...], wanted: Any, where: str) -> str:
    """Several values, or a comma too many; one of them may be the right one."""
    told = f"{where.capitalize()} your function returns a tuple of {len(value)}, and one result is wanted."
    if len(value) == 1:
        return f"{told} A comma at the end of `return ...,` makes such a tuple: take it away."
    right = next((place for place, one in enumerate(value, start=1) if close(one, wanted)), None)
    return f"{told} Number {right} of the tuple is the right one: return it alone." if right else told


def _type(value: Any) -> str:
    is_complex = isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex())
    return "complex numbers, which have an imaginary part" if is_complex else a(value)


def _shape(numbers: Tensor) -> str:
    return f"shape {tuple(numbers.shape)}" if numbers.dim() else "the shape () of a single number"


def _tell_factor(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    """By what the right results are multiplied, if it is by one number in all cases."""
    ones, others = _joined(found), _joined(wanted)
    if ones is not None and others is not None and ones.shape == others.shape and len(ones) >= _ENOUGH:
        factor = float(ones @ others / (others @ others))
        if factor and close(ones / factor, others):
            return f"In every test case it is {factor:.4g} times the right one."
    return "No common mistake gives this number."


def _joined(results: Sequence[Any]) -> Tensor | None:
    """The numbers of all cases in one row; None if a case has none."""
    rows = [numbers.flatten() for numbers in map(numbers_of, results) if numbers is not None]
    return torch.cat(rows) if len(rows) == len(results) else None

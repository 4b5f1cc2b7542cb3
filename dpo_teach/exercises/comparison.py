"""Compare a learner's results with the expected ones, and describe the first difference."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.exercise import type_with_article

__all__ = [
    "TOLERANCE",
    "all_close",
    "fallback_diagnosis",
    "first_difference",
    "format_numbers",
    "is_close",
    "show_difference",
    "to_numbers",
]

TOLERANCE = 1e-4
"""Relative and absolute: right results in float32 pass, mistakes do not."""

_MAX_SHOWN = 6
_MIN_FOR_FACTOR = 3  # numbers that must share a factor: fewer may do so by chance

_NOT_A_NUMBER = "NaN results from the logarithm of a negative number, from 0 / 0, or from infinity minus infinity."
_INFINITY = "Infinity results from the logarithm of 0, from a division by 0, or from `exp` of a number in the hundreds."


def all_close(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether the results of all cases are as expected."""
    return len(found) == len(expected) and all(map(is_close, found, expected))


def is_close(found: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two results have the same shape and the same numbers; NaN equals NaN."""
    ours, theirs = to_numbers(expected), to_numbers(found)
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return False
    return torch.allclose(theirs, ours, rtol=tolerance, atol=tolerance, equal_nan=True)


def first_difference(found: Sequence[Any], expected: Sequence[Any]) -> int:
    """The index of the first result that is not as expected."""
    return next(i for i, pair in enumerate(zip(found, expected, strict=True)) if not is_close(*pair))


def to_numbers(value: Any) -> Tensor | None:
    """A result as a detached double-precision tensor; None if it is not numeric, or complex."""
    try:
        numbers = torch.as_tensor(value).detach()
        return None if numbers.is_complex() else numbers.to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def format_numbers(numbers: Tensor) -> str:
    """Format numbers to 4 decimals, so that numbers that are not close look different."""
    values = numbers.flatten().tolist()
    texts = [f"{round(value, 4) + 0.0:.4f}" for value in values[:_MAX_SHOWN]]  # + 0.0 turns -0.0 into 0.0
    if numbers.dim() == 0:
        return texts[0]
    return f"[{', '.join(texts + ['...'] * (len(values) > _MAX_SHOWN))}]"


def show_difference(found: Sequence[Any], expected: Sequence[Any]) -> str:
    """Show the learner's numbers and the right ones, in the first case in which they differ."""
    case = first_difference(found, expected)
    where = f"In test case {case + 1}"
    theirs, ours = to_numbers(found[case]), to_numbers(expected[case])
    if theirs is None or ours is None:
        return f"{where} you get {type_with_article(found[case])}."
    if theirs.shape == ours.shape and theirs.numel() > _MAX_SHOWN:
        theirs, ours = theirs.flatten(), ours.flatten()
        place = first_difference(theirs.tolist(), ours.tolist())
        where = f"{where}, at position {place + 1},"
        theirs, ours = theirs[place], ours[place]
    return f"{where} you get {format_numbers(theirs)}, but {format_numbers(ours)} is right."


def fallback_diagnosis(found: Sequence[Any], expected: Sequence[Any]) -> str:
    """Describe a result that no known mistake explains, by its type, its shape or its numbers.

    >>> fallback_diagnosis([1.0, 9.0], [1.0, 7.0])
    'In test case 2 your result is 9.0000, expected 7.0000. It matches none of the known mistakes; hint 2 may help.'
    """
    case = first_difference(found, expected)
    value, where = found[case], f"in test case {case + 1}"
    if value is None or value is ...:
        return (
            f"Your function returns nothing {where}, but a result in others. Does every branch of it end with `return`?"
        )
    theirs, ours = to_numbers(value), to_numbers(expected[case])
    if theirs is None or ours is None or theirs.shape != ours.shape:
        return _describe_type(value, expected[case], where)
    difference = f"your result is {format_numbers(theirs)}, expected {format_numbers(ours)}."
    if not theirs.isfinite().all():
        return f"{where.capitalize()} {difference} {_NOT_A_NUMBER if theirs.isnan().any() else _INFINITY}"
    return f"{where.capitalize()} {difference} {_describe_pattern(found, expected)}"


def _describe_type(value: Any, expected: Any, where: str) -> str:
    """Describe the type or shape of a result that cannot be compared number by number."""
    theirs, ours = to_numbers(value), to_numbers(expected)
    if isinstance(value, tuple):
        return _describe_tuple(value, expected, where)
    if theirs is None or ours is None:
        is_complex = isinstance(value, complex) or (isinstance(value, Tensor) and value.is_complex())
        found = "complex numbers, which have an imaginary part" if is_complex else type_with_article(value)
        return f"Expected a number or a tensor, but {where} your function returns {found}."
    return f"{where.capitalize()} your result has {_describe_shape(theirs)}, expected {_describe_shape(ours)}."


def _describe_tuple(value: tuple[Any, ...], expected: Any, where: str) -> str:
    """Describe a tuple: several values, one of which may be right, or the result of a stray comma."""
    text = f"{where.capitalize()} your function returns a tuple of {len(value)}, expected one result."
    if len(value) == 1:
        return f"{text} A comma at the end of `return ...,` creates such a tuple: remove it."
    right = next((place for place, one in enumerate(value, start=1) if is_close(one, expected)), None)
    return f"{text} Value {right} of the tuple is the right one: return only that." if right else text


def _describe_shape(numbers: Tensor) -> str:
    return f"shape {tuple(numbers.shape)}" if numbers.dim() else "the shape () of a single number"


def _describe_pattern(found: Sequence[Any], expected: Sequence[Any]) -> str:
    """Describe what the differences have in common in all cases: a factor, a sign or a direction."""
    end = "It matches none of the known mistakes; hint 2 may help."
    theirs, ours = _concatenate(found), _concatenate(expected)
    if theirs is not None and ours is not None and theirs.shape == ours.shape and len(theirs) >= _MIN_FOR_FACTOR:
        finite = theirs.isfinite()
        theirs, ours = theirs[finite], ours[finite]
        factor = float(theirs @ ours / (ours @ ours))
        if factor and is_close(theirs / factor, ours):
            return f"In every test case it is {factor:.4g} times the right one."
        if (theirs * ours < 0).all():
            return f"Every number has the wrong sign. {end}"
        for word, all_off in (("large", theirs > ours + TOLERANCE), ("small", theirs < ours - TOLERANCE)):
            if all_off.all():
                return f"Every number is too {word}. {end}"
    return end


def _concatenate(results: Sequence[Any]) -> Tensor | None:
    """The numbers of all cases as one vector; None if a result is not numeric."""
    rows = [numbers.flatten() for numbers in map(to_numbers, results) if numbers is not None]
    return torch.cat(rows) if len(rows) == len(results) else None

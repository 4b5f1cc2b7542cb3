"""Which call of a learner's function cut its result off from the gradient."""

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

__all__ = ["tell_cut"]

_NAMES = {"float": "`float(...)`", "math": "`math`", "np": "NumPy", "numpy": "NumPy"}
_ATTRIBUTES = {
    "item": "`.item()`",
    "tolist": "`.tolist()`",
    "detach": "`.detach()`",
    "data": "`.data`",
    "numpy": "`.numpy()`",
    "tensor": "`torch.tensor(...)`",
    "no_grad": "`torch.no_grad()`",
    "inference_mode": "`torch.inference_mode()`",
}
_CUTS = {"LOAD_GLOBAL": _NAMES, "LOAD_NAME": _NAMES, "LOAD_ATTR": _ATTRIBUTES, "LOAD_METHOD": _ATTRIBUTES}
"""What leaves PyTorch's graph, by the instruction that fetches it: `float(x)` does, and `x.float()` does not."""


def tell_cut(function: Callable[..., Any], argument: str | None = None) -> str:
    """That a loss has no gradient, and what may have cut it, in two sentences.

    Args:
        function: what the learner wrote.
        argument: by which there is none; None for all of them.

    >>> tell_cut(lambda x: x.mean().item()).split(". ")[0]
    'The value is right, but the loss has no gradient: `.item()` cuts it off'
    """
    suspects = list(dict.fromkeys(_suspects(_code(function))))
    where = f" by `{argument}`" if argument else ""
    blamed = " or ".join(suspects) or "something like `.item()`, `.detach()`, `torch.no_grad()` or NumPy"
    return (
        f"The value is right, but the loss has no gradient{where}: {blamed} cuts it off. "
        "An optimizer could do nothing with such a loss; keep to PyTorch's tensors from the first line to `return`."
    )


def _code(function: Callable[..., Any]) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None)


def _suspects(code: CodeType | None) -> Iterator[str]:
    """In the order in which they stand in a function, and then in what is defined inside it."""
    if code is None:
        return
    for step in dis.get_instructions(code):
        known = _CUTS.get(step.opname, {})
        if step.argval in known:
            yield known[step.argval]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _suspects(constant)

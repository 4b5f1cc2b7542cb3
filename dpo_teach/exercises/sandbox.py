"""Run a learner's function within a time limit, describe its errors, and find what detached its gradient."""

import contextvars
import ctypes
import dis
import inspect
import linecache
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from dpo_teach.exercises.exercise import quote, type_with_article

__all__ = [
    "Outcome",
    "WrongResultError",
    "compute_gradients",
    "describe_error",
    "describe_wrong_parameters",
    "explain_detached",
    "is_stub",
    "run_limited",
]

# Running


class WrongResultError(Exception):
    """Raised for a result of the wrong kind; the learner sees its message unchanged."""


class _Stop(BaseException):
    """Raised inside a thread to end it; an `except Exception` in the learner's code does not catch it."""


_STOP_ATTEMPTS = 20  # with a wait of a tenth of a second after each


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        value: what it returned.
        error: what it raised, SystemExit and KeyboardInterrupt included.
        timed_out: whether it exceeded the time limit.
        still_running: whether it could not be stopped after that.
    """

    value: Any = None
    error: BaseException | None = None
    timed_out: bool = False
    still_running: bool = False


def run_limited(function: Callable[[], Any], seconds: float) -> Outcome:
    """Run a function in its own thread, and stop it at a time limit.

    A thread, unlike a signal, works on every platform and inside a Jupyter kernel. If the function changes PyTorch's
    gradient mode, the change is confined to the thread.

    Args:
        function: takes no arguments.
        seconds: the time limit.

    Returns:
        The outcome. An exception raised by the function is stored in it, not raised again.
    """
    outcome = Outcome()

    def run() -> None:
        nonlocal outcome
        try:
            outcome = Outcome(context.run(function))
        except _Stop:
            pass
        except BaseException as error:
            outcome = Outcome(error=error)

    context = contextvars.copy_context()  # Jupyter uses it to assign printed text to its cell
    thread = threading.Thread(target=run, name="exercise", daemon=True)
    thread.start()
    timed_out = True
    try:
        thread.join(seconds)
        timed_out = thread.is_alive()
    finally:  # also if the user interrupts the kernel
        _stop(thread)
    return Outcome(timed_out=True, still_running=thread.is_alive()) if timed_out else outcome


def _stop(thread: threading.Thread) -> None:
    """Raise `_Stop` in a thread, repeatedly: a bare `except:` may catch it, and C code delays it until it returns."""
    for _ in range(_STOP_ATTEMPTS):
        if not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        thread.join(0.1)


def compute_gradients(
    function: Callable[..., Any], arguments: Mapping[str, Any], trained: Sequence[str]
) -> dict[str, Tensor | None]:
    """The gradient of a result's sum with respect to each named argument; None if the result does not depend on it.

    Args:
        function: returns one number or several; it may modify its arguments.
        arguments: the arguments of the function, by name and in order.
        trained: the names of the arguments to differentiate with respect to.

    Raises:
        WrongResultError: the result is a list of tensors that have a gradient.
    """
    leaves = {name: arguments[name].requires_grad_() for name in trained}
    copies = {name: leaf.clone() for name, leaf in leaves.items()}  # a leaf must not be modified in place
    with warnings.catch_warnings(), redirect_stdout(StringIO()):  # the check of the values has printed it already
        warnings.simplefilter("ignore")  # PyTorch warns when a tensor with a gradient becomes a number
        result = function(*{**arguments, **copies}.values())
    if isinstance(result, list | tuple) and any(isinstance(one, Tensor) and one.requires_grad for one in result):
        kind = type_with_article(result)
        raise WrongResultError(f"The numbers are right, but you return {kind}: make one tensor with `torch.stack`.")
    if not isinstance(result, Tensor) or not result.requires_grad:
        return dict.fromkeys(trained)
    return dict(zip(leaves, torch.autograd.grad(result.sum(), tuple(leaves.values()), allow_unused=True), strict=True))


# Describing what went wrong


def describe_error(error: BaseException, function: Callable[..., Any]) -> str:
    """Describe what a function raised, and on which of its lines.

    >>> def ratio(a, b):
    ...     return a / b
    >>> describe_error(run_limited(lambda: ratio(1, 0), seconds=10.0).error, ratio)
    'Your function stopped at its line 2, `return a / b`, with ZeroDivisionError: `division by zero`.'
    """
    message = f": {quote(error)}" if str(error).strip() else ""
    advice = ""
    if isinstance(error, NameError) and error.name:  # not UnboundLocalError, which has no `name`
        advice = (
            f" If {quote(error.name)} is imported or defined further up, run the cells above first "
            "(Run > Run All Above Selected Cell); if it is not, check its spelling."
        )
    return f"Your function stopped{_locate(error, function)} with {type(error).__name__}{message}.{advice}"


def _locate(error: BaseException, function: Callable[..., Any]) -> str:
    """The line of the learner's own function that led to the error, counted from its `def`."""
    code = _code_of(function)
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
    if code is None or not lines:
        return ""
    text = linecache.getline(code.co_filename, lines[-1]).strip()
    return f" at its line {lines[-1] - code.co_firstlineno + 1}" + (f", {quote(text)}," if text else "")


def describe_wrong_parameters(function: Callable[..., Any], expected: Callable[..., Any]) -> str | None:
    """Describe why a function cannot be called as expected, or that it takes its values in another order.

    Returns:
        None if its parameters are right.

    >>> describe_wrong_parameters(lambda policy: policy, lambda policy, reference: policy - reference)
    'Your function cannot be called with 2 values, `policy, reference`. Leave the first line of the stub as it was.'
    """
    names = list(inspect.signature(expected).parameters)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return None
    try:
        signature.bind(*names)
    except TypeError:
        values = "1 value" if len(names) == 1 else f"{len(names)} values"
        if next(iter(signature.parameters), "") == "self":
            return (
                "Your function is a method that needs an instance as `self`: pass a bound one, as in `Thing().method`."
            )
        return (
            f"Your function cannot be called with {values}, {quote(', '.join(names))}. "
            "Leave the first line of the stub as it was."
        )
    own = list(signature.parameters)
    if own != names and set(own) == set(names):
        return (
            f"Your function takes its values in the order {quote(', '.join(own))}, but they are passed in the order "
            f"{quote(', '.join(names))}. Leave the first line of the stub as it was."
        )
    return None


_STUB_INSTRUCTIONS = {"RESUME", "NOP", "COPY_FREE_VARS", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}


def is_stub(function: Callable[..., Any]) -> bool:
    """Whether the body of a function is only `...`, `pass` or a docstring."""
    code = _code_of(function)
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= _STUB_INSTRUCTIONS


_DETACHING_NAMES = {"float": "`float(...)`", "math": "`math`", "np": "NumPy", "numpy": "NumPy"}
_DETACHING_ATTRIBUTES = {
    "item": "`.item()`",
    "tolist": "`.tolist()`",
    "detach": "`.detach()`",
    "data": "`.data`",
    "numpy": "`.numpy()`",
    "tensor": "`torch.tensor(...)`",
    "no_grad": "`torch.no_grad()`",
    "inference_mode": "`torch.inference_mode()`",
}
_DETACHING = {
    "LOAD_GLOBAL": _DETACHING_NAMES,
    "LOAD_NAME": _DETACHING_NAMES,
    "LOAD_ATTR": _DETACHING_ATTRIBUTES,
    "LOAD_METHOD": _DETACHING_ATTRIBUTES,
}
"""Names that detach a tensor, by the instruction that loads them: `float(x)` detaches, and `x.float()` does not."""


def explain_detached(function: Callable[..., Any], argument: str | None = None) -> str:
    """Explain that a result has no gradient, and which call may have detached it.

    Args:
        function: what the learner wrote.
        argument: the argument with respect to which there is no gradient; None for all of them.

    >>> explain_detached(lambda x: x.mean().item()).split(". ")[0]
    'The value is right, but it has no gradient: `.item()` cuts it off'
    """
    suspects = list(dict.fromkeys(_find_detaching(_code_of(function))))
    where = f" with respect to `{argument}`" if argument else ""
    blamed = " or ".join(suspects) or "something like `.item()`, `.detach()`, `torch.no_grad()` or NumPy"
    return (
        f"The value is right, but it has no gradient{where}: {blamed} cuts it off. "
        "An optimizer can do nothing with it, and the loss would stay at ln 2: use PyTorch tensors from the first line "
        "to `return`."
    )


def _find_detaching(code: CodeType | None) -> Iterator[str]:
    """Search a function, in the order of its instructions, and then the functions defined inside it."""
    if code is None:
        return
    for step in dis.get_instructions(code):
        known = _DETACHING.get(step.opname, {})
        if step.argval in known:
            yield known[step.argval]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _find_detaching(constant)


def _code_of(function: Callable[..., Any]) -> CodeType | None:
    return getattr(inspect.unwrap(function), "__code__", None)

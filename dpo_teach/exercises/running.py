"""Running somebody else's code: within a time limit, with what it raises told in words."""

import contextvars
import ctypes
import inspect
import linecache
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dpo_teach.exercises.verdict import quoted

__all__ = ["Outcome", "is_blank", "run_limited", "tell_error", "wrong_parameters"]

_PATIENCE = 20  # times a thread is told to stop, each followed by a tenth of a second of waiting
_NOTHING_DONE = {"RESUME", "NOP", "COPY_FREE_VARS", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}


class _Stop(BaseException):
    """Raised inside a thread to end it; no `except Exception` of the learner's swallows it."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        value: what it returned.
        error: what it raised, SystemExit and KeyboardInterrupt included.
        timed_out: whether its time ran out.
        still_running: whether it could not be stopped then.
    """

    value: Any = None
    error: BaseException | None = None
    timed_out: bool = False
    still_running: bool = False


def run_limited(function: Callable[[], Any], seconds: float) -> Outcome:
    """Run a function in a thread of its own, and stop it when its time is up.

    A thread and no signal, so that it works on every platform and inside a Jupyter kernel; what the function does to
    PyTorch's gradient mode stays in its thread.

    Args:
        function: takes nothing.
        seconds: its time limit.

    Returns:
        What came of it; nothing that the function raises is raised here.
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

    context = contextvars.copy_context()  # Jupyter finds the cell that printed text belongs to by it
    thread = threading.Thread(target=run, name="exercise", daemon=True)
    thread.start()
    late = True
    try:
        thread.join(seconds)
        late = thread.is_alive()
    finally:  # also where the person at the keyboard interrupts the kernel
        _stop(thread)
    return Outcome(timed_out=True, still_running=thread.is_alive()) if late else outcome


def _stop(thread: threading.Thread) -> None:
    """More than once, since a bare `except:` may swallow a request; one inside C code is heard when that returns."""
    for _ in range(_PATIENCE):
        if not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        thread.join(0.1)


def tell_error(error: BaseException, function: Callable[..., Any]) -> str:
    """What a function raised, and at which of its lines, in words.

    >>> def ratio(a, b):
    ...     return a / b
    >>> tell_error(run_limited(lambda: ratio(1, 0), seconds=10.0).error, ratio)
    'Your function stopped at its line 2, `return a / b`, with ZeroDivisionError: `division by zero`.'
    """
    message = f": {quoted(error)}" if str(error).strip() else ""
    return f"Your function stopped{_where(error, function)} with {type(error).__name__}{message}.{_advice(error)}"


def _advice(error: BaseException) -> str:
    """For a name that is nowhere, as after a restart of the kernel; a variable that is still empty has no `name`."""
    if not isinstance(error, NameError) or not error.name:
        return ""
    return (
        f" If {quoted(error.name)} is imported or defined further up, run the cells above first "
        "(Run > Run All Above Selected Cell); if it is not, look how it is spelt."
    )


def _where(error: BaseException, function: Callable[..., Any]) -> str:
    """The last line of the learner's own function on the way to the error, counted from its `def`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
    if code is None or not lines:
        return ""
    text = linecache.getline(code.co_filename, lines[-1]).strip()
    return f" at its line {lines[-1] - code.co_firstlineno + 1}" + (f", {quoted(text)}," if text else "")


def wrong_parameters(function: Callable[..., Any], wanted: Callable[..., Any]) -> str | None:
    """What to say of a function that cannot be called as the wanted one is, or takes its values in another order.

    None where nothing is to be said.

    >>> wrong_parameters(lambda policy: policy, lambda policy, reference: policy - reference)
    'Your function cannot be called with 2 values, `policy, reference`. Leave the first line of the stub as it was.'
    """
    names = list(inspect.signature(wanted).parameters)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return None
    try:
        signature.bind(*names)
    except TypeError:
        values = "1 value" if len(names) == 1 else f"{len(names)} values"
        return (
            f"Your function cannot be called with {values}, {quoted(', '.join(names))}. "
            "Leave the first line of the stub as it was."
        )
    own = list(signature.parameters)
    if own != names and set(own) == set(names):
        return (
            f"Your function takes its values in another order, {quoted(', '.join(own))}, than they are given to it, "
            f"{quoted(', '.join(names))}. Leave the first line of the stub as it was."
        )
    return None


def is_blank(function: Callable[..., Any]) -> bool:
    """Whether a function does nothing at all, as a stub of `...` or `pass` does."""
    import dis

    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= _NOTHING_DONE

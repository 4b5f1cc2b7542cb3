"""A line below a notebook cell that says how far a long computation is.

It appears only in a notebook, and only if the computation is not over at once. `DPO_TEACH_PROGRESS=off`, which is set
when notebooks are tested or executed for the repository, also switches this line off: saved outputs do not contain it.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["progress_line"]

SHOW_AFTER_S, UPDATE_EVERY_S = 0.7, 0.25


def progress_line(what: str, total: int, *, delay: float = SHOW_AFTER_S) -> Callable[[int], None]:
    """A function to call with the number of parts that are done.

    Args:
        what: the name of one part, such as "step".
        total: the number of parts.
        delay: the line appears at the first call after this time, seconds.

    Returns:
        A function that shows or updates the line; outside a notebook, it does nothing.

    >>> show = progress_line("step", 96)
    >>> show(12)  # in a notebook: step 12 of 96
    """
    if not _in_notebook():
        return lambda done: None
    from IPython.display import display

    handle: Any = None
    next_update = time.monotonic() + delay

    def show(done: int) -> None:
        nonlocal handle, next_update
        now = time.monotonic()
        if now < next_update and (handle is None or done < total):
            return
        text = {"text/plain": f"{what} {done} of {total}"}
        if handle is None:
            handle = display(text, raw=True, display_id=True)
        else:
            handle.update(text, raw=True)
        next_update = now + UPDATE_EVERY_S

    return show


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, and the line is not switched off."""
    if os.environ.get("DPO_TEACH_PROGRESS", "").strip().lower() == "off":
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")

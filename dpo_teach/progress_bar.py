"""Progress bars, drawn by tqdm: in a terminal on request, and in a notebook whenever a computation takes a while.

`DPO_TEACH_PROGRESS=off`, which is set when notebooks are tested or executed for the repository, switches the bars in
notebooks off: saved outputs contain none.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]

SHOW_AFTER_S = 0.7


def progress_bar(
    what: str, iterable: Iterable[Any] | None = None, *, requested: bool = False, delay: float | None = None,
    **options: Any,
) -> tqdm:  # fmt: skip
    """A bar of tqdm: iterate over it, or give a `total` and call `update` after each part.

    Args:
        what: the text in front of the bar.
        iterable: what to iterate over.
        requested: show the bar at once, in a terminal too. Otherwise it appears only in a notebook.
        delay: seconds before a bar that was not requested appears; `SHOW_AFTER_S` by default.
        options: further arguments of `tqdm`, such as `total` and `unit`.

    >>> [step for step in progress_bar("step", range(3))]  # no bar here: neither requested nor in a notebook
    [0, 1, 2]
    """
    in_notebook = _in_notebook()
    after = 0.0 if requested else SHOW_AFTER_S if delay is None else delay
    return tqdm(iterable, desc=what, disable=not (requested or in_notebook), delay=after,
                file=sys.stdout if in_notebook else sys.stderr, **options)  # fmt: skip


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook in which bars are not switched off."""
    if os.environ.get("DPO_TEACH_PROGRESS", "").strip().lower() == "off":
        return False
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")

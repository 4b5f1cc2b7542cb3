"""Keep `transformers` from telling what a person need not read."""

import contextlib
from collections.abc import Iterator

__all__ = ["no_progress_bar", "only_errors"]


@contextlib.contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep `transformers` from drawing bars: one for milliseconds of reading is noise, and stays in a notebook."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """Keep `transformers` from its warnings: advice that does not fit, and a table of weights that `checking` names."""
    from transformers.utils import logging

    told = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(told)

"""The `dpo-teach` command: inspect data, fine-tune, train with DPO, evaluate, sample.

This module parses arguments and handles errors; the commands are in `commands` and `data`. Torch is imported only when
a command needs it, so that `dpo-teach --help` is fast.
"""

import contextlib
import functools
import io
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["main"]

# Set before the libraries are imported, unless the user has set them.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # waiting threads sleep instead of spinning and occupying cores
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Errors are printed on one line, and the exit status is then 2."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that is not UTF-8 shows \u7532 instead of failing
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _console():
            _parse(arguments)()
            sys.stdout.flush()
    except BrokenPipeError:  # for example `dpo-teach inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, OSError) as error:
        message = str(error) or type(error).__name__
        print(f"dpo-teach: error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(f"dpo-teach: {str(stop) or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def _console() -> Iterator[None]:
    """Print each warning as one line on stderr. When several processes train together, only the first prints output."""
    is_main_process = os.environ.get("RANK", "0") == "0"  # set by accelerate and torchrun
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("dpo-teach: warning: %(message)s"))
    handler.setLevel(logging.WARNING if is_main_process else logging.CRITICAL)
    logger = logging.getLogger("dpo_teach")
    logger.addHandler(handler)
    try:
        with contextlib.ExitStack() as stack:
            if not is_main_process:
                nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            yield
    finally:
        logger.removeHandler(handler)


def _parse(arguments: Sequence[str] | None) -> Callable[[], None]:
    """Return the requested command with its arguments, ready to be called.

    Raises:
        ValueError: an argument is invalid.
        SystemExit: help was requested and has been printed.
    """
    import tyro  # imported here, like the commands, so that `main` also handles Ctrl-C during imports

    from dpo_teach.cli.commands import evaluate, frontier, sample, sft, train
    from dpo_teach.cli.data import inspect

    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            return tyro.extras.subcommand_cli_from_dict(
                {f.__name__: _deferred(f) for f in (inspect, sft, train, evaluate, sample, frontier)},
                prog="dpo-teach",
                description="Inspect preference data, fine-tune a model, train it with DPO, evaluate it and sample.",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_first_paragraph(stderr.getvalue())) from None


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """A function with the signature of `command` that returns the call instead of making it."""

    @functools.wraps(command)
    def with_arguments(**arguments: Any) -> Callable[[], None]:
        return functools.partial(command, **arguments)

    return with_arguments


def _first_paragraph(text: str) -> str:
    """The first paragraph inside the box that tyro draws around an error."""
    lines = [line.strip("│╭╮╰╯─ ") for line in text.splitlines()[1:]]
    message = " ".join(itertools.takewhile(bool, lines))
    return message.replace("Error parsing __tyro-dummy-inner__.config: ", "") + " (see --help)"

"""The way into the commands: arguments, and what is wrong told in one line."""

import contextlib
import functools
import io
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from dpo_teach.cli.commands import evaluate, frontier, sample, sft, train
from dpo_teach.cli.inspection import inspect

__all__ = ["main"]

DESCRIPTION = "`dpo-teach`: inspect data, fine-tune, train with DPO, evaluate, sample."

COMMANDS: dict[str, Callable[..., None]] = {
    "inspect": inspect,
    "sft": sft,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "frontier": frontier,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what is wrong is told in one line, with exit status 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _quieten_libraries()
    try:
        _parse(arguments)()
    except (ValueError, OSError) as error:
        sys.exit(_complain(str(error) or type(error).__name__))
    except KeyboardInterrupt as stop:
        print(f"dpo-teach: {stop or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


def _parse(arguments: Sequence[str] | None) -> Callable[[], None]:
    """The command with its arguments, ready to be called; a mistake in them is told in one line, not in a box."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _deferred(command) for name, command in COMMANDS.items()},
                prog="dpo-teach", description=DESCRIPTION, args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )  # fmt: skip
    except SystemExit as stop:
        if not stop.code:
            raise
        sys.exit(_complain(_without_box(told.getvalue())))


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    @functools.wraps(command)
    def with_arguments(**arguments: Any) -> Callable[[], None]:
        return functools.partial(command, **arguments)

    return with_arguments


def _without_box(text: str) -> str:
    """The first paragraph inside the box that the argument parser draws around what is wrong."""
    lines = [line.strip("│╭╮╰╯─ ") for line in text.splitlines()[1:]]
    message = " ".join(itertools.takewhile(bool, lines))
    return message.replace("Error parsing __tyro-dummy-inner__.config: ", "") + " (see --help)"


def _complain(message: str) -> int:
    print(f"dpo-teach: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _quieten_libraries() -> None:
    """Keep the libraries' own progress bars and advice out of what a person reads."""
    for name, value in {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error",
                        "HF_HUB_VERBOSITY": "error"}.items():  # fmt: skip
        os.environ.setdefault(name, value)

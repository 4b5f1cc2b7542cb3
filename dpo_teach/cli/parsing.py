"""From what a person types to a command with its arguments, ready to be called."""

import contextlib
import functools
import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from dpo_teach.cli.commands import evaluate, frontier, sample, sft, train
from dpo_teach.cli.inspection import inspect

__all__ = ["parse"]

DESCRIPTION = "`dpo-teach`: inspect data, fine-tune, train with DPO, evaluate, sample."

COMMANDS: dict[str, Callable[..., None]] = {
    "inspect": inspect,
    "sft": sft,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "frontier": frontier,
}


def parse(arguments: Sequence[str] | None) -> Callable[[], None]:
    """The command with its arguments; a mistake in them is told in one line, not in a box.

    Raises:
        ValueError: a mistake in the arguments.
        SystemExit: they asked for help, which has been printed.
    """
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
        raise ValueError(_without_box(told.getvalue())) from None


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

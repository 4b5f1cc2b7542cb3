"""What is told beside a command's result: once, however many processes train together."""

import os
import sys

__all__ = ["note", "say", "somebody_watches"]


def say(message: str) -> None:
    """A line of the result, on stdout."""
    if _speaks():
        print(message)


def note(message: str) -> None:
    """A line that a person should know of, on stderr: `--json` stays JSON."""
    if _speaks():
        print(f"dpo-teach: note: {message}", file=sys.stderr)


def somebody_watches() -> bool:
    """Whether a progress bar has a terminal to be drawn on: in a log's file it would be a thousand lines."""
    return sys.stderr.isatty()


def _speaks() -> bool:
    """Whether this is the first of the processes that accelerate or torchrun have started, or the only one."""
    return os.environ.get("RANK", "0") == "0"

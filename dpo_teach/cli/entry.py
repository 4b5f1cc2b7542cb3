"""The way into the commands: what is wrong is told in one line, and a process ends as a shell expects."""

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

SETTINGS = {
    "OMP_WAIT_POLICY": "passive",  # threads that wait without spinning: on a busy machine the others get on
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
}
"""What the libraries are told before they are imported, unless somebody has said otherwise."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what is wrong is told in one line, with exit status 2."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from dpo_teach.cli.parsing import parse  # here, so that Ctrl-C is answered while modules are imported

        parse(arguments)()
        sys.stdout.flush()
    except BrokenPipeError:  # as with `dpo-teach inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, OSError) as error:
        sys.exit(_complain(str(error) or type(error).__name__))
    except KeyboardInterrupt as stop:
        print(f"dpo-teach: {str(stop) or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


def _complain(message: str) -> int:
    print(f"dpo-teach: error: {' '.join(message.split())}", file=sys.stderr)
    return 2

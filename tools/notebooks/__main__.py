"""The command line of `tools.notebooks`."""

import argparse
import sys
import time
from pathlib import Path

from tools.notebooks.form import UNSTABLE, NotebookError, problems
from tools.notebooks.run import renew


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks", description="Execute notebooks and write them back in normal form."
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="do not execute; report what is not in normal form")
    parser.add_argument("--fresh", action="store_true", help=f"renew the outputs of cells tagged {UNSTABLE} as well")
    parser.add_argument("--timeout", type=int, default=600, help="time limit for one cell, in seconds")
    options = parser.parse_args(arguments)
    try:
        import nbclient  # noqa: F401
        import nbformat  # noqa: F401
    except ImportError as error:
        print(f"{error.name} is not installed: run `pip install 'dpo_teach[dev]'` or `make notebooks`", file=sys.stderr)
        return 1
    failed = False
    for path in options.notebooks:
        try:
            if options.check:
                for problem in problems(path):
                    failed = True
                    print(problem, file=sys.stderr)
            else:
                start = time.perf_counter()
                changed = renew(path, fresh=options.fresh, timeout=options.timeout)
                seconds = time.perf_counter() - start
                print(f"{path}: {seconds:.1f} s, {'written' if changed else 'nothing changed'}", flush=True)
        except NotebookError as error:
            failed = True
            print(error, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

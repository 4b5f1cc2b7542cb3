"""Notebooks for a class, as nobody has run them yet: `python -m dpo_teach.notebooks.handout`.

Saved outputs carry the solutions, and the answer to every "Predict, then run" that stands above them.
"""

import argparse
import copy
from pathlib import Path

from dpo_teach.notebooks.form import Notebook, code_cells, read, serialise

__all__ = ["without_outputs"]


def without_outputs(notebook: Notebook) -> Notebook:
    """A copy in which nothing has been run: what learners see on the screen they have computed themselves."""
    notebook = copy.deepcopy(notebook)
    for cell in code_cells(notebook):
        cell.update(outputs=[], execution_count=None)
    return notebook


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Copy notebooks without their outputs, for a class.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--output", default="build/handout", type=Path, help="the folder to write")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for path in options.notebooks:
        target = options.output / path.name
        target.write_text(serialise(without_outputs(read(path))), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()

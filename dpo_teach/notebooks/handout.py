"""Notebooks for a class, without the solutions that saved outputs carry: `python -m dpo_teach.notebooks.handout`."""

import argparse
import copy
from pathlib import Path

from dpo_teach.notebooks.form import Notebook, code_cells, read, serialise

__all__ = ["without_solutions"]


def without_solutions(notebook: Notebook) -> Notebook:
    """A copy whose hints are not unfolded yet: whoever runs their cell sees what the teacher lets them see."""
    notebook = copy.deepcopy(notebook)
    for cell in code_cells(notebook):
        if "hint" in cell["metadata"].get("tags", []):
            cell.update(outputs=[], execution_count=None)
    return notebook


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Copy notebooks without the solutions in their outputs.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--output", default="build/handout", type=Path, help="the folder to write")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for path in options.notebooks:
        target = options.output / path.name
        target.write_text(serialise(without_solutions(read(path))), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()

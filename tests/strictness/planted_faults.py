"""The faults that the checks must find: each is planted alone in a copy of one of the notebooks."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from strictness.checks import NOTEBOOKS
from tools.notebooks.form import UNSTABLE

Json = dict[str, Any]
Plant = Callable[[Json, dict[str, Json]], None]
"""Changes a notebook in place, given its JSON and its cells by their ids."""


class Fault(NamedTuple):
    """One fault.

    Args:
        name: a description.
        notebook: the number of the notebook.
        plant: the function that plants the fault.
        needs: the code cells that must run to show the fault, in order; none if static checks are enough.
    """

    name: str
    notebook: str
    plant: Plant
    needs: tuple[str, ...] = ()


def load(number: str) -> Json:
    """The JSON of a notebook's file, with each source as one string."""
    notebook = json.loads(path_of(number).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def path_of(number: str) -> Path:
    """The committed file of a notebook."""
    return next(path for path in NOTEBOOKS if path.name.startswith(number))


def dump(notebook: Json) -> str:
    """The text of a notebook's file as nbformat writes it, without validation."""
    notebook = deepcopy(notebook)
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def copy_with(fault: Fault) -> Json:
    """The notebook with the fault; raises if planting changed nothing."""
    notebook = load(fault.notebook)
    fault.plant(notebook, {cell["id"]: cell for cell in notebook["cells"]})
    assert notebook != load(fault.notebook), f"{fault.name}: planting changed nothing. Has the cell been edited?"
    return notebook


# Functions that plant faults


def replace(cell_id: str, old: str, new: str) -> Plant:
    """Replace text in a cell's source."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        assert old in cells[cell_id]["source"], f"{cell_id}: expected {old!r} in its source"
        cells[cell_id]["source"] = cells[cell_id]["source"].replace(old, new)

    return plant


def add(cell_id: str, lines: str) -> Plant:
    """Insert lines at the beginning of a cell's source."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        cells[cell_id]["source"] = f"{lines}\n{cells[cell_id]['source']}"

    return plant


def delete_asserts(cell_id: str, beginning: str) -> Plant:
    """Delete the lines of a cell that begin with this text."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        lines = cells[cell_id]["source"].splitlines()
        cells[cell_id]["source"] = "\n".join(line for line in lines if not line.strip().startswith(beginning))

    return plant


def replace_output(cell_id: str, old: str, new: str) -> Plant:
    """Replace text in a cell's outputs."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        shown = json.dumps(cells[cell_id]["outputs"], ensure_ascii=False)
        assert old in shown, f"{cell_id}: expected {old!r} in its outputs"
        cells[cell_id]["outputs"] = json.loads(shown.replace(old, new))

    return plant


def set_cell(cell_id: str, **fields: Any) -> Plant:
    """Set fields of a cell."""
    return lambda _, cells: cells[cell_id].update(fields)


def tag(cell_id: str, *tags: str) -> Plant:
    """Replace the tags of a cell."""
    return lambda _, cells: cells[cell_id]["metadata"].update(tags=list(tags))


def both(*plants: Plant) -> Plant:
    """Combine several changes into one fault."""

    def plant(notebook: Json, cells: dict[str, Json]) -> None:
        for one in plants:
            one(notebook, cells)

    return plant


def remove_id(cell_id: str) -> Plant:
    """Remove the id of a cell."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        del cells[cell_id]["id"]

    return plant


def swap(first: str, second: str) -> Plant:
    """Swap two code cells and give each the execution count of its new position."""

    def plant(notebook: Json, cells: dict[str, Json]) -> None:
        one, other = (notebook["cells"].index(cells[name]) for name in (first, second))
        notebook["cells"][one], notebook["cells"][other] = cells[second], cells[first]
        counts = cells[first]["execution_count"], cells[second]["execution_count"]
        for name, count in zip((second, first), counts, strict=True):
            cells[name]["execution_count"] = count
            for output in cells[name]["outputs"]:
                output.update({"execution_count": count} if "execution_count" in output else {})

    return plant


def remove_alt_text(cell_id: str) -> Plant:
    """Remove the alternative text of a figure."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        for output in cells[cell_id]["outputs"]:
            output.get("data", {}).pop("text/plain", None)

    return plant


SECRET_ATTEMPT = (
    "import socket\nfrom concurrent.futures import ThreadPoolExecutor\n"
    "ThreadPoolExecutor().submit(socket.create_connection, ('192.0.2.1', 80)).exception()"
)
CLOCK = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}}
WIDGET_STATE = {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2}}
DRAWN, CHECKED = "the-loss-drawn", "two-regimes-checked"

FAULTS = [
    Fault("a number in the prose is changed", "03", replace("naive-explained", "18.42", "18.52")),
    Fault("a number in the prose becomes another printed nearby", "01", replace("differences", "28 GB", "56 GB")),
    Fault("a percentage in the prose is changed", "01", replace("brute-force", "12 %", "13 %")),
    Fault("a saved number is changed", "03", replace_output(CHECKED, "0.6931", "0.6913"), (DRAWN, CHECKED)),
    Fault("a saved alt text is changed", "03", replace_output(DRAWN, "0.00034", "0.00043"), (DRAWN,)),
    Fault("code is changed and the saved output is stale", "03", replace(CHECKED, "(0.0)", "(0.1)"), (DRAWN, CHECKED)),
    Fault("the assert that backs a sentence is deleted", "02",
          delete_asserts("frontier-claims", "assert all(leads[beta]")),
    Fault("the assert that backs an uncompared output is deleted", "01",
          delete_asserts("true-reward-before-and-after", "assert")),
    Fault("an assert is emptied", "01", replace("count-the-models", "assert (rlhf.total", "assert True, (rlhf.total")),
    Fault("an import is broken", "01", replace("film-world", "import film_world", "import filmworld")),
    Fault("a widget has a callback that raises", "03",
          add("beta-roles-asked", "BetaRoles().observe(lambda change: 1 / 0, 'beta')")),
    Fault("a cell was never executed", "03", set_cell(CHECKED, execution_count=None, outputs=[])),
    Fault("a cell raises", "03", add(CHECKED, "1 / 0"), (DRAWN, CHECKED)),
    Fault("a cell raises and has a tag that allows it", "03",
          both(add(CHECKED, "1 / 0"), tag(CHECKED, "raises-exception"))),
    Fault("an error is swallowed", "03", add(CHECKED, "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass")),
    Fault("two cells are swapped and renumbered", "03", swap(DRAWN, CHECKED), (CHECKED, DRAWN)),
    Fault("a tag is misspelt", "03", tag("both-fall", "nbval-ignore-ouput")),
    Fault("a saved output is emptied", "03", set_cell(CHECKED, outputs=[]), (DRAWN, CHECKED)),
    Fault("a saved output that is not compared is emptied", "03", set_cell("who-got-it-table", outputs=[])),
    Fault("a path of one machine in the code", "03", add(CHECKED, "here = '/home/somebody/pairs.jsonl'")),
    Fault("a path of one machine in an output", "03", replace_output(CHECKED, "and e^-20", "/Users/me/dpo, and e^-20")),
    Fault("a cell connects to another machine", "03",
          add(CHECKED, "from urllib.request import urlopen\nurlopen('http://192.0.2.1')"), (DRAWN, CHECKED)),
    Fault("a cell connects to another machine in a thread and loses the error", "03",
          add(CHECKED, SECRET_ATTEMPT), (DRAWN, CHECKED)),
    Fault("widget state is left in the metadata", "03", lambda copy, _: copy["metadata"].update(widgets=WIDGET_STATE)),
    Fault("execution times are left in the metadata", "03", lambda _, cells: cells[CHECKED]["metadata"].update(CLOCK)),
    Fault("a cell has no id", "03", remove_id(CHECKED)),
    Fault("two cells have the same id", "03", set_cell(CHECKED, id=DRAWN)),
    Fault("a cell is too long", "03", add(DRAWN, "\n".join("x = 1" for _ in range(9)))),
    Fault("a figure has no alt text", "03", remove_alt_text("both-fall")),
    Fault("the opening states other seconds", "03", replace("title", "about 45 seconds", "about 3 seconds")),
    Fault("the comparison of an output is switched off", "01", tag("new-pairs", UNSTABLE)),
]  # fmt: skip

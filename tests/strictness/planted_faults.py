"""The faults that a strict suite must find: each is planted alone, in a copy of one of the notebooks."""

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
        name: what it is, in words.
        notebook: the number of the notebook that it is planted in.
        plant: plants it.
        needs: the code cells that must run for it to be seen, in order; none if reading the file is enough.
    """

    name: str
    notebook: str
    plant: Plant
    needs: tuple[str, ...] = ()


def load(number: str) -> Json:
    """The JSON of a notebook's file, each text in one piece."""
    notebook = json.loads(path_of(number).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def path_of(number: str) -> Path:
    """The committed file of a notebook."""
    return next(path for path in NOTEBOOKS if path.name.startswith(number))


def dump(notebook: Json) -> str:
    """The text of a notebook's file, as nbformat writes it, whatever is wrong with it."""
    notebook = deepcopy(notebook)
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def copy_with(fault: Fault) -> Json:
    """The notebook with the fault in it; planting must have changed something."""
    notebook = load(fault.notebook)
    fault.plant(notebook, {cell["id"]: cell for cell in notebook["cells"]})
    assert notebook != load(fault.notebook), f"{fault.name}: nothing was planted, has the cell been edited?"
    return notebook


# How to plant


def replace(cell_id: str, old: str, new: str) -> Plant:
    """In a source."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        assert old in cells[cell_id]["source"], f"{cell_id} has no {old!r}"
        cells[cell_id]["source"] = cells[cell_id]["source"].replace(old, new)

    return plant


def add(cell_id: str, lines: str) -> Plant:
    """At the beginning of a source."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        cells[cell_id]["source"] = f"{lines}\n{cells[cell_id]['source']}"

    return plant


def delete_asserts(cell_id: str, beginning: str) -> Plant:
    """The asserts of a cell that begin so."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        lines = cells[cell_id]["source"].splitlines()
        cells[cell_id]["source"] = "\n".join(line for line in lines if not line.strip().startswith(beginning))

    return plant


def replace_output(cell_id: str, old: str, new: str) -> Plant:
    """In what a cell shows."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        shown = json.dumps(cells[cell_id]["outputs"], ensure_ascii=False)
        assert old in shown, f"{cell_id} shows no {old!r}"
        cells[cell_id]["outputs"] = json.loads(shown.replace(old, new))

    return plant


def set_cell(cell_id: str, **fields: Any) -> Plant:
    """Fields of a cell."""
    return lambda _, cells: cells[cell_id].update(fields)


def tag(cell_id: str, *tags: str) -> Plant:
    """The tags of a cell, instead of those it has."""
    return lambda _, cells: cells[cell_id]["metadata"].update(tags=list(tags))


def both(*plants: Plant) -> Plant:
    """Two changes that make one fault."""

    def plant(notebook: Json, cells: dict[str, Json]) -> None:
        for one in plants:
            one(notebook, cells)

    return plant


def remove_id(cell_id: str) -> Plant:
    """The id of a cell, taken away."""

    def plant(_: Json, cells: dict[str, Json]) -> None:
        del cells[cell_id]["id"]

    return plant


def swap(first: str, second: str) -> Plant:
    """Two code cells, each counted as its new place wants it."""

    def plant(notebook: Json, cells: dict[str, Json]) -> None:
        one, other = (notebook["cells"].index(cells[name]) for name in (first, second))
        notebook["cells"][one], notebook["cells"][other] = cells[second], cells[first]
        counts = cells[first]["execution_count"], cells[second]["execution_count"]
        for name, count in zip((second, first), counts, strict=True):
            cells[name]["execution_count"] = count
            for output in cells[name]["outputs"]:
                output.update({"execution_count": count} if "execution_count" in output else {})

    return plant


def forget_alt_text(cell_id: str) -> Plant:
    """The words beside a figure, taken away."""

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
    Fault("a number in the prose becomes one that is printed nearby", "01", replace("differences", "28 GB", "56 GB")),
    Fault("a percentage in the prose is changed", "01", replace("brute-force", "12 %", "13 %")),
    Fault("a saved number is changed", "03", replace_output(CHECKED, "0.6931", "0.6913"), (DRAWN, CHECKED)),
    Fault("a saved alt text is changed", "03", replace_output(DRAWN, "0.00034", "0.00043"), (DRAWN,)),
    Fault("the code is changed, the saved output is stale", "03", replace(CHECKED, "(0.0)", "(0.1)"), (DRAWN, CHECKED)),
    Fault("an assert under a sentence is deleted", "02", delete_asserts("frontier-claims", "assert far_true")),
    Fault("an assert under an output that is not compared is deleted", "01",
          delete_asserts("true-reward-before-and-after", "assert")),
    Fault("an assert is emptied", "01", replace("count-the-models", "assert (rlhf.total", "assert True, (rlhf.total")),
    Fault("an import is broken", "01", replace("film-world", "import film_world", "import filmworld")),
    Fault("a callback that raises hangs on a widget", "03",
          add("beta-roles-asked", "BetaRoles().inputs['beta'].observe(lambda change: 1 / 0)")),
    Fault("a cell was never executed", "03", set_cell(CHECKED, execution_count=None, outputs=[])),
    Fault("a cell raises", "03", add(CHECKED, "1 / 0"), (DRAWN, CHECKED)),
    Fault("a cell raises behind a tag that allows it", "03",
          both(add(CHECKED, "1 / 0"), tag(CHECKED, "raises-exception"))),
    Fault("an error is swallowed", "03", add(CHECKED, "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass")),
    Fault("two cells are out of order, and counted anew", "03", swap(DRAWN, CHECKED), (CHECKED, DRAWN)),
    Fault("a tag is misspelt", "03", tag("both-fall", "nbval-ignore-ouput")),
    Fault("a saved output is emptied", "03", set_cell(CHECKED, outputs=[]), (DRAWN, CHECKED)),
    Fault("a saved output that is not compared is emptied", "03", set_cell("who-got-it-table", outputs=[])),
    Fault("a path of one machine in the code", "03", add(CHECKED, "here = '/home/somebody/pairs.jsonl'")),
    Fault("a path of one machine in an output", "03", replace_output(CHECKED, "and e^-20", "/Users/me/dpo, and e^-20")),
    Fault("a cell asks another machine", "03",
          add(CHECKED, "from urllib.request import urlopen\nurlopen('http://192.0.2.1')"), (DRAWN, CHECKED)),
    Fault("a cell asks another machine in a thread, and loses the error", "03",
          add(CHECKED, SECRET_ATTEMPT), (DRAWN, CHECKED)),
    Fault("the state of widgets is left in", "03", lambda copy, _: copy["metadata"].update(widgets=WIDGET_STATE)),
    Fault("the clock is left in", "03", lambda _, cells: cells[CHECKED]["metadata"].update(CLOCK)),
    Fault("a cell has no id", "03", remove_id(CHECKED)),
    Fault("two cells have the same id", "03", set_cell(CHECKED, id=DRAWN)),
    Fault("a cell is too long", "03", add(DRAWN, "\n".join("x = 1" for _ in range(9)))),
    Fault("a figure has no alt text", "03", forget_alt_text("both-fall")),
    Fault("the opening promises other seconds", "03", replace("title", "about 30 seconds", "about 3 seconds")),
    Fault("a comparison is switched off", "01", tag("new-pairs", UNSTABLE)),
]  # fmt: skip

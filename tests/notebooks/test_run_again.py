"""Cells that train can be run again, and settings changed as a notebook proposes, with the same result as at first.

A cell that goes on from the weights of its last run would silently show another experiment than the text describes.
Only the cells that train, and those that they need, are run, with fewer steps and without their asserts: the test
compares the values of all variables that a cell uses, not the numbers in the text.
"""

import ast
import builtins
import json
import re
import symtable
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from strictness.checks import NOTEBOOKS
from strictness.contract import parsed

from tools.notebooks.form import Cell, code_cells, read
from tools.notebooks.run import execute

KERNEL_SIDE = Path(__file__).with_name("kernel_side.py")
PASSES = 3
"""How often a loop of `for _ in range(...)` is run."""
BY_NUMBER = {path.name[:2]: path for path in NOTEBOOKS}
Summaries = dict[str, dict[str, Any]]


class Trial(NamedTuple):
    """A change that a notebook proposes, after which the reader runs all cells from the changed one on."""

    notebook: str
    cell: str
    old: str
    new: str


TRIALS = [
    Trial("03", "the-rate", "lr = 6e-4", "lr = 1e-4"),
    Trial("03", "textbook-and-lean", "n = 32", "n = 48"),  # the text proposes 256, which takes minutes
    Trial("04", "live-curves", "our_beta, our_rate = 0.3, 5e-4", "our_beta, our_rate = 0.1, 15e-4"),
]


def trains(cell: Cell) -> bool:
    """Whether a cell changes weights: by a method `train`, an optimizer's step, a gradient, or a function of ours."""
    calls = [node.func for node in ast.walk(parsed(cell)) if isinstance(node, ast.Call)]
    names = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in calls}
    return any(re.fullmatch(r"train|step|backward|(train|fit|optimise)_\w+", name) for name in names)


def names_used(cell: Cell) -> set[str]:
    """The variables of the notebook that a cell reads, without those inside its functions."""
    tables, names = [symtable.symtable(cell["source"], "cell", "exec")], set()
    while tables:
        table = tables.pop()
        outer = table.get_type() == "module"
        names |= {one.get_name() for one in table.get_symbols() if one.is_referenced() and (outer or one.is_global())}
        tables += table.get_children()
    return names


def names_bound(cell: Cell, *, changed: bool = True) -> set[str]:
    """The variables that a cell sets, and those that it changes in place, as in `values[0] = 1`."""
    (table, tree) = symtable.symtable(cell["source"], "cell", "exec"), parsed(cell)
    bound = {one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()}
    parts = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript | ast.Attribute)]
    stored = [node.value for node in parts if isinstance(node.ctx, ast.Store)]
    return bound | {node.id for node in stored if isinstance(node, ast.Name) and changed}


def needed(cells: list[Cell], targets: list[Cell]) -> list[Cell]:
    """The target cells and those that bind the variables which they use, in the notebook's order."""
    kept: list[Cell] = []
    names: set[str] = set()
    for cell in reversed(cells):
        if cell in targets or names & names_bound(cell):
            kept.insert(0, cell)
            own = names_bound(cell, changed=False)
            names = names - own | names_used(cell) - own
    return kept


def affected(cells: list[Cell], first: str) -> list[Cell]:
    """The cells from this one on whose values depend on what it sets."""
    start = next(place for place, cell in enumerate(cells) if cell["id"] == first)
    changed, found = set[str](), []
    for cell in cells[start:]:
        if cell["id"] == first or changed & (names_used(cell) - names_bound(cell, changed=False)):
            changed |= names_bound(cell) - names_imported(cell)
            found.append(cell)
        else:
            changed -= names_bound(cell, changed=False)
    return found


def names_imported(cell: Cell) -> set[str]:
    symbols = symtable.symtable(cell["source"], "cell", "exec").get_symbols()
    return {one.get_name() for one in symbols if one.is_imported()}


class Shorter(ast.NodeTransformer):
    """Remove asserts, which the fewer steps would break, and limit the loops."""

    def visit_Assert(self, node: ast.Assert) -> ast.Pass:
        return ast.Pass()

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        for part in ast.walk(node.iter):  # the range may be inside a progress bar
            match part:
                case ast.Call(func=ast.Name("range"), args=[ast.Constant(int(passes))]) if passes > PASSES:
                    part.args[0] = ast.Constant(PASSES)
        return node


def steps(cells: Iterable[Cell], label: str) -> Iterator[Cell]:
    """The shortened cells, each followed by a report of its variables."""
    for cell in cells:
        tree = ast.fix_missing_locations(Shorter().visit(deepcopy(parsed(cell))))
        yield code(f"{cell['id']}-{label}", ast.unparse(tree))
        yield code(
            f"{cell['id']}-{label}-report",
            f"report({label + ' ' + cell['id']!r}, {sorted(names_used(cell) | names_bound(cell))!r})",
        )


def code(name: str, source: str) -> Cell:
    return {"cell_type": "code", "id": name, "source": source, "metadata": {}, "outputs": [], "execution_count": None}


def run(number: str, cells: list[Cell]) -> Summaries:
    """Run the cells in a fresh kernel and return the reports by their labels."""
    notebook = read(BY_NUMBER[number])
    notebook["cells"] = [code("kernel-side", KERNEL_SIDE.read_text(encoding="utf-8")), *cells]
    reports = [
        json.loads(line)
        for cell in execute(notebook, BY_NUMBER[number].parent)["cells"]
        if cell["id"].endswith("-report")
        for line in "".join(output["text"] for output in cell["outputs"]).splitlines()  # a busy kernel sends parts
    ]
    return dict(reports)


def with_change(cells: list[Cell], trial: Trial) -> list[Cell]:
    cells = deepcopy(cells)
    (cell,) = (cell for cell in cells if cell["id"] == trial.cell)
    assert trial.old in cell["source"], f"{trial.cell}: expected {trial.old!r}: the cell was edited"
    cell["source"] = cell["source"].replace(trial.old, trial.new)
    return cells


def cells_of(number: str) -> list[Cell]:
    """The code cells down to the exercises."""
    return list(
        takewhile(lambda cell: "exercise" not in cell["metadata"].get("tags", []), code_cells(read(BY_NUMBER[number])))
    )


def differences(first: Summaries, second: Summaries, labels: Callable[[str], str]) -> list[str]:
    """The variables that differ between two reports of the same cell, each with its cell."""
    return [
        f"{label.partition(' ')[2]}: {name} was {value} at first, then {second[labels(label)].get(name)}"
        for label, values in first.items()
        if labels(label) in second
        for name, value in values.items()
        if not same(value, second[labels(label)].get(name))
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two summaries are equal, up to rounding errors."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=2e-3, abs=1e-5)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.slow
@pytest.mark.parametrize("number", BY_NUMBER)
def test_cells_that_train_give_the_same_result_again(number: str) -> None:
    cells = cells_of(number)
    training = [cell for cell in cells if trains(cell)]
    twice = [
        step
        for cell in needed(cells, training)
        for label in ("once", "again")[: 1 + (cell in training)]
        for step in steps([cell], label)
    ]
    reports = run(number, twice)
    assert differences(reports, reports, lambda label: label.replace("once ", "again ")) == []


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.new)
def test_a_proposed_change_gives_the_same_result_as_from_a_fresh_kernel(trial: Trial) -> None:
    cells = cells_of(trial.notebook)
    changed = with_change(cells, trial)
    training = [cell for cell in affected(changed, trial.cell) if trains(cell)]
    assert training
    before = needed(cells, [cell for cell in cells if cell["id"] in {one["id"] for one in training}])
    fresh = needed(changed, training)
    start = next(place for place, cell in enumerate(changed) if cell["id"] == trial.cell)
    again = [cell for cell in fresh if cell in changed[start:]]
    reports = run(trial.notebook, [*steps(before, "before"), *steps(again, "after")])
    expected = run(trial.notebook, list(steps(fresh, "after")))
    after = {label: values for label, values in reports.items() if label.startswith("after")}
    assert len(after) == len(again)
    assert differences(expected, after, str) == []


def test_be_the_annotator_needs_no_cell_above_it() -> None:
    """The 90-minute plan of TEACHING.md runs notebook 04 from there on."""
    cells = cells_of("04")
    (start,) = (place for place, cell in enumerate(cells) if cell["id"] == "annotate-by-hand")
    known = set(dir(builtins))
    for cell in cells[start:]:
        assert names_used(cell) - names_bound(cell) <= known, cell["id"]
        known |= names_bound(cell)


@pytest.mark.parametrize("number", BY_NUMBER)
def test_every_proposed_change_is_tried(number: str) -> None:
    """A proposal is a variable of the notebook that its last section names, alone or with a value."""
    notebook = read(BY_NUMBER[number])
    named = set(re.findall(r"`(\w+)(?: = [^`]+)?`", notebook["cells"][-1]["source"]))
    proposed = named & set[str]().union(*map(names_bound, code_cells(notebook)))
    tried = {
        name for one in TRIALS if one.notebook == number for name in re.findall(r"[a-z_]\w*", one.new.partition("=")[0])
    }
    assert proposed == tried

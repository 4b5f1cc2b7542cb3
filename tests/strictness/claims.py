"""Every claim of a notebook that the comparison of outputs would not check must be backed by an assert.

nbval compares a cell's output with the saved one. Two kinds of claim escape this comparison and need an assert:

- a sentence that does not depend on the computation. A printed text without a computed part needs its own assert before
  it in the same cell; a figure's title needs an assert in its cell, or in the cell that `ASSERTED_IN` names.
- a value in a cell whose output is not compared. An assert must depend on it, or on something computed from it.

These checks cannot tell whether one of several asserts for a claim was removed, or whether an assert is weaker than its
sentence. The record of all asserts (recorded.py) reports such changes.
"""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tools.notebooks.form import UNSTABLE, Cell, code_cells, read

SENTENCE = re.compile(r"\w+ \w+ \w+")  # three words in a row: more than a label
COLUMNS = "   "  # separates the columns of a table's header

# Cells that show sample texts to read, without claims about them. Each exception was reviewed by a person.
TO_BE_READ = {("02_dpo_vs_rlhf", "goodhart-read"), ("04_training", "side-by-side")}

# Figures whose title is asserted in another cell, and that cell.
ASSERTED_IN = {
    ("02_dpo_vs_rlhf", "frontier-drawn"): "limit-checked",
    ("03_loss_and_gradients", "the-loss-drawn"): "two-regimes-checked",
    ("03_loss_and_gradients", "relatives-drawn"): "relatives-optimised-asserted",
    ("04_training", "frontier"): "beta-asserted",
}

Value = tuple[int, str]
"""A name, with the index of the code cell that assigned it."""


def unasserted_sentences(path: Path) -> Iterator[str]:
    """Each constant sentence that is printed or used as a figure title without an assert."""
    cells = code_cells(read(path))
    by_id = {cell["id"]: cell for cell in cells}
    for cell in cells:
        asserting = by_id.get(ASSERTED_IN.get((path.stem, cell["id"]), cell["id"]))
        for sentence in chain(unasserted_prints(cell), unasserted_titles(cell, asserting)):
            yield f"{cell['id']}: {sentence!r} does not depend on the computation: add an assert"


def unasserted_prints(cell: Cell) -> Iterator[str]:
    """The constant sentences that a cell prints without an assert after the previous one."""
    asserted = False
    for node in unconditional(cell):
        sentence = printed_sentence(node)
        if sentence and not asserted:
            yield sentence
        asserted = isinstance(node, ast.Assert) or (asserted and not sentence)


def unasserted_titles(cell: Cell, asserting: Cell | None) -> Iterator[str]:
    """The titles of a cell's figures, if the cell that should assert them has no assert."""
    if asserting is None or not asserts(asserting):
        for node in statements(cell):
            yield from titles(node)


def unasserted_values(path: Path) -> Iterator[str]:
    """Each cell whose output is not compared and shows nothing that an assert depends on."""
    cells = code_cells(read(path))
    assigned = [results(cell) for cell in cells]
    held: set[Value] = set()
    for place, cell in enumerate(cells):
        held |= values(ingredients(cell, names_in(asserts(cell))), place, assigned)
    for place, cell in enumerate(cells):
        if UNSTABLE in cell["metadata"].get("tags", []) and (path.stem, cell["id"]) not in TO_BE_READ:
            shown = ingredients(cell, names_in(showing(cell)))
            if not values(shown, place, assigned) & held:
                yield f"{cell['id']}: its output is not compared and no assert depends on {', '.join(sorted(shown))}"


def values(names: set[str], place: int, assigned: list[dict[str, bool]]) -> set[Value]:
    """The results among these names, as the cell at this index sees them: each with the cell that computed it."""
    last = ((name, [cell for cell in range(place + 1) if name in assigned[cell]]) for name in names)
    return {(cells[-1], name) for name, cells in last if cells and assigned[cells[-1]][name]}


def results(cell: Cell) -> dict[str, bool]:
    """For each name that a cell assigns, whether its value is a result and not an input."""
    found: dict[str, bool] = {}
    for node in ast.walk(ast.parse(cell["source"])):
        for target, value in bindings(node):
            for name in names_in([target]):
                found[name] = found.get(name, False) or not is_input(value)
    return found


def statements(cell: Cell) -> list[ast.stmt]:
    """The statements of a cell in the order of its lines, including those inside loops and functions."""
    nodes = [node for node in ast.walk(ast.parse(cell["source"])) if isinstance(node, ast.stmt)]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))


def asserts(cell: Cell) -> list[ast.AST]:
    """The asserts of a cell."""
    return [node for node in statements(cell) if isinstance(node, ast.Assert)]


def unconditional(cell: Cell) -> list[ast.stmt]:
    """The statements outside `if` and `except`: the output comparison checks whether conditional ones ran."""
    nodes = ast.walk(ast.parse(cell["source"]))
    guards = [range(node.lineno, node.end_lineno + 1) for node in nodes if isinstance(node, ast.If | ast.ExceptHandler)]
    return [node for node in statements(cell) if not any(node.lineno in lines for lines in guards)]


def printed_sentence(statement: ast.stmt) -> str:
    """The sentence that a statement prints without a computed part; empty if it prints none."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or called(call) != "print" or any(computed(argument) for argument in call.args):
        return ""
    text = " ".join(constants(call)).strip()
    return text if SENTENCE.search(text) and COLUMNS not in text else ""


def titles(statement: ast.stmt) -> Iterator[str]:
    """The sentences that a statement uses as figure titles."""
    for node in ast.walk(statement) if isinstance(statement, ast.Expr) else ():
        if isinstance(node, ast.Call) and called(node).startswith("plot_"):
            yield from (text for text in constants(node) if SENTENCE.search(text) and text.endswith("."))


def constants(call: ast.Call) -> Iterator[str]:
    """The arguments of a call that are texts."""
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value


def computed(argument: ast.expr) -> bool:
    """Whether a part of what is printed was computed."""
    return any(isinstance(node, ast.Name) for node in ast.walk(argument))


def called(call: ast.Call) -> str:
    """The name of the function that is called."""
    return call.func.id if isinstance(call.func, ast.Name) else ""


def showing(cell: Cell) -> list[ast.AST]:
    """The statements of a cell whose values can be shown: bare expressions."""
    return [node for node in statements(cell) if isinstance(node, ast.Expr)]


def names_in(nodes: list[ast.AST]) -> set[str]:
    """The names that some code reads, without the functions that it calls."""
    every = [node for tree in nodes for node in ast.walk(tree)]
    functions = {called(node) for node in every if isinstance(node, ast.Call)}
    return {node.id for node in every if isinstance(node, ast.Name)} - functions


def ingredients(cell: Cell, pending: set[str]) -> set[str]:
    """These names and all names that they were computed from within the cell."""
    found: set[str] = set()
    made_from = recipes(cell)
    while pending - found:
        found |= pending
        pending = set().union(*(made_from.get(name, set()) for name in found))
    return found


def recipes(cell: Cell) -> dict[str, set[str]]:
    """For each name that a cell assigns, the names that its value is computed from."""
    made_from: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(cell["source"])):
        for target, value in bindings(node):
            for name in names_in([target]):
                made_from.setdefault(name, set()).update(names_in([value]))
    return made_from


def is_input(value: ast.expr) -> bool:
    """Whether a value is an input: a literal, or loaded like models, tokenizers and pairs."""
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Call) and called(value).startswith("load_"))


def bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets that a node binds, with their values."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AugAssign | ast.For | ast.comprehension):
        yield node.target, node.value if isinstance(node, ast.AugAssign) else node.iter
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        yield from ((node.func.value, argument) for argument in node.args)  # rows.append(value)

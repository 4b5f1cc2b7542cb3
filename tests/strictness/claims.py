"""What a notebook claims stands on an assert, wherever the comparison of outputs would not notice that it is wrong.

nbval compares what a cell shows with what is saved. Two kinds of claim slip past it, and need an assert:

- a sentence that is the same whatever was computed: what is printed without a computed part needs an assert of its own
  before it in its cell, the title of a figure one in its cell, or in the cell that `ASSERTED_IN` names.
- a value in a cell whose output is not compared. An assert somewhere depends on it, or on what was made from it.

What this does not see, one of several asserts for the same claim or one that says less than the sentence, the record of
all asserts does (recorded.py).
"""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tools.notebooks.form import UNSTABLE, Cell, code_cells, read

SENTENCE = re.compile(r"\w+ \w+ \w+")  # three words in a row: more than a label
COLUMNS = "   "  # the head of a table

# Cells whose outputs are texts to be read: nothing is claimed of them there. Each has been read by a person.
TO_BE_READ = {("02_dpo_vs_rlhf", "goodhart-read"), ("04_training", "side-by-side")}

# A figure whose title is asserted in another cell: which one.
ASSERTED_IN = {
    ("01_introduction", "log-ratios-seen"): "log-ratios",
    ("02_dpo_vs_rlhf", "frontier-drawn"): "limit-checked",
    ("03_loss_and_gradients", "the-loss-drawn"): "two-regimes-checked",
    ("03_loss_and_gradients", "relatives-drawn"): "relatives-optimised",
    ("04_training", "frontier"): "beta-asserted",
}

Value = tuple[int, str]
"""A name, with the place of the code cell that gave it its value."""


def unasserted_sentences(path: Path) -> Iterator[str]:
    """Each constant sentence that is printed, or stands over a figure, without an assert."""
    cells = code_cells(read(path))
    by_id = {cell["id"]: cell for cell in cells}
    for cell in cells:
        asserting = by_id.get(ASSERTED_IN.get((path.stem, cell["id"]), cell["id"]))
        for sentence in chain(unasserted_prints(cell), unasserted_titles(cell, asserting)):
            yield f"{cell['id']}: {sentence!r} is said whatever was computed: it needs an assert"


def unasserted_prints(cell: Cell) -> Iterator[str]:
    """The sentences that a cell prints with no assert between them and the one before."""
    asserted = False
    for node in unconditional(cell):
        sentence = printed_sentence(node)
        if sentence and not asserted:
            yield sentence
        asserted = isinstance(node, ast.Assert) or (asserted and not sentence)


def unasserted_titles(cell: Cell, asserting: Cell | None) -> Iterator[str]:
    """The titles of a cell's figures, if there is no assert in the cell that should have one."""
    if asserting is None or not asserts(asserting):
        for node in statements(cell):
            yield from titles(node)


def unasserted_values(path: Path) -> Iterator[str]:
    """Each cell whose output is not compared, and shows nothing that an assert depends on."""
    cells = code_cells(read(path))
    givers = [results(cell) for cell in cells]
    held: set[Value] = set()
    for place, cell in enumerate(cells):
        held |= values(ingredients(cell, names_in(asserts(cell))), place, givers)
    for place, cell in enumerate(cells):
        if UNSTABLE in cell["metadata"].get("tags", []) and (path.stem, cell["id"]) not in TO_BE_READ:
            shown = ingredients(cell, names_in(showing(cell)))
            if not values(shown, place, givers) & held:
                yield f"{cell['id']}: its output is not compared, and no assert depends on {', '.join(sorted(shown))}"


def values(names: set[str], place: int, givers: list[dict[str, bool]]) -> set[Value]:
    """The results among the names as they stand in the cell at a place: each with the cell that made it."""
    last = ((name, [cell for cell in range(place + 1) if name in givers[cell]]) for name in names)
    return {(cells[-1], name) for name, cells in last if cells and givers[cells[-1]][name]}


def results(cell: Cell) -> dict[str, bool]:
    """For each name that a cell gives a value to, whether that is a result, and not merely given."""
    found: dict[str, bool] = {}
    for node in ast.walk(ast.parse(cell["source"])):
        for target, value in bindings(node):
            for name in names_in([target]):
                found[name] = found.get(name, False) or not is_given(value)
    return found


def statements(cell: Cell) -> list[ast.stmt]:
    """The statements of a cell in the order of its lines, those inside loops and functions too."""
    nodes = [node for node in ast.walk(ast.parse(cell["source"])) if isinstance(node, ast.stmt)]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))


def asserts(cell: Cell) -> list[ast.AST]:
    """The asserts of a cell."""
    return [node for node in statements(cell) if isinstance(node, ast.Assert)]


def unconditional(cell: Cell) -> list[ast.stmt]:
    """The statements of a cell but those that run only if something happened: the comparison holds these."""
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
    """The sentences that a statement writes over figures."""
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
    """The statements of a cell whose values are seen: bare expressions."""
    return [node for node in statements(cell) if isinstance(node, ast.Expr)]


def names_in(nodes: list[ast.AST]) -> set[str]:
    """The names of values that some code reads, without those of the functions that it calls."""
    every = [node for tree in nodes for node in ast.walk(tree)]
    functions = {called(node) for node in every if isinstance(node, ast.Call)}
    return {node.id for node in every if isinstance(node, ast.Name)} - functions


def ingredients(cell: Cell, pending: set[str]) -> set[str]:
    """The names with all that they were made from within the cell."""
    found: set[str] = set()
    made_from = recipes(cell)
    while pending - found:
        found |= pending
        pending = set().union(*(made_from.get(name, set()) for name in found))
    return found


def recipes(cell: Cell) -> dict[str, set[str]]:
    """For each name that a cell gives a value to, the names that it reads for it."""
    made_from: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(cell["source"])):
        for target, value in bindings(node):
            for name in names_in([target]):
                made_from.setdefault(name, set()).update(names_in([value]))
    return made_from


def is_given(value: ast.expr) -> bool:
    """Whether a value is no result: written down, or read from the disk as models, tokenizers and pairs are."""
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Call) and called(value).startswith("load_"))


def bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a piece of code binds, and to what."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AugAssign | ast.For | ast.comprehension):
        yield node.target, node.value if isinstance(node, ast.AugAssign) else node.iter
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        yield from ((node.func.value, argument) for argument in node.args)  # rows.append(value)

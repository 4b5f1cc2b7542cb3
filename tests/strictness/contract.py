"""The notebook contract of DESIGN.md: requirements on a notebook's file, checked without running it."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from strictness.claims import statements, titles
from tools.notebooks.form import MACHINE_PATH, UNSTABLE, Cell, Notebook, after_questions, code_cells, read

LINES = 16
TAGS = {UNSTABLE, "exercise", "check", "hint", "solution", "predict", "hide-input"}
SLIDE_TYPES = {"slide", "subslide", "fragment", "-", "notes", "skip"}
OPENING = ["you will be able to", "you need", "minutes to read", "seconds to run"]
CLOSING = ["you now know", "where to go on"]
FORBIDDEN = {
    r";\s*$": "ends in a semicolon",
    r"\b(?:interact|interactive|interactive_output)\(": "uses interact, which nbval cannot check: write a named panel",
    r"\bOutput\(": "uses an Output widget, which leaks its output: write a named panel",
    r"(?i)#\s*(?:nbval_|pytest_validate_)": "controls nbval with a comment: use a tag",
    r"(?i)\bsvg\b": "draws SVG, whose ids differ from run to run",
    r"^\s*(?:!|%%(?:bash|sh|script)\b)|\b(?:subprocess|os\.system)\b": "starts a program outside the network guard",
    r"\.(?:observe|on_click|on_submit|on_msg)\(": "registers a callback whose errors are hidden: write a panel",
}
NO_DESCRIPTION = re.compile(r"\s*(?:<.*>)?\s*", re.DOTALL)  # empty, or a repr such as <Figure size 640x480>


def violations(notebook: Notebook) -> Iterator[str]:
    """Each breach of the contract, beginning with the id of its cell."""
    yield from missing_parts(notebook)
    for cell in notebook["cells"]:
        unknown = set(cell["metadata"].get("tags", [])) - TAGS
        if unknown:
            yield f"{cell['id']}: unknown tags {sorted(unknown)}"
        slide = cell["metadata"].get("slideshow", {"slide_type": "skip"})
        if set(slide) != {"slide_type"} or slide["slide_type"] not in SLIDE_TYPES:
            yield f"{cell['id']}: unknown slide metadata {slide}"
        path = MACHINE_PATH.search(cell["source"])
        if path:
            yield f"{cell['id']}: contains a path of one machine, {path.group()}"
    for cell in code_cells(notebook):
        for breach in (*code_violations(cell), *output_violations(cell), *hidden_errors(cell)):
            yield f"{cell['id']}: {breach}"
    for cell in after_questions(notebook):
        for breach in given_away(cell):
            yield f"{cell['id']}: gives the answer away before it is run: {breach}"


def missing_parts(notebook: Notebook) -> Iterator[str]:
    """The required phrases that are missing from the opening and the closing."""
    texts = [cell["source"].lower() for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for place, expected, found in [("opening", OPENING, texts[:2]), ("closing", CLOSING, texts[-2:])]:
        for words in expected:
            if not any(words in text for text in found):
                yield f"{place}: expected the words {words!r}"


def given_away(cell: Cell) -> Iterator[str]:
    """What a learner can read in a cell that answers a question, before running it."""
    if "hide-input" in cell["metadata"].get("tags", []):
        if not cell["source"].startswith(("#", "from ", "import ")):
            yield "JupyterLab shows its first line: begin with a comment or an import"
        return
    if any(isinstance(node, ast.Assert) for node in ast.walk(parsed(cell))):
        yield "move its asserts to a cell tagged hide-input"
    if any(True for node in statements(cell) for _ in titles(node)):
        yield "its figure's title is shown: tag it hide-input"


def code_violations(cell: Cell) -> Iterator[str]:
    """Each breach within the source of one code cell."""
    lines = cell["source"].splitlines()
    if len(lines) > LINES:
        yield f"{len(lines)} lines, expected at most {LINES}: move code to the package"
    for pattern, breach in FORBIDDEN.items():
        if re.search(pattern, cell["source"], re.MULTILINE):
            yield breach


def output_violations(cell: Cell) -> Iterator[str]:
    """Each breach within the outputs of one code cell."""
    unstable = UNSTABLE in cell["metadata"].get("tags", [])
    if unstable and not cell["outputs"]:
        yield f"is tagged {UNSTABLE} but shows nothing"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/svg+xml" in data:
            yield "shows SVG, whose ids differ from run to run"
        if "image/png" in data and NO_DESCRIPTION.fullmatch(data.get("text/plain", "")):
            yield "shows a figure without alt text"
        if output.get("name") == "stderr" and not unstable:
            yield f"writes to stderr in a strict cell: {output['text'][:80]!r}"


def hidden_errors(cell: Cell) -> Iterator[str]:
    """Each place where an error would be hidden: a handler that ignores it, or an assert that cannot fail."""
    for node in ast.walk(parsed(cell)):
        if isinstance(node, ast.ExceptHandler) and (catches_all(node) or does_nothing(node.body)):
            yield f"line {node.lineno} swallows an error"
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith("suppress"):
            yield f"line {node.lineno} swallows an error"
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant | ast.Tuple):
            yield f"line {node.lineno} has an assert that cannot fail"


def catches_all(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches everything, including the network guard's error."""
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")


def does_nothing(body: list[ast.stmt]) -> bool:
    """Whether a block has no effect."""
    return all(
        isinstance(node, ast.Pass | ast.Continue | ast.Break)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in body
    )


def parsed(cell: Cell) -> ast.Module:
    """The syntax tree of a cell; an empty one if it is not plain Python, because running the cell will show that."""
    try:
        return ast.parse(cell["source"])
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def broken_imports(path: Path) -> Iterator[str]:
    """Each name that a notebook imports and that does not exist."""
    for cell in code_cells(read(path)):
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.Import):
                yield from (f"{cell['id']}: {fault}" for name in node.names if (fault := import_fault(name.name)))
            if isinstance(node, ast.ImportFrom):
                names = [(str(node.module), name.name) for name in node.names]
                yield from (f"{cell['id']}: {fault}" for pair in names if (fault := import_fault(*pair)))


def import_fault(module: str, name: str = "") -> str:
    """The error of importing a module, or a name from it; empty if the import succeeds."""
    try:
        found = importlib.import_module(module)
        if name and not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")
    except ImportError as error:
        return str(error)
    return ""

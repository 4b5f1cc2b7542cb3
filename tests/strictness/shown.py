"""The widgets that the notebooks show, and the cells that the browser tests run."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from dpo_teach import widgets
from strictness.contract import parsed
from tools.notebooks.form import code_cells, read

BROWSER = Path(__file__).parents[1] / "browser"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def widgets_shown(path: Path) -> Iterator[tuple[str, type]]:
    """The id of each cell that ends with a widget of the package or calls its `show`, with the widget's class."""
    kinds = {name: kind for name in widgets.__all__ if isinstance(kind := getattr(widgets, name), type)}
    for cell in code_cells(read(path)):
        called = [node.func for node in ast.walk(parsed(cell)) if isinstance(node, ast.Call)]
        made = [kinds[node.id] for node in called if isinstance(node, ast.Name) and node.id in kinds]
        displayed = any(output["output_type"] != "stream" for output in cell["outputs"])
        yield from ((cell["id"], kind) for kind in made if displayed or last_is_call(parsed(cell)))


def panels_shown() -> list[tuple[str, str]]:
    """For each panel that is created without arguments, the notebook and cell that show it first."""
    first: dict[type, tuple[str, str]] = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell, kind in widgets_shown(path):
            parameters = inspect.signature(kind).parameters.values()
            if issubclass(kind, widgets.Panel) and all(one.default is not one.empty for one in parameters):
                first.setdefault(kind, (path.name, cell))
    return list(first.values())


def last_is_call(tree: ast.Module) -> bool:
    """Whether a cell ends with a call, so that its value is shown."""
    return bool(tree.body) and isinstance(tree.body[-1], ast.Expr) and isinstance(tree.body[-1].value, ast.Call)


def cells_in_the_browser() -> set[str]:
    """The cells that the browser tests run: those of `panels_shown`, and all strings in the tests' source."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in BROWSER.glob("*.py")]
    named = {str(node.value) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return named | {cell for _, cell in panels_shown()}

"""The widgets that the notebooks show, and where a hand has moved them."""

import ast
from collections.abc import Iterator
from pathlib import Path

from dpo_teach import widgets
from strictness.contract import parsed
from tools.notebooks.form import code_cells, read

BROWSER = Path(__file__).parents[1] / "browser"


def widgets_shown(path: Path) -> Iterator[tuple[str, type]]:
    """The id of each cell that ends in a widget of the package or calls its `show`, with the widget's class."""
    kinds = {name: kind for name in widgets.__all__ if isinstance(kind := getattr(widgets, name), type)}
    for cell in code_cells(read(path)):
        called = [node.func for node in ast.walk(parsed(cell)) if isinstance(node, ast.Call)]
        made = [kinds[node.id] for node in called if isinstance(node, ast.Name) and node.id in kinds]
        displayed = any(output["output_type"] != "stream" for output in cell["outputs"])
        yield from ((cell["id"], kind) for kind in made if displayed or last_is_call(parsed(cell)))


def last_is_call(tree: ast.Module) -> bool:
    """Whether a cell ends in a call, so that its value is shown."""
    return bool(tree.body) and isinstance(tree.body[-1], ast.Expr) and isinstance(tree.body[-1].value, ast.Call)


def cells_in_the_browser() -> set[str]:
    """Every text in the tests of the browser: the ids of the cells that they run are among them."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in BROWSER.glob("*.py")]
    return {str(node.value) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}

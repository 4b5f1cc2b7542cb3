"""Interactive explorers on pages without a kernel: in place of saved pictures, and with the directive `explorer`.

A cell whose last line is, for example, `LossExplorer(preset="example 1")` is not executed. The call is parsed, because
its arguments are plain values. The build fails if the explorer's repr differs from the saved output. The picture stays
in the page for readers without JavaScript and for printing. The notebook on disk is not changed.
"""

import ast
import base64
import html
import json
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import dpo_teach.widgets
from dpo_teach.widgets.explorer import Explorer, screenshot_of
from tools.playground import EXPLORERS, explorer_state

NAMES = {kind.__name__: name for name, kind in EXPLORERS.items()}
"""The browser's name of each explorer, keyed by the name of its Python class."""

NEEDS_KERNEL = "This panel needs a kernel: open the notebook in JupyterLab."
PICTURE_NEEDS_KERNEL = f"This is a picture. {NEEDS_KERNEL}"


def read_explorer(source: str) -> Explorer:
    """Create the explorer in the last line of a cell without running the cell.

    Args:
        source: the cell's code.

    Raises:
        ValueError: the last line is not the call of an explorer with plain values.
    """
    match ast.parse(source).body[-1]:
        case ast.Expr(ast.Call(func=ast.Name(kind), args=[], keywords=settings)) if kind in NAMES:
            values = {setting.arg: ast.literal_eval(setting.value) for setting in settings if setting.arg}
            return EXPLORERS[NAMES[kind]](**values)
    raise ValueError("last line of the cell: expected an explorer with plain values, as in LossExplorer(beta=0.1)")


def place_of(explorer: Explorer) -> str:
    """HTML that site.js fills: the name of the explorer and its state."""
    state = json.dumps(explorer_state(explorer)).replace("</", "<\\/")
    name = NAMES[type(explorer).__name__]
    return f'<div data-explorer="{name}"><script type="application/json">{state}</script></div>'


def make_interactive(cell: dict[str, Any]) -> None:
    """Insert an interactive explorer before a cell's picture, and set alternative text for pictures.

    A panel that computes in Python gets a note that it needs a kernel, below its picture or, without one, in a box. So
    does an explorer whose cell shows another run each time, and is therefore tagged nbval-ignore-output.

    Raises:
        ValueError: the explorer of the cell cannot be read, or is not the one whose picture was saved.
    """
    fixed = "nbval-ignore-output" not in cell["metadata"].get("tags", [])
    for output in list(cell.get("outputs", [])):
        data = output.get("data", {})
        reading = "".join(data.get("text/plain", ""))
        kind = reading.partition(":")[0]
        if "image/png" in data:
            cell["metadata"]["mystnb"] = {"image": {"alt": reading}}
        if kind in NAMES and fixed:
            cell["outputs"].insert(cell["outputs"].index(output), _html_output(_interactive(cell, reading)))
        elif kind in dpo_teach.widgets.__all__ and "image/png" in data:
            cell["outputs"].append(_html_output(f'<p class="needs-kernel">{PICTURE_NEEDS_KERNEL}</p>'))
        elif kind in dpo_teach.widgets.__all__:
            cell["outputs"][cell["outputs"].index(output)] = _html_output(_panel_box(reading))


def make_notebook_interactive(app: Sphinx, docname: str, text: list[str]) -> None:
    """Handle Sphinx's event `source-read`, which passes a notebook's text before it is parsed."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(text[0])
    for cell in notebook["cells"]:
        try:
            make_interactive(cell)
        except ValueError as error:
            raise ExtensionError(f"{docname}, cell {cell['id']}: {error}") from error
    text[0] = json.dumps(notebook)


class ExplorerDirective(SphinxDirective):
    """An explorer on a page that is not a notebook; the content is the Python call that creates it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the explorer's element, with the screenshot of its settings if there is one."""
        explorer = read_explorer("\n".join(self.content))
        text = f'<div class="explorer">{place_of(explorer)}{_picture(repr(explorer))}</div>'
        return [nodes.raw("", text, format="html")]


def _interactive(cell: dict[str, Any], reading: str) -> str:
    """The element of a cell's explorer, whose repr must be the saved output."""
    explorer = read_explorer("".join(cell["source"]))
    if repr(explorer) != reading:
        raise ValueError(f"saved output: expected {repr(explorer)!r}, found {reading!r}: run `make notebooks`")
    return place_of(explorer)


def _panel_box(reading: str) -> str:
    """A box in the theme's style for a panel without a picture, with a note and the saved repr."""
    kind, _, state = reading.partition(":")
    title = f'<p class="admonition-title">{kind}: a panel of JupyterLab</p>'
    saved = f"<p>Its saved state: {html.escape(state.strip())}.</p>"
    return f'<div class="admonition note">{title}<p>{NEEDS_KERNEL}</p>{saved}</div>'


def _html_output(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/html": text}, "metadata": {}}


def _picture(reading: str) -> str:
    png = screenshot_of(reading)
    alt = html.escape(reading)
    if png is None:
        return f'<p class="needs-script">{alt}</p>'
    return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", make_notebook_interactive)
    app.add_directive("explorer", ExplorerDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

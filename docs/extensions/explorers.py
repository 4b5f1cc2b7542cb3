"""Explorers that move on a page with no kernel: in place of a cell's saved picture, and by the directive `explorer`.

A cell whose last line is, say, `LossExplorer(preset="example 1")` is not run. The call is read, its arguments being
plain values; the explorer that it makes must say of itself what the saved output says, or the build fails. The picture
stays in the page, for readers without JavaScript and for paper. The notebook on disk is not touched.
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
"""What the browser calls an explorer, by the name of its Python class."""

NEEDS_KERNEL = "This panel needs a kernel: open the notebook in JupyterLab."
PICTURE_NEEDS_KERNEL = f"A picture. {NEEDS_KERNEL}"


def read_explorer(source: str) -> Explorer:
    """The explorer that the last line of a cell makes, without running the cell.

    Args:
        source: the cell's code.

    Raises:
        ValueError: the last line is not the call of an explorer with plain values.
    """
    match ast.parse(source).body[-1]:
        case ast.Expr(ast.Call(func=ast.Name(kind), args=[], keywords=settings)) if kind in NAMES:
            values = {setting.arg: ast.literal_eval(setting.value) for setting in settings if setting.arg}
            return EXPLORERS[NAMES[kind]](**values)
    raise ValueError("the last line of the cell must be an explorer with plain values, as LossExplorer(beta=0.1)")


def place_of(explorer: Explorer) -> str:
    """HTML that site.js fills: the name of the explorer and its state."""
    state = json.dumps(explorer_state(explorer)).replace("</", "<\\/")
    name = NAMES[type(explorer).__name__]
    return f'<div data-explorer="{name}"><script type="application/json">{state}</script></div>'


def enliven(cell: dict[str, Any]) -> None:
    """Make of a code cell what the page shows: a living explorer before its picture, and words for who sees no picture.

    A panel that computes in Python says what it needs: below its picture or, where none was saved, in a box.

    Raises:
        ValueError: the explorer of the cell cannot be read, or is not the one whose picture was saved.
    """
    for output in list(cell.get("outputs", [])):
        data = output.get("data", {})
        reading = "".join(data.get("text/plain", ""))
        kind = reading.partition(":")[0]
        if "image/png" in data:
            cell["metadata"]["mystnb"] = {"image": {"alt": reading}}
        if kind in NAMES:
            cell["outputs"].insert(cell["outputs"].index(output), _html_output(_living(cell, reading)))
        elif kind in dpo_teach.widgets.__all__ and "image/png" in data:
            cell["outputs"].append(_html_output(f'<p class="needs-kernel">{PICTURE_NEEDS_KERNEL}</p>'))
        elif kind in dpo_teach.widgets.__all__:
            cell["outputs"][cell["outputs"].index(output)] = _html_output(_panel_box(reading))


def enliven_notebook(app: Sphinx, docname: str, text: list[str]) -> None:
    """Sphinx's event `source-read`: a notebook's text, before it is parsed."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(text[0])
    for cell in notebook["cells"]:
        try:
            enliven(cell)
        except ValueError as error:
            raise ExtensionError(f"{docname}, cell {cell['id']}: {error}") from error
    text[0] = json.dumps(notebook)


class ExplorerDirective(SphinxDirective):
    """An explorer on a page of its own: its content is the Python call that makes it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The place, and the screenshot of these settings, if there is one."""
        explorer = read_explorer("\n".join(self.content))
        text = f'<div class="explorer">{place_of(explorer)}{_picture(repr(explorer))}</div>'
        return [nodes.raw("", text, format="html")]


def _living(cell: dict[str, Any], reading: str) -> str:
    """The place of a cell's explorer, which must be the one that the saved output tells of."""
    explorer = read_explorer("".join(cell["source"]))
    if repr(explorer) != reading:
        raise ValueError(f"the saved output says {reading!r}, the code {repr(explorer)!r}: `make notebooks`")
    return place_of(explorer)


def _panel_box(reading: str) -> str:
    """A box in the theme's style, for a panel without a picture: what it needs, and what it said when saved."""
    kind, _, state = reading.partition(":")
    title = f'<p class="admonition-title">{kind}: a panel of JupyterLab</p>'
    saved = f"<p>When it was saved it said: {html.escape(state.strip())}.</p>"
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
    """What Sphinx calls."""
    app.connect("source-read", enliven_notebook)
    app.add_directive("explorer", ExplorerDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Fold outputs and code that the notebook folds in JupyterLab: a page must not answer a question before it is asked.

JupyterLab stores this in a cell's metadata: `"jupyter": {"outputs_hidden": true}` or `{"source_hidden": true}`. MyST-NB
reads tags instead. The notebook on disk is not changed.
"""

import json
from typing import Any

from sphinx.application import Sphinx

TAGS = {"outputs_hidden": ("hide-output", "result"), "source_hidden": ("hide-input", "code")}
"""By JupyterLab's name: MyST-NB's tag, and the word for the folded part in the line that opens it."""


def fold(cell: dict[str, Any]) -> None:
    """Add MyST-NB's tags to a code cell that JupyterLab folds."""
    metadata = cell["metadata"]
    parts = [part for name, part in TAGS.items() if metadata.get("jupyter", {}).get(name)]
    if cell["cell_type"] != "code" or not parts:
        return
    own = {tag for tag, _ in parts} if len(parts) == 1 else {"hide-cell"}
    metadata["tags"] = sorted({*metadata.get("tags", [])} - {"hide-input"} | own)
    words = " and ".join(word for _, word in parts)
    texts = {"code_prompt_show": f"Show the {words}", "code_prompt_hide": f"Hide the {words}"}
    metadata["mystnb"] = metadata.get("mystnb", {}) | texts


def fold_cells(app: Sphinx, docname: str, text: list[str]) -> None:
    """Handle Sphinx's event `source-read`, which passes a notebook's text before it is parsed."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(text[0])
    for cell in notebook["cells"]:
        fold(cell)
    text[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx; list it after `explorers`, which sets other settings of MyST-NB."""
    app.connect("source-read", fold_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

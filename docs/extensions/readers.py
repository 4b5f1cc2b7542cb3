"""Add a note below each notebook's title: what is interactive on the page, what is not, and how to get the notebook.

The download link contains the notebook as a data URL. A link to a file would not work for pages opened from disk: the
browser would display the notebook's JSON instead of saving it.
"""

import base64
import json
from pathlib import Path

from sphinx.application import Sphinx

NOTE = """<p class="for-readers">On this page you can read the notebook and use its explorers. To run its cells, open
it in JupyterLab: <a class="download-notebook" download="{name}" href="{address}">download the notebook</a>, or
<a href="../index.html#start">set the course up</a>.</p>"""


def note_for(notebook: Path) -> str:
    """The HTML of the note, which contains the notebook.

    Args:
        notebook: the notebook's file.
    """
    content = base64.b64encode(notebook.read_bytes()).decode("ascii")
    return NOTE.format(name=notebook.name, address=f"data:application/x-ipynb+json;base64,{content}")


def add_note(app: Sphinx, docname: str, text: list[str]) -> None:
    """Handle Sphinx's event `source-read`: insert the note below a notebook's title."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    notebook = json.loads(text[0])
    opening = notebook["cells"][0]
    title, _, rest = "".join(opening["source"]).partition("\n")
    opening["source"] = f"{title}\n\n{note_for(path)}\n{rest}"
    text[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", add_note)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

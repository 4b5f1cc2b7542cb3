"""What a notebook's page says to its reader first: what moves here, what does not, and where the notebook is.

The notebook itself lies in the link. A page that was opened from disk may not hand on its neighbours: the browser would
show the notebook's JSON instead of saving it.
"""

import base64
import json
from pathlib import Path

from sphinx.application import Sphinx

NOTE = """<p class="for-readers">Here this notebook is to be read, and its explorers to be moved; its cells run in
JupyterLab. <a class="download-notebook" download="{name}" href="{address}">Download the notebook</a>, or
<a href="../index.html#start">set the course up</a>.</p>"""


def note_for(notebook: Path) -> str:
    """The note's HTML, with the notebook in it.

    Args:
        notebook: its file.
    """
    content = base64.b64encode(notebook.read_bytes()).decode("ascii")
    return NOTE.format(name=notebook.name, address=f"data:application/x-ipynb+json;base64,{content}")


def greet(app: Sphinx, docname: str, text: list[str]) -> None:
    """Sphinx's event `source-read`: the note goes below a notebook's title."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    notebook = json.loads(text[0])
    opening = notebook["cells"][0]
    title, _, rest = "".join(opening["source"]).partition("\n")
    opening["source"] = f"{title}\n\n{note_for(path)}\n{rest}"
    text[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", greet)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

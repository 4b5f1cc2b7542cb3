"""Slides out of the notebooks: `make slides`, or `python docs/slides/build.py`; one file each, which opens from disk.

A cell is on a slide if its metadata says so: its `slide_type` is "slide" for a new one, "subslide" for a new one on the
same subject, "fragment" for what comes at the next key, "-" for what stands on the same slide at once. All other cells
are left out. Of code the outputs are shown, and the code itself where there is no output; explorers are alive. What is
left out of a text is in the speaker's notes (key S).
"""

import argparse
import html
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import mermaidx
import nbformat
from nbconvert import SlidesExporter

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent / "extensions")]

from digest import digest, split_blocks  # noqa: E402
from explorers import place_of, read_explorer  # noqa: E402

from dpo_teach.plots.style import CHOSEN, POLICY  # noqa: E402
from dpo_teach.widgets.js_bundle import bundle, stylesheet  # noqa: E402

Cell = dict[str, Any]
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
WIDE = range(75, 100)
"""Letters in a line of output that has room if it is set smaller; a longer one goes on below, at the usual size."""


def slide_type(cell: Cell) -> str:
    """How a cell comes to be on a slide; "skip" if its metadata do not say."""
    return str(cell["metadata"].get("slideshow", {}).get("slide_type", "skip"))


def prepare(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook of the slides alone: each cell reduced to what is shown, its whole text after it as notes.

    Raises:
        ValueError: no cell is on a slide.
    """
    shown = [told for told in _under_headings(notebook.cells) if slide_type(told[0]) not in {"skip", "notes"}]
    if not shown:
        raise ValueError("no cell has a slide_type: there would be no slide")
    cells = [part for cell, heading in shown for part in _parts(cell, heading)]
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def _under_headings(cells: list[Cell]) -> Iterator[tuple[Cell, str]]:
    """Each cell with the last heading before it."""
    heading = ""
    for cell in cells:
        yield cell, heading
        if cell["cell_type"] == "markdown":
            heading = [heading, *HEADING.findall(cell["source"])][-1]


def _parts(cell: Cell, heading: str) -> list[Cell]:
    """What becomes of a cell; before it, where a slide would begin without a heading, the one that it stands under."""
    parts = (_texts if cell["cell_type"] == "markdown" else _code)(cell)
    if slide_type(cell) not in {"slide", "subslide"} or HEADING.match(parts[0]["source"]) or not heading:
        return parts
    text = re.sub(r"^(\d+)\.", r"\1\\.", heading)  # its number begins no list
    repeated = nbformat.v4.new_markdown_cell(
        f'<div class="section">\n\n{text}\n\n</div>', metadata={"slideshow": cell["metadata"]["slideshow"]}
    )
    parts[0]["metadata"] = {**parts[0]["metadata"], "slideshow": {"slide_type": "-"}}
    return [repeated, *parts]


def _texts(cell: Cell) -> list[Cell]:
    short = digest(cell["source"])
    slide = nbformat.v4.new_markdown_cell(_with_drawings(short, cell["id"]), metadata=cell["metadata"])
    if cell["source"] in short:
        return [slide]
    notes = {"slideshow": {"slide_type": "notes"}}
    return [slide, nbformat.v4.new_markdown_cell(cell["source"], metadata=notes)]


def _with_drawings(text: str, name: str) -> str:
    """Mermaid's fences as the drawings that mermaid.js makes of them."""
    blocks = split_blocks(text)
    for place, block in enumerate(blocks):
        if block.startswith("```mermaid"):
            svg = mermaidx.render(block.removeprefix("```mermaid").removesuffix("```")).svg()
            one_line = svg.replace("my-svg", f"{name}-{place}").replace("\n", " ")
            blocks[place] = f'<figure class="diagram">{one_line}</figure>'
    return "\n\n".join(blocks)


def _code(cell: Cell) -> list[Cell]:
    cell = nbformat.from_dict(cell)
    cell.outputs = _with("image/png", cell) or _with("text/html", cell) or cell.outputs
    for output in _with("image/png", cell):
        _dress(output, cell.source)
    if cell.outputs:
        cell.metadata["transient"] = {"remove_source": True}
    if max(map(len, "\n".join(output.get("text", "") for output in cell.outputs).splitlines()), default=0) in WIDE:
        cell.metadata["tags"] = ["wide"]
    return [cell]


def _with(mime: str, cell: Cell) -> list[Cell]:
    return [output for output in cell["outputs"] if mime in output.get("data", {})]


def _dress(output: Cell, source: str) -> None:
    """A picture with alternative text, and without the width that it has in a notebook; of an explorer, itself."""
    picture, words = output["data"]["image/png"], output["data"]["text/plain"]
    output["metadata"] = {"image/png": {"alt": words}}
    try:
        explorer = place_of(read_explorer(source))
    except ValueError:
        return
    paper = f'<img alt="{html.escape(words)}" src="data:image/png;base64,{picture}">'
    output["data"] = {"text/html": f'<div class="explorer">{explorer}{paper}</div>'}


def scripts() -> dict[str, str]:
    """All that a deck needs besides its slides, to be written into it: it loads nothing."""
    reveal = Path(str(metadata.distribution("sphinx-revealjs").locate_file("sphinx_revealjs/_static/revealjs")))
    mathjax = metadata.distribution("sphinx-mathjax-offline").locate_file(
        "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
    )
    texts = {
        "reveal": (reveal / "dist" / "reveal.js").read_text(encoding="utf-8"),
        "notes": (reveal / "plugin" / "notes" / "notes.js").read_text(encoding="utf-8"),
        "mathjax": Path(str(mathjax)).read_text(encoding="utf-8"),
        "explorers": f"{bundle('site')}\n$site.hydrate();",
    }
    escaped = {name: text.replace("</script", "<\\/script") for name, text in texts.items()}
    colours = f":root {{ --chosen: {CHOSEN}; --policy: {POLICY}; }}"
    styles = [reveal / "dist" / "reset.css", reveal / "dist" / "reveal.css", HERE / "deck.css"]
    css = "\n".join([colours, stylesheet(), *(path.read_text(encoding="utf-8") for path in styles)])
    return {**escaped, "css": css}


def build_deck(path: Path) -> str:
    """The slides of one notebook, as one HTML document."""
    exporter = SlidesExporter(
        template_file=str(HERE / "deck.html.j2"),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    notebook = prepare(nbformat.read(path, as_version=4))
    title = next(line for line in notebook.cells[0].source.splitlines() if line.startswith("# "))
    resources = {"deck": scripts(), "metadata": {"name": title.removeprefix("# ")}}
    document, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(document)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make slides of the notebooks.")
    parser.add_argument("output", nargs="?", default="build/slides", type=Path, help="the folder to write")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        target = output / f"{path.stem}.html"
        target.write_text(build_deck(path), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()

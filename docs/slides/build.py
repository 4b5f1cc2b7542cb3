"""Build slides from the notebooks, one file each, to open from disk: `make slides` or `python docs/slides/build.py`.

A cell's metadata determines whether it is on a slide. Its `slide_type` is "slide" for a new slide, "subslide" for a new
slide on the same subject, "fragment" for content that appears at the next key press, and "-" for content that appears
on the same slide immediately. All other cells are left out. Code cells show their outputs, or their code if they have
no output; explorers are interactive. Text that a slide leaves out is in the speaker notes (key S).
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
"""Lengths of output lines that fit in smaller type, in characters; longer lines wrap at the usual size."""


def slide_type(cell: Cell) -> str:
    """The slide type in a cell's metadata; "skip" if there is none."""
    return str(cell["metadata"].get("slideshow", {}).get("slide_type", "skip"))


def prepare(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook with the slides only: each cell reduced to what is shown, followed by its whole text as notes.

    Raises:
        ValueError: no cell is on a slide.
    """
    shown = [pair for pair in _under_headings(notebook.cells) if slide_type(pair[0]) not in {"skip", "notes"}]
    if not shown:
        raise ValueError("slide_type: expected at least one cell with a slide type, found none")
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
    """The slide cells for a cell; a slide without its own heading begins with the heading of its section."""
    parts = (_texts if cell["cell_type"] == "markdown" else _code)(cell)
    if slide_type(cell) not in {"slide", "subslide"} or HEADING.match(parts[0]["source"]) or not heading:
        return parts
    text = re.sub(r"^(\d+)\.", r"\1\\.", heading)  # escaped, so that the number does not start a list
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
    """Replace Mermaid fences with the drawings that mermaid.js renders."""
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
    """Set a picture's alternative text and remove its width; replace an explorer's picture with the explorer."""
    picture, words = output["data"]["image/png"], output["data"]["text/plain"]
    output["metadata"] = {"image/png": {"alt": words}}
    try:
        explorer = place_of(read_explorer(source))
    except ValueError:
        return
    paper = f'<img alt="{html.escape(words)}" src="data:image/png;base64,{picture}">'
    output["data"] = {"text/html": f'<div class="explorer">{explorer}{paper}</div>'}


def scripts() -> dict[str, str]:
    """The scripts and styles that are embedded in a deck, so that it loads nothing."""
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
    parser = argparse.ArgumentParser(description="Build slides from the notebooks.")
    parser.add_argument("output", nargs="?", default="build/slides", type=Path, help="the folder to write")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        target = output / f"{path.stem}.html"
        target.write_text(build_deck(path), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()

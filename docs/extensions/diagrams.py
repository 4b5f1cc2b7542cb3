"""Mermaid fences as drawings in the page: mermaid.js draws them while the site is built, so readers need no script.

The letters are measured in a wide font and shown in the reader's own, and colours are left to site.css: one drawing
serves the light theme and the dark one.
"""

import html
import re
from xml.etree import ElementTree

import mermaidx
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SMALLEST = 0.7
"""Of its own size: letters of 16 pixels are shown with 11 at least. A drawing that needs more room is scrolled."""


def width_of(svg: str) -> float:
    """How wide a drawing is in its own unit, in which letters are 16 high.

    >>> width_of('<svg viewBox="0 0 225.9375 94">')
    225.9375
    """
    found = re.search(r'viewBox="\S+ \S+ (\S+) \S+"', svg)
    assert found is not None
    return float(found.group(1))


def words_of(svg: str) -> str:
    """The boxes of a drawing in words, for who does not see it.

    >>> words_of('<svg><g class="node default"><p>four</p> <p>logps</p></g><g class="node"><p>loss</p></g></svg>')
    'A diagram. Its boxes: four logps; loss.'
    """
    boxes = [e for e in ElementTree.fromstring(svg).iter() if "node" in e.get("class", "").split()]
    words = [" ".join(" ".join(box.itertext()).split()) for box in boxes]
    return f"A diagram. Its boxes: {'; '.join(words)}."


class MermaidDirective(SphinxDirective):
    """A Mermaid diagram: its content is the diagram's source."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The drawing, under an id that nothing else on the page has, and never smaller than can be read."""
        svg = mermaidx.render("\n".join(self.content)).svg()
        name = f"diagram-{self.env.new_serialno('diagram')}"
        least = f"min-width: {SMALLEST * width_of(svg):.0f}px; "
        role = f'role="img" aria-label="{html.escape(words_of(svg))}"'
        svg = svg.replace("my-svg", name).replace('style="', f'style="{least}', 1)
        svg = svg.replace('role="graphics-document document"', role, 1)
        return [nodes.raw("", f'<figure class="diagram" tabindex="0">{svg}</figure>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("mermaid", MermaidDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

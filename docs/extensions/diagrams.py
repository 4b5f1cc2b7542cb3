"""Render Mermaid fences with mermaid.js while the site is built, so that readers need no script.

Text is measured in a wide font and displayed in the reader's font. Colours come from site.css, so one drawing works on
light and dark themes.
"""

import html
import re
from xml.etree import ElementTree

import mermaidx
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SMALLEST = 0.7
"""The smallest scale: text of 16 pixels is displayed with at least 11. Wider drawings can be scrolled."""


def width_of(svg: str) -> float:
    """The width of a drawing in its own unit, in which text is 16 high.

    >>> width_of('<svg viewBox="0 0 225.9375 94">')
    225.9375
    """
    found = re.search(r'viewBox="\S+ \S+ (\S+) \S+"', svg)
    assert found is not None
    return float(found.group(1))


def words_of(svg: str) -> str:
    """The alternative text of a drawing, which lists its boxes.

    >>> words_of('<svg><g class="node default"><p>four</p> <p>logps</p></g><g class="node"><p>loss</p></g></svg>')
    'A diagram. Its boxes: four logps; loss.'
    """
    boxes = [e for e in ElementTree.fromstring(svg).iter() if "node" in e.get("class", "").split()]
    words = [" ".join(" ".join(box.itertext()).split()) for box in boxes]
    return f"A diagram. Its boxes: {'; '.join(words)}."


class MermaidDirective(SphinxDirective):
    """A Mermaid diagram; the content is the diagram's source."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Render the drawing with a unique id and a minimum width at which it is legible."""
        svg = mermaidx.render("\n".join(self.content)).svg()
        name = f"diagram-{self.env.new_serialno('diagram')}"
        least = f"min-width: {SMALLEST * width_of(svg):.0f}px; "
        role = f'role="img" aria-label="{html.escape(words_of(svg))}"'
        svg = svg.replace("my-svg", name).replace('style="', f'style="{least}', 1)
        svg = svg.replace('role="graphics-document document"', role, 1)
        return [nodes.raw("", f'<figure class="diagram" tabindex="0">{svg}</figure>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_directive("mermaid", MermaidDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

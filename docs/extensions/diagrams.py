"""Mermaid fences as drawings in the page: mermaid.js draws them while the site is built, so readers need no script.

The letters are measured in a wide font and shown in the reader's own, and colours are left to site.css: one drawing
serves the light theme and the dark one.
"""

import mermaidx
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class MermaidDirective(SphinxDirective):
    """A Mermaid diagram: its content is the diagram's source."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The drawing, under an id that nothing else on the page has."""
        svg = mermaidx.render("\n".join(self.content)).svg()
        name = f"diagram-{self.env.new_serialno('diagram')}"
        text = f'<figure class="diagram">{svg.replace("my-svg", name)}</figure>'
        return [nodes.raw("", text, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("mermaid", MermaidDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""What a search engine or a messenger shows of a page: its first paragraph, as the description in its head."""

import html
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LENGTH = 160
"""Characters that are usually shown."""


def describe(document: nodes.document) -> str:
    """The first paragraph of a page, cut between words.

    Args:
        document: the page.
    """
    texts = next(document.findall(nodes.paragraph)).findall(nodes.Text)
    words = "".join(text for text in texts if not isinstance(text.parent, nodes.raw)).split()
    told = ""
    for word in words:
        if len(told) + len(word) > LENGTH:
            return f"{told}…"
        told = f"{told} {word}".lstrip()
    return told


def add_description(app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document) -> None:
    """Sphinx's event `html-page-context`."""
    if document:
        content = html.escape(describe(document))
        context["metatags"] = f'{context.get("metatags", "")}<meta name="description" content="{content}">'


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("html-page-context", add_description)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

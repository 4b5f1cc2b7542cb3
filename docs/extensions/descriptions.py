"""Add a meta description to each page, its first paragraph, for search engines and link previews."""

import html
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LENGTH = 160
"""The number of characters that is usually displayed."""


def describe(document: nodes.document) -> str:
    """The first paragraph of a page, truncated between words.

    Args:
        document: the page.
    """
    texts = next(document.findall(nodes.paragraph)).findall(nodes.Text)
    words = "".join(text for text in texts if not isinstance(text.parent, nodes.raw)).split()
    description = ""
    for word in words:
        if len(description) + len(word) > LENGTH:
            return f"{description}…"
        description = f"{description} {word}".lstrip()
    return description


def add_description(app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document) -> None:
    """Handle Sphinx's event `html-page-context`."""
    if document:
        content = html.escape(describe(document))
        context["metatags"] = f'{context.get("metatags", "")}<meta name="description" content="{content}">'


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("html-page-context", add_description)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

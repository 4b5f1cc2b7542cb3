"""Turn arXiv numbers in texts, such as arXiv:2305.18290, into links to the papers."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

NUMBER = re.compile(r"(arXiv:\d{4}\.\d{5})")


def link_papers(text: str) -> Iterator[nodes.Node]:
    """Split a text into plain parts and links, one link for each arXiv number.

    >>> print(*link_papers("Rafailov et al. 2023 (arXiv:2305.18290)."), sep="|")
    Rafailov et al. 2023 (|<reference refuri="https://arxiv.org/abs/2305.18290">arXiv:2305.18290</reference>|).
    """
    for i, part in enumerate(NUMBER.split(text)):
        if i % 2 == 0:
            yield nodes.Text(part)
        else:
            address = f"https://arxiv.org/abs/{part.removeprefix('arXiv:')}"
            yield nodes.reference("", part, refuri=address)


class PaperLinks(SphinxPostTransform):
    """Link every arXiv number on a page, except in code and in existing links."""

    default_priority = 500

    def run(self) -> None:
        """Insert the links."""
        for text in list(self.document.findall(nodes.Text)):
            if NUMBER.search(text) and isinstance(text.parent, nodes.paragraph | nodes.list_item):
                text.parent.replace(text, list(link_papers(text)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.add_post_transform(PaperLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

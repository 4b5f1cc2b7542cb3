"""Papers that a text names by their number, as arXiv:2305.18290, become links to them."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

NUMBER = re.compile(r"(arXiv:\d{4}\.\d{5})")


def link_papers(text: str) -> Iterator[nodes.Node]:
    """The parts of a text: between the numbers of papers as they were, each number as a link.

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
    """All such numbers of a page, but for code and for what is a link already."""

    default_priority = 500

    def run(self) -> None:
        """Put the links in."""
        for text in list(self.document.findall(nodes.Text)):
            if NUMBER.search(text) and isinstance(text.parent, nodes.paragraph | nodes.list_item):
                text.parent.replace(text, list(link_papers(text)))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_post_transform(PaperLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

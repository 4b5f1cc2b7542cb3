"""Shorten a text cell for a slide: keep heading, question, formula and diagram. The rest goes to the speaker notes."""

import re

__all__ = ["digest", "split_blocks"]

SHORT = 140
"""Largest length of a list item, or of its first sentence, that is kept whole, in characters without link URLs."""

LONGEST_TEXT = 60
"""Largest length of a single paragraph that is kept whole, in words."""

LEAD = re.compile(r"\*\*(?P<lead>[^*]+)\*\*")
ITEM = re.compile(r"^(?:[-*]|\d+\.) ", re.MULTILINE)
ADDRESS = re.compile(r"(?<=\])\([^)]*\)")
SENTENCE = re.compile(r".+?[.!?](?=\s)", re.DOTALL)
QUESTION = re.compile(r"(?:(?<=^)|(?<=[.:!?] ))[A-Z][^.!?]*\?$")


def split_blocks(text: str) -> list[str]:
    """Split Markdown into blocks, which are separated by empty lines; a fence is one block.

    >>> split_blocks("# One\\n\\nTwo\\nlines\\n\\n```\\na\\n\\nb\\n```")
    ['# One', 'Two\\nlines', '```\\na\\n\\nb\\n```']
    """
    parts = re.findall(r"^```.*?^```$|^(?!\s*$).+?(?=\n\s*\n|\n```|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return [part.strip("\n") for part in parts]


def digest(text: str) -> str:
    """The Markdown of a slide.

    A slide keeps headings (up to the next heading of the same level), display formulas, diagrams, lists, and prediction
    questions with the paragraph that introduces them. Long list items are shortened to their first sentence or their
    bold beginning. Paragraphs are shortened to their bold beginning, if it is a sentence or the whole paragraph, or to
    the question at their end. A table is kept if there is nothing else to show, and the whole text if there is no
    heading or only one paragraph.

    Args:
        text: Markdown of a cell.

    >>> digest("## Why\\n\\nMany words.\\n\\n$$E = mc^2$$")
    '## Why\\n\\n$$E = mc^2$$'
    >>> digest("## Two words.\\n\\n**Predict, then run.** Up, or down?")
    '## Two words.\\n\\n<div class="question">\\n\\n**Predict, then run.** Up, or down?\\n\\n</div>'
    """
    blocks = _first_part(split_blocks(text))
    if len(blocks) == 1 and not _asks(text) and not ITEM.search(text) and len(text.split()) <= LONGEST_TEXT:
        return text
    kept = [_kept(block) for block in blocks]
    for place in filter(lambda place: _asks(blocks[place]), range(len(blocks))):
        about = blocks[place].partition("**Predict")[0]
        if place and not kept[place - 1] and not about:
            about = blocks[place - 1]
        kept[place] = "\n\n".join(filter(None, [about and _boxed("about", about.strip()), kept[place]]))
    if not any(block and not block.startswith("#") for block in kept):
        kept = [block if block.startswith(("#", "|")) else "" for block in blocks]
    return "\n\n".join(filter(None, kept)) or text


def _asks(block: str) -> bool:
    return "**Predict" in block


def _boxed(kind: str, text: str) -> str:
    return f'<div class="{kind}">\n\n{text}\n\n</div>'


def _first_part(blocks: list[str]) -> list[str]:
    """The blocks before a second heading of the same or a higher level."""
    headings = [(place, len(block) - len(block.lstrip("#"))) for place, block in enumerate(blocks) if block[0] == "#"]
    end = next((place for place, level in headings[1:] if level <= headings[0][1]), len(blocks))
    return blocks[:end]


def _kept(block: str) -> str:
    """The part of a block that a slide keeps; empty for tables and plain text."""
    if block.startswith(("#", "$$", "```mermaid")):
        return block
    if _asks(block):
        return _boxed("question", block[block.index("**Predict") :])
    items = ITEM.search(block)
    if items:
        block = block[items.start() :]
        return "\n".join(_short_item(item) for item in re.split(r"\n(?=(?:[-*]|\d+\.) )", block))
    lead = LEAD.match(block)
    if lead and (lead["lead"].endswith((".", "?")) or lead.group() == block):
        return lead.group()
    asked = QUESTION.search(" ".join(block.split()))
    return _boxed("question", asked.group()) if asked and block[0] != "|" else ""


def _short_item(item: str) -> str:
    mark = ITEM.match(item)
    lead = LEAD.match(item, mark.end()) if mark else None
    if mark is None or lead is None or _is_short(item):
        return item
    sentence = SENTENCE.match(item, mark.end())
    return mark.group() + (sentence if sentence and _is_short(sentence.group()) else lead).group()


def _is_short(item: str) -> bool:
    return len(ADDRESS.sub("", item).replace("**", "")) <= SHORT

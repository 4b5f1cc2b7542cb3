"""What a slide keeps of a cell: heading, question, formula, picture. The rest is for the speaker's notes."""

import re

__all__ = ["digest", "split_blocks"]

SHORT = 140
"""Letters of an item, or of its first sentence, that is kept as it is; the addresses of links are not counted."""

LONGEST_TEXT = 60
"""Words of a single paragraph that is kept as it is."""

LEAD = re.compile(r"\*\*(?P<lead>[^*]+)\*\*")
ITEM = re.compile(r"^(?:[-*]|\d+\.) ", re.MULTILINE)
ADDRESS = re.compile(r"(?<=\])\([^)]*\)")
SENTENCE = re.compile(r".+?[.!?](?=\s)", re.DOTALL)
QUESTION = re.compile(r"(?:(?<=^)|(?<=[.:!?] ))[A-Z][^.!?]*\?$")


def split_blocks(text: str) -> list[str]:
    """Markdown as its blocks: what stands between empty lines, and a fence with all that is in it.

    >>> split_blocks("# One\\n\\nTwo\\nlines\\n\\n```\\na\\n\\nb\\n```")
    ['# One', 'Two\\nlines', '```\\na\\n\\nb\\n```']
    """
    parts = re.findall(r"^```.*?^```$|^(?!\s*$).+?(?=\n\s*\n|\n```|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return [part.strip("\n") for part in parts]


def digest(text: str) -> str:
    """The Markdown of a slide.

    Kept are headings, down to the next of the same level; formulas that stand alone, diagrams, questions to predict an
    answer with the paragraph that says what they are about, and lists, whose long items are cut to their first
    sentence, or to their bold beginning; paragraphs are cut to theirs, if that is a sentence or all that there is, or
    to the question that they end with. A table is kept where there is nothing else to see, and a text where there is
    not even a heading, or no more than one paragraph.

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
    """The blocks before a second heading that is as high as the first, or higher."""
    headings = [(place, len(block) - len(block.lstrip("#"))) for place, block in enumerate(blocks) if block[0] == "#"]
    end = next((place for place, level in headings[1:] if level <= headings[0][1]), len(blocks))
    return blocks[:end]


def _kept(block: str) -> str:
    """What a slide keeps of one block; nothing of a table or of plain words."""
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

"""What a slide keeps of a cell: heading, question, formula, picture. The rest is for the speaker's notes."""

import re

__all__ = ["digest", "split_blocks"]

SHORT = 120
LEAD = re.compile(r"\*\*(?P<lead>[^*]+)\*\*")
ITEM = re.compile(r"^(?:[-*]|\d+\.) ", re.MULTILINE)


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
    answer, and lists, whose long items are cut to their bold beginning; paragraphs are cut to theirs, if that is a
    sentence or all that there is. A table is kept where there is nothing else to see, and a text where there is not
    even a heading.

    Args:
        text: Markdown of a cell.

    >>> digest("## Why\\n\\nMany words.\\n\\n$$E = mc^2$$")
    '## Why\\n\\n$$E = mc^2$$'
    >>> digest("Many words.\\n\\n**Predict, then run.** Up, or down?")
    '<div class="question">\\n\\n**Predict, then run.** Up, or down?\\n\\n</div>'
    """
    blocks = _first_part(split_blocks(text))
    kept = [_kept(block) for block in blocks]
    if not any(block and not block.startswith("#") for block in kept):
        kept = [block if block.startswith(("#", "|")) else "" for block in blocks]
    return "\n\n".join(filter(None, kept)) or text


def _first_part(blocks: list[str]) -> list[str]:
    """The blocks before a second heading that is as high as the first, or higher."""
    headings = [(place, len(block) - len(block.lstrip("#"))) for place, block in enumerate(blocks) if block[0] == "#"]
    end = next((place for place, level in headings[1:] if level <= headings[0][1]), len(blocks))
    return blocks[:end]


def _kept(block: str) -> str:
    """What a slide keeps of one block; nothing of a table or of plain words."""
    if block.startswith(("#", "$$", "```mermaid")):
        return block
    if "**Predict" in block:
        return f'<div class="question">\n\n{block[block.index("**Predict") :]}\n\n</div>'
    items = ITEM.search(block)
    if items:
        block = block[items.start() :]
        return "\n".join(_short_item(item) for item in re.split(r"\n(?=(?:[-*]|\d+\.) )", block))
    lead = LEAD.match(block)
    return lead.group() if lead and (lead["lead"].endswith((".", "?")) or lead.group() == block) else ""


def _short_item(item: str) -> str:
    mark = ITEM.match(item)
    lead = LEAD.match(item, mark.end()) if mark else None
    if mark is None or lead is None or len(item) <= SHORT:
        return item
    return mark.group() + lead.group()

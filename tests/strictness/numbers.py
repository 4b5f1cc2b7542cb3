"""Every number in the prose of a notebook is printed or computed by a code cell nearby.

"Nearby" means in the same section, from one `##` heading to the next, or in the section before it; the summary at the
end may refer to the whole notebook. A number matches if it is equal after rounding to the digits in the prose, as it is
or as a percentage, whatever its sign.

This check does not cover numbers written as words, numbers in formulas and code, and wrong numbers that happen to equal
another number nearby. It finds half of the numbers whose last digit was increased by one (`python
tests/prove_strict.py --measure`). Therefore every number is also recorded (recorded.py) and any change is reported.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from tools.notebooks.form import Cell, Notebook, read

NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?"
IN_PROSE = re.compile(rf"(?<![\w.])({NUMBER})(?![\w,.]*\d)(\s*%)?")
IN_CODE = re.compile(rf"(?<![A-Za-z_.\d])({NUMBER})")  # the 3 in `x3` is part of a name

# Text that makes no claim about a result is removed before the search, for the reason given.
NO_CLAIMS = {
    r"```.*?```": "a diagram or a command to type",
    r"`[^`\n]*`": "a piece of code",
    r"\$\$.*?\$\$|\$[^$\n]+\$": "a formula, which the code near it computes",
    r"(?<=\])\([^)\s]*\)|https?://\S+|arXiv:[\d.]+": "the address of a text",
    r"<!--.*?-->|</?\w[^>]*>": "HTML markup",
    r"(?m)^\s*(?:#+\s*)?(?:\*\*)?\d+\s*[.·](?=\s)": "the number of a heading, an exercise or an item",
    r"(?i)\b(?:notebooks?|sections?|step|example|exercise|appendix) (?:[A-Z]\.)?\d+(?:(?:,| and| to) \d+)*": "a place",
    r"\*\*\d\d · ": "the number of a notebook",
    r"(?m)\b\d+ minutes to read|\babout \d+ seconds to run": "the costs, which are compared with README",
    r"\b(?:19[5-9]|20[0-3])\d\b": "a year",
    r"(?<=\w)#\d+": "an issue of a repository",
    r"[^.?!:]*\?(?=\s|$)": "a question",
    r"\b(?:GPT-\d|Llama \d|Tülu \d|Qwen\d\.\d)": "a name",
    r"\b(?:bfloat|float|int)\d+\b": "a name",
}
# Correct numbers that no cell can show, each reviewed by a person: notebook, cell, number, reason.
REVIEWED = {
    ("04_training", "the-trainer", "5e-7"): "from the papers",
    ("04_training", "the-trainer", "1e-5"): "from the papers",
}
LAST_WORDS = ("what you now know", "where to go on")


class ProseNumber(NamedTuple):
    """A number in the prose."""

    text: str
    value: Decimal
    decimals: int
    percent: bool


def unmatched_numbers(path: Path) -> Iterator[str]:
    """Each number in the prose that no code cell nearby prints or contains."""
    notebook = read(path)
    for section, cells in sections(notebook):
        known = numbers_known(cells)
        for cell in section:
            for stated in numbers_in_prose(cell["source"]):
                reviewed = (path.stem, cell["id"], stated.text) in REVIEWED
                if not reviewed and not any(matches(stated, value) for value in known):
                    yield f"{cell['id']}: {stated.text!r} is neither printed nor computed nearby"


def sections(notebook: Notebook) -> Iterator[tuple[list[Cell], list[Cell]]]:
    """The prose of each section, with the code that it may refer to."""
    parts: list[list[Cell]] = [[]]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and re.search(r"^## ", cell["source"], re.MULTILINE):
            parts.append([])
        parts[-1].append(cell)
    for place, part in enumerate(parts):
        prose = [cell for cell in part if cell["cell_type"] == "markdown"]
        summary = any(words in prose[0]["source"].lower() for words in LAST_WORDS) if prose else False
        near = parts if summary or place == 0 else parts[max(0, place - 1) : place + 1]
        yield prose, [cell for part in near for cell in part if cell["cell_type"] == "code"]


def numbers_in_prose(source: str) -> Iterator[ProseNumber]:
    """The numbers in a text that make a claim."""
    text = source.replace("−", "-")
    for pattern in NO_CLAIMS:
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    for found in IN_PROSE.finditer(text):
        digits = found[1].replace(",", "")
        value = Decimal(digits)
        yield ProseNumber(found[0].strip(), value, max(0, -int(value.as_tuple().exponent)), bool(found[2]))


def numbers_known(cells: list[Cell]) -> set[Decimal]:
    """The numbers in the sources and the outputs of code cells, without their signs."""
    texts = [cell["source"] for cell in cells] + [text for cell in cells for text in shown(cell)]
    return {
        Decimal(found.replace(",", ""))
        for text in texts
        for found in IN_CODE.findall(re.sub(r"(?<=\d)_(?=\d)", "", text.replace("−", "-")))
    }


def shown(cell: Cell) -> Iterator[str]:
    """The texts that a code cell shows."""
    for output in cell["outputs"]:
        yield output.get("text", "")
        yield output.get("data", {}).get("text/plain", "")


def matches(stated: ProseNumber, value: Decimal) -> bool:
    """Whether `stated` in the prose is consistent with `value` in the code."""
    candidates = [value, 100 * value] if stated.percent else [value]
    if stated.decimals == 0 and stated.value < 10 and not stated.percent:
        return stated.value in candidates  # a small whole number is a count, and counts are not rounded
    unit = Decimal(1).scaleb(-stated.decimals)
    return any(abs(candidate - stated.value) <= unit / 2 for candidate in candidates)

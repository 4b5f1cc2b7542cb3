"""What a notebook says that it costs: minutes to read and seconds to run, the same in its opening and in README."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.notebooks.form import read

README = Path(__file__).parents[2] / "README.md"


class Costs(NamedTuple):
    """Minutes to read, and seconds to run on two cores."""

    minutes: int
    seconds: int


def costs_told(path: Path) -> Costs | None:
    """The costs that a notebook's opening gives; None if it gives none."""
    opening = read(path)["cells"][0]["source"]
    found = re.search(r"(\d+) minutes to read, about (\d+) seconds to run", opening)
    return Costs(int(found[1]), int(found[2])) if found else None


def costs_in_readme(name: str) -> Costs | None:
    """The costs in README's row about a notebook; None if there is no such row."""
    for row in README.read_text(encoding="utf-8").splitlines():
        minutes, seconds = re.search(r"\| (\d+) min", row), re.search(r"\| (?:about )?(\d+) s\b", row)
        if row.startswith("|") and f"notebooks/{name}" in row and minutes and seconds:
            return Costs(int(minutes[1]), int(seconds[1]))
    return None


def costs_that_differ(path: Path) -> Iterator[str]:
    """A line if a notebook and README do not tell the same."""
    told, wanted = costs_told(path), costs_in_readme(path.name)
    if told is None or told != wanted:
        yield f"its opening tells {told}, and README {wanted}"

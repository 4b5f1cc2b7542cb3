"""A notebook's opening and the README must state the same costs: minutes to read and seconds to run."""

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


def costs_stated(path: Path) -> Costs | None:
    """The costs stated in a notebook's opening; None if there are none."""
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
    """Yield one line if a notebook and the README differ."""
    stated, expected = costs_stated(path), costs_in_readme(path.name)
    if stated is None or stated != expected:
        yield f"its opening states {stated}, README {expected}"

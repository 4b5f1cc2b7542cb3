"""All static checks of a notebook's file, which `make test` runs before it executes any cell."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from strictness.claims import unasserted_sentences, unasserted_values
from strictness.contract import broken_imports, violations
from strictness.costs import costs_that_differ
from strictness.numbers import unmatched_numbers
from strictness.recorded import claims_that_differ
from tools.notebooks.form import problems, read

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def keeps_the_contract(path: Path) -> Iterator[str]:
    """Check the notebook contract for the notebook in a file."""
    return violations(read(path))


CHECKS: dict[str, Callable[[Path], Iterable[str]]] = {
    "form": problems,
    "contract": keeps_the_contract,
    "imports": broken_imports,
    "numbers": unmatched_numbers,
    "sentences": unasserted_sentences,
    "values": unasserted_values,
    "costs": costs_that_differ,
    "record": claims_that_differ,
}

"""A record of the notebooks' claims: removed or changed asserts and numbers in the prose are reported.

`make record` renews `recorded.json` after an intended change.
"""

import ast
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from strictness.claims import asserts
from strictness.numbers import numbers_in_prose
from tools.notebooks.form import code_cells, read

RECORD = Path(__file__).with_name("recorded.json")
Claims = dict[str, list[str]]  # keyed by the id of each cell that has claims


def asserts_of(path: Path) -> Claims:
    """The asserts of a notebook."""
    return _any({cell["id"]: [ast.unparse(node) for node in asserts(cell)] for cell in code_cells(read(path))})


def numbers_of(path: Path) -> Claims:
    """The numbers in the prose of a notebook that make a claim."""
    prose = [cell for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]
    return _any({cell["id"]: [number.text for number in numbers_in_prose(cell["source"])] for cell in prose})


def _any(claims: Claims) -> Claims:
    return {cell: texts for cell, texts in claims.items() if texts}


KINDS: dict[str, Callable[[Path], Claims]] = {"assert": asserts_of, "number": numbers_of}


def claims_that_differ(path: Path) -> Iterator[str]:
    """Each claim that is not in the record, and each recorded claim that is missing."""
    recorded: dict[str, Claims] = json.loads(RECORD.read_text(encoding="utf-8")).get(path.name, {})
    for kind, claims_of in KINDS.items():
        before, now = recorded.get(kind, {}), claims_of(path)
        for cell in {**before, **now}:
            yield from _differences(f"{cell}: this {kind}", before.get(cell, []), now.get(cell, []))


def _differences(what: str, before: list[str], now: list[str]) -> Iterator[str]:
    yield from (f"{what} is missing: {text}" for text in before if before.count(text) > now.count(text))
    yield from (
        f"{what} is not recorded: {text} (if it is correct, run make record)"
        for text in now
        if now.count(text) > before.count(text)
    )


def record(paths: Iterable[Path]) -> None:
    """Record the claims of these notebooks in place of the previous record."""
    claims = {path.name: {kind: claims_of(path) for kind, claims_of in KINDS.items()} for path in paths}
    RECORD.write_text(json.dumps(claims, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

"""The asserts of the notebooks, kept beside them: one that has gone, or says less than it did, is told.

`python tests/faults.py --record` writes `asserted.json` anew. Whoever takes an assert away on purpose says it twice.
"""

import ast
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from dpo_teach.notebooks.form import code_cells, read
from strictness.claims import asserts

RECORD = Path(__file__).with_name("asserted.json")


def asserts_told(path: Path) -> dict[str, list[str]]:
    """By the id of each cell that has any, its asserts as text."""
    told = {cell["id"]: [ast.unparse(node) for node in asserts(cell)] for cell in code_cells(read(path))}
    return {name: texts for name, texts in told.items() if texts}


def asserts_that_differ(path: Path) -> Iterator[str]:
    """Each assert that is not the recorded one, and each recorded one that is not there."""
    recorded: dict[str, list[str]] = json.loads(RECORD.read_text(encoding="utf-8")).get(path.name, {})
    found = asserts_told(path)
    for cell in {**recorded, **found}:
        was, is_now = recorded.get(cell, []), found.get(cell, [])
        yield from (f"{cell}: this assert is gone: {text}" for text in was if was.count(text) > is_now.count(text))
        yield from (f"{cell}: not recorded yet: {text}" for text in is_now if is_now.count(text) > was.count(text))


def record(paths: Iterable[Path]) -> None:
    """Write down the asserts of these notebooks, in place of those of before."""
    text = json.dumps({path.name: asserts_told(path) for path in paths}, indent=1, ensure_ascii=False)
    RECORD.write_text(text + "\n", encoding="utf-8")

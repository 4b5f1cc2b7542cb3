"""Measure how many errors the static checks find: change every number and delete every assert, one at a time."""

import ast
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from strictness.claims import asserts, unasserted_sentences, unasserted_values
from strictness.numbers import matches, numbers_in_prose, numbers_known, sections
from strictness.recorded import claims_that_differ
from tools.notebooks.form import code_cells, read, serialise


def changed_numbers(path: Path) -> Iterator[bool]:
    """For each number in the prose, whether increasing its last digit by one would be found."""
    for prose, code in sections(read(path)):
        known = numbers_known(code)
        for number in (number for cell in prose for number in numbers_in_prose(cell["source"])):
            wrong = number._replace(value=number.value + Decimal(1).scaleb(-number.decimals))
            yield not any(matches(wrong, value) for value in known)


def deleted_asserts(path: Path) -> Iterator[bool]:
    """For each assert, whether deleting it would be found."""
    count = sum(len(asserts(cell)) for cell in code_cells(read(path)))
    known = len(breaches(path))
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            copy.write_text(without_assert(path, number), encoding="utf-8")
            yield len(breaches(copy)) > known


def breaches(path: Path) -> list[str]:
    """The reports of the assert checks about a notebook."""
    return [*claims_that_differ(path), *unasserted_sentences(path), *unasserted_values(path)]


def without_assert(path: Path, number: int) -> str:
    """The text of the notebook without the assert of this index."""
    notebook = read(path)
    every = [(cell, node) for cell in code_cells(notebook) for node in asserts(cell)]
    cell, node = every[number]
    assert isinstance(node, ast.Assert)
    lines = cell["source"].splitlines()
    indent = " " * node.col_offset
    lines[node.lineno - 1 : node.end_lineno] = [f"{indent}..."]
    cell["source"] = "\n".join(lines)
    return serialise(notebook)

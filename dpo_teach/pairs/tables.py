"""Rows as they were read, before they are converted to pairs: cells by column, or the reason why there are none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from dpo_teach.pairs.errors import quote

__all__ = ["RawRow", "RawTable", "check_unique", "json_type", "row_from", "table_from"]


class RawRow(NamedTuple):
    """One row: the file or source it comes from, its number, and its cells, or None if they could not be read."""

    source: str
    number: int
    cells: Mapping[str, Any] | None
    problem: str = ""


@dataclass(frozen=True)
class RawTable:
    """All rows of a source, with its name for messages and the unit ("line" or "row") that counts its rows."""

    source: str
    unit: str
    rows: list[RawRow]

    @cached_property
    def columns(self) -> list[str]:
        """All columns that occur in any row, in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.cells or ()))


def table_from(source: str, values: Iterable[object]) -> RawTable:
    """Number some values from 1; each should be a mapping of columns to cells.

    >>> table_from("the list", [{"prompt": "2 + 2 ="}]).columns
    ['prompt']
    """
    return RawTable(source, "row", [row_from(source, number, value) for number, value in enumerate(values, start=1)])


def row_from(source: str, number: int, value: object) -> RawRow:
    """A row with the cells of a mapping; any other value is a problem.

    >>> row_from("pairs.json", 1, 5).problem
    'expected an object with named columns, found 5 (number)'
    """
    if isinstance(value, Mapping):
        return RawRow(source, number, value)
    found = f"{quote(value)} ({json_type(value)})"
    return RawRow(source, number, None, f"expected an object with named columns, found {found}")


def check_unique(names: list[str]) -> None:
    """Refuse a name that occurs twice, of which most libraries would silently keep the last.

    Raises:
        ValueError: a name occurs twice.

    >>> check_unique(["chosen", "rejected"])
    """
    if len(set(names)) < len(names):
        raise ValueError(f"duplicate key {next(quote(name) for name in names if names.count(name) > 1)}")


def json_type(value: object) -> str:
    """The JSON name of a value's type.

    >>> json_type([1, 2])
    'array'
    """
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number" if isinstance(value, (int, float)) else type(value).__name__)

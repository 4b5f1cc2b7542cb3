"""Preference pairs that stay in their file until they are asked for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from dpo_teach.pairs.formats import read_pair
from dpo_teach.pairs.layout import Layout
from dpo_teach.pairs.pair import PairProblem, PreferencePair, RowError
from dpo_teach.pairs.reading import Table

__all__ = ["MappedPairs", "read_row"]


class MappedPairs(Sequence[PreferencePair]):
    """The usable rows of a table, each read and turned into a pair whenever it is looked at.

    Args:
        table: the rows; those of a JSONL file stay on the disk.
        layout: which columns hold what.
        positions: which rows of the table these are, in order.
        problems: what is wrong with each row that was left out because it is no pair.
    """

    def __init__(
        self,
        table: Table,
        layout: Layout,
        positions: Sequence[int] | np.ndarray,
        problems: Sequence[PairProblem] = (),
    ):
        self._table, self._layout, self._positions = table, layout, np.asarray(positions, dtype=np.int64)
        self.problems = problems

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> PreferencePair: ...
    @overload
    def __getitem__(self, index: slice) -> list[PreferencePair]: ...
    def __getitem__(self, index: int | slice) -> PreferencePair | list[PreferencePair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return read_row(self._table, self._layout, int(self._positions[index]))

    def select(self, indices: Sequence[int]) -> "MappedPairs":
        """Some of the pairs, by their places here."""
        return MappedPairs(self._table, self._layout, self._positions[list(indices)])


def read_row(table: Table, layout: Layout, position: int) -> PreferencePair:
    """The pair in one row of a table.

    Raises:
        RowError: the row is no pair.
    """
    row = table.rows[position]
    if row.cells is None:
        raise RowError("", row.trouble)
    return replace(read_pair(row.cells, layout), where=f"{table.source}, {table.unit} {row.number}")

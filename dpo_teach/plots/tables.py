"""Tables of numbers and texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from dpo_teach.projector import projector_scale

__all__ = ["Table"]


_FIRST_LINE = "<!-- A table. Run the cell to see it. -->\n"
"""What JupyterLab shows of a table that is folded away."""


@dataclass(frozen=True, repr=False)
class Table:
    """A table with a header; as the last line of a cell, it is displayed.

    Args:
        header: the column headings.
        rows: the rows, each with as many texts and numbers as the header; numbers are right-aligned.
        texts: indices of the columns with running text, which are wide and left-aligned.

    Raises:
        ValueError: the length of a row differs from that of the header.

    >>> Table(["beta", "KL"], [[0.1, "8.5"], [1.0, "0.9"]])
    beta   KL
     0.1  8.5
     1.0  0.9
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    texts: Sequence[int] = field(default=(0,))

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.header):
                raise ValueError(f"row {number}: expected {len(self.header)} cells, as in the header, found {len(row)}")

    def __repr__(self) -> str:
        cells = [[str(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if self._is_text(column) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        )

    def _repr_html_(self) -> str:
        head = "".join(self._cell("th", column, text) for column, text in enumerate(self.header))
        body = "".join(
            "<tr>" + "".join(self._cell("td", column, cell) for column, cell in enumerate(row)) + "</tr>"
            for row in self.rows
        )
        scale = projector_scale()
        size = f' style="font-size: calc({scale:g} * var(--jp-ui-font-size1, 13px))"' if scale > 1 else ""
        return f"{_FIRST_LINE}<table{size}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cell(self, tag: str, column: int, cell: object) -> str:
        is_text = self._is_text(column)
        style = f"text-align: {'left' if is_text else 'right'}; vertical-align: top"
        return f'<{tag} style="{style}{"; max-width: 26em" if is_text else ""}">{escape(str(cell))}</{tag}>'

    def _is_text(self, column: int) -> bool:
        return column in self.texts and any(isinstance(row[column], str) for row in self.rows)

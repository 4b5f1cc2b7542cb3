"""Read CSV, TSV and Parquet files."""

import csv
import functools
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from dpo_teach.pairs.errors import PairError, first_line
from dpo_teach.pairs.opening import without_bom
from dpo_teach.pairs.tables import RawRow, RawTable, check_unique, table_from

__all__ = ["read_csv", "read_parquet", "read_tsv"]

LONGEST_CELL = 2**31 - 1


def _read_delimited(path: Path, file: BufferedIOBase, delimiter: str) -> RawTable:
    """Rows are counted by the line on which they begin, because a cell in quotes may contain line breaks."""
    limit = csv.field_size_limit(LONGEST_CELL)  # a setting of the module; its default refuses cells over 128 kB
    try:
        return RawTable(str(path), "line", list(_delimited_rows(path, file, delimiter)))
    finally:
        csv.field_size_limit(limit)


def _delimited_rows(path: Path, file: BufferedIOBase, delimiter: str) -> Iterator[RawRow]:
    reader = csv.reader(_decoded(path, file), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            unclosed = "expected a double quote that closes a cell, found the end of the file"
            other = f"expected cells separated by {delimiter!r}, found invalid text ({error})"
            what = unclosed if "end of data" in str(error) else other
            raise PairError(f"{path}, line {line}: {what}") from error
        if cells is None:
            return
        if not cells:  # an empty line
            continue
        if not header:
            header = [name.strip() for name in cells]
            _check_header(path, line, header)
        elif len(cells) != len(header):
            yield RawRow(str(path), line, None, f"expected {len(header)} cells, as in the header, found {len(cells)}")
        else:
            yield RawRow(str(path), line, dict(zip(header, cells, strict=True)))


def _decoded(path: Path, file: BufferedIOBase) -> Iterator[str]:
    """Decode line by line, so that an invalid byte is reported with its line."""
    for number, line in enumerate(file, start=1):
        try:
            yield (without_bom(path, line) if number == 1 else line).decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{path}, line {number}"
            raise PairError(f"{where}: expected UTF-8, found an invalid byte at position {error.start + 1}") from error


def _check_header(path: Path, line: int, header: list[str]) -> None:
    try:
        check_unique(header)
    except ValueError as error:
        raise PairError(f"{path}, line {line}: expected different column names, found {error}") from error


read_csv = functools.partial(_read_delimited, delimiter=",")
read_tsv = functools.partial(_read_delimited, delimiter="\t")


def read_parquet(path: Path, file: BufferedIOBase) -> RawTable:
    """Read a Parquet file.

    Raises:
        PairError: the file is damaged, or two columns have the same name.
    """
    import pyarrow.parquet  # slow to import

    try:
        table = pyarrow.parquet.ParquetFile(file).read()
        check_unique(table.column_names)
        return table_from(str(path), table.to_pylist())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise PairError(f"{path}: cannot be read as Parquet: {first_line(error)}") from error

"""Read the rows of a list, a JSONL, JSON or Parquet file, a folder of such files, or a dataset on the Hub."""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from dpo_teach.pairs.errors import PairError, PairFileNotFoundError, closest, listing, quote
from dpo_teach.pairs.pair import PreferencePair

__all__ = ["RawRow", "RawTable", "Source", "read_rows"]

Source: TypeAlias = str | Path | Sequence[Mapping[str, Any] | PreferencePair]

ASSETS = Path(__file__).parents[1] / "assets"
BUNDLED = ("reviews-preferences",)
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# Suffixes of files, but not of Hub names: "org/data-v1.5" has none of them.
FILE_ENDING = re.compile(r"\.(jsonl?|ndjson|parquet|arrow|csv|tsv|txt|xlsx?|ya?ml|gz|zst|zip|tar|pkl)$", re.IGNORECASE)


class RawRow(NamedTuple):
    """One row: its number and its cells by column. If the cells could not be read, they are None."""

    number: int
    cells: Mapping[str, Any] | None
    problem: str = ""


@dataclass(frozen=True)
class RawTable:
    """All rows of one source, with its name for messages and the unit ("line" or "row") that counts them."""

    source: str
    unit: str
    rows: list[RawRow]

    @cached_property
    def columns(self) -> list[str]:
        """All columns that occur in any row, in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.cells or ()))


def read_rows(source: Source, split: str) -> RawTable:
    """Read the rows of a list, a file, one split of a folder, the bundled pairs, or a Hub dataset; at least one.

    Raises:
        PairError: the source does not exist, cannot be read, or has no rows.
    """
    if isinstance(source, (str, Path)):
        table = _read_named(source, split)
    else:
        table = _table("the list", (asdict(row) if isinstance(row, PreferencePair) else row for row in source))
    if not table.rows:
        raise PairError(f"{table.source}: expected at least one preference pair, found no rows")
    return table


def _read_named(source: str | Path, split: str) -> RawTable:
    path = ASSETS / source if source in BUNDLED else Path(source)
    if path.is_dir():
        return _read_file(_file_of_split(path, split))
    if path.exists():
        return _read_file(path)
    if isinstance(source, Path) or FILE_ENDING.search(source) or not HUB_NAME.fullmatch(source):
        raise PairFileNotFoundError(f"{source}: no such file; {_neighbours(path)}")
    local = [entry.name for entry in Path().iterdir()]
    hint = f" (no local file or folder has this name{closest(source, [*BUNDLED, *local])})"
    return _table(f"{source} ({split})", _read_hub(source, split, hint))


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {str(path.parent)!r} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    return f"the folder contains {listing(names, longest=6)}{closest(path.name, names)}"


def _file_of_split(folder: Path, split: str) -> Path:
    for ending in READERS:
        if (path := folder / f"{split}{ending}").is_file():
            return path
    names = ", ".join(f"{split}{ending}" for ending in READERS)
    found = listing(sorted(entry.name for entry in folder.iterdir()))
    raise PairFileNotFoundError(f"{folder}: no file for the split {split!r}, expected {names}; found {found}; choose "
                                "another split with split (--split)")  # fmt: skip


def _read_file(path: Path) -> RawTable:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise PairError(f"{path}: expected a file of type {', '.join(READERS)}, found {path.suffix!r}; convert it")
    try:
        if path.stat().st_size < 1024 and not path.read_bytes().removeprefix(codecs.BOM_UTF8).strip():
            raise PairError(f"{path}: expected at least one preference pair, found an empty file")
        return reader(path)
    except OSError as error:
        raise PairError(f"{path}: cannot be read: {error.strerror or error}") from error


def _table(source: str, values: Any) -> RawTable:
    return RawTable(source, "row", [_row(number, value) for number, value in enumerate(values, start=1)])


def _row(number: int, value: object) -> RawRow:
    if isinstance(value, Mapping):
        return RawRow(number, value)
    return RawRow(number, None, f"expected an object with named columns, found {quote(value)} ({_json_type(value)})")


# JSON is read with the standard library, because `datasets` reports neither the line nor the column of an error.


def _read_jsonl(path: Path) -> RawTable:
    rows: list[RawRow] = []
    with path.open("rb") as file:  # in bytes, lines end only at \n; in text mode, U+2028 inside a text would end a line
        for number, line in enumerate(file, start=1):
            text = _without_bom(path, line) if number == 1 else line
            if not text.strip():
                continue
            if not rows and text.lstrip().startswith(b"["):
                raise PairError(f"{path}, line {number}: expected one JSON object per line, found an array; to read an "
                                "array, rename the file to .json")  # fmt: skip
            rows.append(_parse_line(number, text.removesuffix(b"\n")))
    return RawTable(str(path), "line", rows)


def _parse_line(number: int, line: bytes) -> RawRow:
    try:
        value = JSON.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return RawRow(number, None, f"expected UTF-8, found an invalid byte at position {error.start + 1}")
    except json.JSONDecodeError as error:
        return RawRow(
            number, None, f"expected one JSON object per line, found invalid JSON at column {error.colno} ({error.msg})"
        )
    except (ValueError, RecursionError) as error:  # a duplicate key, 5,000 digits or 5,000 nested brackets
        return RawRow(number, None, f"expected one JSON object per line, found invalid JSON ({error})")
    return _row(number, value)


def _read_json(path: Path) -> RawTable:
    data = _without_bom(path, path.read_bytes())
    try:
        value = JSON.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PairError(f"{path}, line {line}: expected UTF-8, found an invalid byte") from error
    except json.JSONDecodeError as error:
        hint = "; to read one object per line, rename the file to .jsonl" if error.msg == "Extra data" else ""
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise PairError(f"{where}: expected one array of objects, found invalid JSON ({error.msg}){hint}") from error
    except (ValueError, RecursionError) as error:
        raise PairError(f"{path}: expected one array of objects, found invalid JSON ({error})") from error
    if not isinstance(value, list):
        lists = [name for name, cell in value.items() if isinstance(cell, list)] if isinstance(value, dict) else []
        hint = f" with the array {listing(lists)}; save that array as the whole file" if lists else ""
        raise PairError(f"{path}: expected one array of objects, found a single {_json_type(value)}{hint}")
    return _table(str(path), value)


def _read_parquet(path: Path) -> RawTable:
    import pyarrow.parquet  # slow to import

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
        _check_unique(table.column_names)
        return _table(str(path), table.to_pylist())
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise PairError(f"{path}: cannot be read as Parquet: {_first_line(error)}") from error


def _read_hub(name: str, split: str, hint: str) -> list[dict[str, Any]]:
    import datasets  # slow to import

    try:
        return list(datasets.load_dataset(name, split=split))
    except Exception as error:  # the network, the Hub and the data raise many unrelated types
        if not isinstance(error, datasets.exceptions.DatasetNotFoundError):
            what = _hub_failure(error)
        elif "gated" in str(error):
            what = f"access to this Hub dataset is restricted: {_first_line(error)}"
        else:
            what = "the Hub has no dataset of this name, or the dataset is private"
        raise PairError(f"{name}: {what}{hint}") from error


def _hub_failure(error: Exception) -> str:
    # Compare class names, because the classes belong to an HTTP library that has changed before. Also search the
    # message, because `datasets` puts the class name there when it drops the chain of causes.
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    names |= set(re.findall(r"\w+", str(error)))
    if "OfflineModeIsEnabled" in names:
        return "the Hub is not reachable (HF_HUB_OFFLINE is set), and the dataset is not in the cache"
    if names & {"ConnectionError", "TransportError", "TimeoutError"}:
        return "the Hub is not reachable (no network?), and the dataset is not in the cache"
    return f"the Hub dataset cannot be read: {_first_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _without_bom(path: Path, data: bytes) -> bytes:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PairError(f"{path}: expected UTF-8, found UTF-16 (called Unicode in Windows); save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _unique_keys(cells: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate keys. By default, Python silently keeps the last of two equal keys."""
    found = dict(cells)
    if len(found) < len(cells):
        _check_unique([key for key, _ in cells])
    return found


def _check_unique(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"duplicate key {next(quote(name) for name in names if names.count(name) > 1)}")


def _json_type(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number" if isinstance(value, (int, float)) else type(value).__name__)


JSON = json.JSONDecoder(object_pairs_hook=_unique_keys)
READERS: dict[str, Callable[[Path], RawTable]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}

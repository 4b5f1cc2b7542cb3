"""Read the rows of a list, a file, a folder of files, or a dataset on the Hub."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any, TypeAlias

from dpo_teach.pairs.errors import PairError, PairFileNotFoundError, closest, listing
from dpo_teach.pairs.folders import files_of_split, is_saved_dataset, read_saved_dataset
from dpo_teach.pairs.hub import read_hub
from dpo_teach.pairs.opening import endings_of, open_data, without_bom
from dpo_teach.pairs.pair import PreferencePair
from dpo_teach.pairs.tables import RawRow, RawTable, check_unique, json_type, row_from, table_from
from dpo_teach.pairs.tabular import read_csv, read_parquet, read_tsv

__all__ = ["Source", "read_rows"]

Source: TypeAlias = str | Path | Sequence[Mapping[str, Any] | PreferencePair]

ASSETS = Path(__file__).parents[1] / "assets"
BUNDLED = ("reviews-preferences",)
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# Suffixes of files, but not of Hub names: "org/data-v1.5" has none of them.
FILE_ENDING = re.compile(r"\.(jsonl?|ndjson|parquet|arrow|csv|tsv|txt|xlsx?|ya?ml|gz|bz2|xz|zst|zip|tar|pkl)$",
                         re.IGNORECASE)  # fmt: skip


def read_rows(source: Source, split: str, dataset_config: str | None = None) -> RawTable:
    """Read the rows of a list, a file, one split of a folder, the bundled pairs, or a Hub dataset; at least one.

    Raises:
        PairError: the source does not exist, cannot be read, or has no rows.
    """
    if isinstance(source, (str, Path)):
        table = _read_named(source, split, dataset_config)
    else:
        table = table_from("the list", map(_cells, _listed(source)))
    if not table.rows:
        raise PairError(f"{table.source}: expected at least one preference pair, found no rows")
    return table


def _listed(source: Any) -> Iterable[object]:
    """The rows of a list, a dataset of `datasets` or a table of pandas.

    Raises:
        PairError: the source has several splits.
    """
    if isinstance(source, Mapping):
        found = f"{type(source).__name__} with {listing(map(str, source))}"
        raise PairError(f"the source: expected a list of rows, found a {found}; pass one of them")
    return source.to_dict("records") if hasattr(source, "iterrows") else source


def _cells(row: object) -> object:
    """The cells of a row; a pair is written as a row, with its messages if it has any."""
    if not isinstance(row, PreferencePair):
        return row
    if row.conversation is None:
        return {"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
    return {name: [{"role": role, "content": content} for role, content in messages]
            for name, messages in row.conversation._asdict().items()}  # fmt: skip


def _read_named(source: str | Path, split: str, dataset_config: str | None) -> RawTable:
    path = ASSETS / source if source in BUNDLED else Path(source)
    if path.is_dir():
        return _read_folder(path, split)
    if path.exists():
        return _read_file(path)
    if isinstance(source, Path) or FILE_ENDING.search(source) or not HUB_NAME.fullmatch(source):
        raise PairFileNotFoundError(f"{source}: no such file; {_neighbours(path)}")
    local = [entry.name for entry in Path().iterdir()]
    hint = f" (no local file or folder has this name{closest(source, [*BUNDLED, *local])})"
    return table_from(f"{source} ({split})", read_hub(source, dataset_config, split, hint))


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {str(path.parent)!r} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    return f"the folder contains {listing(names, longest=6)}{closest(path.name, names)}"


def _read_folder(folder: Path, split: str) -> RawTable:
    if is_saved_dataset(folder):
        return table_from(f"{folder} ({split})", read_saved_dataset(folder, split))
    expected = ", ".join(f"{split}{ending}" for ending in READERS)
    tables = [_read_file(file) for file in files_of_split(folder, split, READERS, expected)]
    if len(tables) == 1:
        return tables[0]
    return RawTable(f"{folder} ({split})", tables[0].unit, [row for table in tables for row in table.rows])


def _read_file(path: Path) -> RawTable:
    reader = READERS.get(endings_of(path)[0])
    if reader is None:
        raise PairError(f"{path}: expected a file of type {', '.join(READERS)}, found {path.suffix!r}; convert it")
    with open_data(path) as file:
        return reader(path, file)


# JSON is read with the standard library, because `datasets` reports neither the line nor the column of an error.


def _read_jsonl(path: Path, file: BufferedIOBase) -> RawTable:
    rows: list[RawRow] = []
    for number, line in enumerate(file, start=1):  # in bytes, because in text mode U+2028 would end a line
        text = without_bom(path, line) if number == 1 else line
        if not text.strip():
            continue
        if not rows and text.lstrip().startswith(b"["):
            raise PairError(f"{path}, line {number}: expected one JSON object per line, found an array; to read an "
                            "array, rename the file to .json")  # fmt: skip
        rows.append(_parse_line(path, number, text.removesuffix(b"\n")))
    _check_some_line(path, rows)
    return RawTable(str(path), "line", rows)


def _parse_line(path: Path, number: int, line: bytes) -> RawRow:
    try:
        return row_from(str(path), number, JSON.decode(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        problem = f"expected UTF-8, found an invalid byte at position {error.start + 1}"
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        why = error.msg if rest else f"{error.msg}{LINE_ENDS}"
        is_comma = error.msg == "Extra data" and rest == ","
        found = COMMA if is_comma else f"invalid JSON at column {error.colno} ({why})"
        problem = f"expected one JSON object per line, found {found}"
    except (ValueError, RecursionError) as error:  # a duplicate key, 5,000 digits or 5,000 nested brackets
        problem = f"expected one JSON object per line, found invalid JSON ({error})"
    return RawRow(str(path), number, None, problem)


def _check_some_line(path: Path, rows: list[RawRow]) -> None:
    """Report a mistake once if every line has it, so that a file of another kind does not fill the screen.

    Raises:
        PairError: no line is a JSON object, or all are followed by a comma (but perhaps the last).
    """
    bad = [row for row in rows if row.cells is None]
    if len(bad) < 2 or len(bad) < len(rows) - 1:
        return
    if all(row.problem.endswith(COMMA) for row in bad):
        what = f"expected one JSON object per line, found {COMMA}"
        remedy = "remove the commas, or put all lines in [ ] and rename the file to .json"
    elif len(bad) < len(rows):
        return
    elif LINE_ENDS in bad[0].problem:
        what = "expected one JSON object per line, found an object that continues on the next line"
        remedy = "write each object on one line, for example with jq -c ."
    else:
        what, remedy = bad[0].problem, "no other line is an object either, so this may be a file of another kind"
    raise PairError(f"{path}, line {bad[0].number}: {what}; {remedy}")


def _read_json(path: Path, file: BufferedIOBase) -> RawTable:
    data = without_bom(path, file.read())
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
        raise PairError(f"{path}: expected one array of objects, found a single {json_type(value)}{hint}")
    return table_from(str(path), value)


def _unique_keys(cells: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate keys. By default, Python silently keeps the last of two equal keys."""
    found = dict(cells)
    if len(found) < len(cells):
        check_unique([key for key, _ in cells])
    return found


COMMA = "a comma after the object"
LINE_ENDS = ", but the line ends"
JSON = json.JSONDecoder(object_pairs_hook=_unique_keys)
READERS: dict[str, Callable[[Path, BufferedIOBase], RawTable]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".tsv": read_tsv,
}

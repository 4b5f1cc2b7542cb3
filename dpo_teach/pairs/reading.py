"""From a source to rows: which file, which line, which columns, and what could not be read."""

import codecs
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dpo_teach.pairs.hub import read_hub, read_parquet
from dpo_teach.pairs.lines import JsonLines, Row, as_row, without_repeats
from dpo_teach.pairs.pair import PairError, PairFileNotFoundError, PreferencePair, closest, json_kind, listing

__all__ = ["Source", "Table", "read_table"]

Source: TypeAlias = str | Path | Sequence[Mapping[str, Any] | PreferencePair]

ASSETS = Path(__file__).parents[1] / "assets"
BUNDLED = ("reviews-preferences",)
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
# An ending that a file has and a Hub name does not; "org/data-v1.5" has none of them.
FILE_ENDING = re.compile(r"\.(jsonl?|ndjson|parquet|arrow|csv|tsv|txt|xlsx?|ya?ml|gz|zst|zip|tar|pkl)$", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """All rows of one source, its name for messages, and the unit ("line" or "row") in which its rows count."""

    source: str
    unit: str
    rows: Sequence[Row]

    @property
    def columns(self) -> list[str]:
        """Every column that any row has, in the order in which they first appear."""
        return list(dict.fromkeys(name for row in self.rows for name in row.cells or ()))


def read_table(source: Source, split: str) -> Table:
    """The rows of a list, a file, a folder's split, the bundled pairs, or a Hub dataset; at least one row."""
    if isinstance(source, (str, Path)):
        table = _read_named(source, split)
    else:
        table = _number("the list", [asdict(row) if isinstance(row, PreferencePair) else row for row in source])
    if not table.rows:
        raise PairError(f"{table.source}: holds no rows, wanted at least one preference pair")
    return table


def _read_named(source: str | Path, split: str) -> Table:
    if source in BUNDLED:
        return _read_file(_file_of_split(ASSETS / source, split))
    path = Path(source)
    if path.is_dir():
        return _read_file(_file_of_split(path, split))
    if path.exists():
        return _read_file(path)
    if isinstance(source, Path) or FILE_ENDING.search(source) or not HUB_NAME.fullmatch(source):
        raise PairFileNotFoundError(f"{source}: no such file; {_what_is_there(path)}")
    here = [entry.name for entry in Path().iterdir()]
    hint = f" (nor is there a file or folder of that name here{closest(source, [*BUNDLED, *here])})"
    return _number(f"{source} ({split})", read_hub(source, split, hint))


def _what_is_there(path: Path) -> str:
    """The end of "no such file": what somebody would see who went and looked."""
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r} either"
    beside = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    return f"beside it: {listing(beside, longest=6)}{closest(path.name, beside)}"


def _file_of_split(folder: Path, split: str) -> Path:
    for ending in READERS:
        if (path := folder / f"{split}{ending}").is_file():
            return path
    wanted = ", ".join(f"{split}{ending}" for ending in READERS)
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    raise PairFileNotFoundError(f"{folder}: no file for the split {split!r}, wanted {wanted}; found {listing(there)}")


def _read_file(path: Path) -> Table:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise PairError(f"{path}: the ending {path.suffix!r} is not supported, wanted one of {', '.join(READERS)}")
    try:
        table = reader(path)
    except OSError as error:
        raise PairError(f"{path}: cannot be read: {error.strerror or error}") from error
    return table


# JSON is read by the standard library and not by `datasets`, which counts neither lines nor columns: whoever has to
# mend a file needs to know where.
def _read_jsonl(path: Path) -> Table:
    with path.open("rb") as file:
        _refuse_utf_16(path, file.read(2))
    rows = JsonLines(path)
    if not rows:
        raise PairError(f"{path}: the file is empty, wanted at least one preference pair")
    if rows.begin_as_an_array():
        raise PairError(f"{path}, line 1: found a JSON array, wanted one object a line; name it .json to read it whole")
    return Table(str(path), "line", rows)


def _read_json(path: Path) -> Table:
    data = _not_empty(path, path.read_bytes())
    _refuse_utf_16(path, data[:2])
    try:
        value = json.loads(data.removeprefix(codecs.BOM_UTF8).decode("utf-8"), object_pairs_hook=without_repeats)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PairError(f"{path}, line {line}: not valid UTF-8, wanted a file in UTF-8") from error
    except json.JSONDecodeError as error:
        hint = "; one object a line is JSONL: name the file .jsonl" if error.msg == "Extra data" else ""
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise PairError(f"{where}: broken JSON: {error.msg}, wanted one array of objects{hint}") from error
    except (ValueError, RecursionError) as error:
        raise PairError(f"{path}: unreadable JSON: {error}") from error
    if not isinstance(value, list):
        lists = [name for name, cell in value.items() if isinstance(cell, list)] if isinstance(value, dict) else []
        inside = f" whose {listing(lists)} may be meant" if lists else ""
        raise PairError(f"{path}: found one {json_kind(value)}{inside}, wanted an array of objects at the top")
    return _number(str(path), value)


def _read_parquet(path: Path) -> Table:
    data = _not_empty(path, path.read_bytes())
    # Asked here because `datasets` would log a line of its own before it raises.
    if not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        raise PairError(f"{path}: not a Parquet file (or cut off): it must begin and end with the bytes PAR1")
    return _number(str(path), read_parquet(path))


def _not_empty(path: Path, data: bytes) -> bytes:
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise PairError(f"{path}: the file is empty, wanted at least one preference pair")
    return data


def _refuse_utf_16(path: Path, beginning: bytes) -> None:
    """Say once what would be wrong with every line."""
    if beginning in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise PairError(f"{path}: is in UTF-16 (Windows calls it Unicode), wanted UTF-8: save it again as UTF-8")


def _number(source: str, values: Sequence[Any]) -> Table:
    return Table(source, "row", [as_row(number, value) for number, value in enumerate(values, start=1)])


READERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}

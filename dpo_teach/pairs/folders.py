"""Find the files of one split in a folder: one file, shards, or a dataset that `datasets` has saved."""

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from dpo_teach.pairs.errors import PairError, PairFileNotFoundError, closest, first_line, listing
from dpo_teach.pairs.opening import endings_of

__all__ = ["files_of_split", "is_saved_dataset", "read_saved_dataset"]

SPLIT_WORD = re.compile(r"(?<![a-z])(train(ing)?|test|valid(ation)?|val|dev|eval)(?![a-z])", re.IGNORECASE)
NOT_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def files_of_split(folder: Path, split: str, endings: Container[str], expected: str) -> list[Path]:
    """Return the files of one split, in alphabetical order: `train.jsonl`, `train-00000-of-00002.parquet`, `train/*`.

    The folder and its subfolder `data`, where clones of the Hub have their files, are searched. If no file is named
    after a split, all files belong to the split "train".

    Args:
        folder: the folder.
        split: name of the split.
        endings: endings of the supported formats.
        expected: file names to name in the error message.

    Raises:
        PairError: there is no such file, or there are files in several formats, which may hold the same pairs twice.
    """
    places = [folder, folder / "data"]
    files = [file for place in places for file in _files(place, endings)]
    named = re.compile(rf"{re.escape(split)}([-_.]?\d+([-_.]of[-_.]\d+)?)?", re.IGNORECASE)
    found = [file for file in files if named.fullmatch(_stem(file))]
    found += [file for place in places for file in _files(place / split, endings)]
    if not found and split == "train" and not any(SPLIT_WORD.search(_stem(file)) for file in files):
        found = files
    if not found:
        names = listing(sorted(entry.name for entry in folder.iterdir()))
        raise PairFileNotFoundError(f"{folder}: no file for the split {split!r}, expected {expected}; found {names}; "
                                    "choose another split with split (--split)")  # fmt: skip
    kinds = {"".join(endings_of(file)): file.name for file in reversed(found)}
    if len(kinds) > 1:
        raise PairError(f"{folder}: expected files of one format for the split {split!r}, found "
                        f"{listing(sorted(kinds.values()))}; pass one of these files")  # fmt: skip
    return found


def _files(folder: Path, endings: Container[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    readable = (file for file in folder.iterdir() if file.is_file() and endings_of(file)[0] in endings)
    return sorted(file for file in readable if file.name not in NOT_DATA and not file.name.startswith("."))


def _stem(file: Path) -> str:
    return file.name[: len(file.name) - len("".join(endings_of(file)))]


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` of the library `datasets` has written a folder."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def read_saved_dataset(folder: Path, split: str) -> list[dict[str, Any]]:
    """Read a folder that `save_to_disk` has written. Its files are Arrow tables and JSON; nothing is unpickled.

    Raises:
        PairError: the folder cannot be read, or has no such split.
    """
    import datasets  # slow to import

    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # damaged files raise many unrelated types
        raise PairError(f"{folder}: cannot be read as a dataset saved by save_to_disk: {first_line(error)}") from error
    if isinstance(found, datasets.DatasetDict):
        if split not in found:
            raise PairFileNotFoundError(f"{folder}: no split {split!r}, found {listing(found)}{closest(split, found)}; "
                                        "choose another split with split (--split)")  # fmt: skip
        found = found[split]
    return list(found)

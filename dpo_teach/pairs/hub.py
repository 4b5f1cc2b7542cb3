"""Rows by way of the `datasets` library: Parquet files and the Hub."""

import glob
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpo_teach.pairs.pair import PairError

__all__ = ["read_hub", "read_parquet"]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """All rows of one Parquet file.

    Raises:
        PairError: the file is not Parquet, or is damaged.
    """
    import pyarrow.parquet  # as slow to import as `datasets`, which brings it

    # Streamed, with a cache that is thrown away: no second copy in the home folder, no progress bar for a local file.
    try:
        if pyarrow.parquet.read_metadata(path).num_rows == 0:  # which `datasets` would call a batch of the wrong size
            return []
        with tempfile.TemporaryDirectory() as cache:
            rows = _library().load_dataset(
                "parquet", data_files=glob.escape(str(path)), split="train", streaming=True, cache_dir=cache
            )
            return list(rows)
    except Exception as error:  # pyarrow and datasets raise a dozen types for a damaged file
        raise PairError(f"{path}: cannot be read as Parquet: {_first_line(error)}") from error


def read_hub(name: str, split: str, hint: str = "") -> list[dict[str, Any]]:
    """All rows of one split of a dataset on the Hub, downloaded unless it is in the cache.

    Args:
        name: as "organisation/dataset".
        split: as the dataset calls it.
        hint: added to the message if there is no such dataset or no network.

    Raises:
        PairError: the Hub is not reachable, has no dataset of that name, or holds one that cannot be read.
    """
    try:
        return list(_library().load_dataset(name, split=split))
    except Exception as error:  # the network, the Hub and the data each have their own family of exceptions
        raise PairError(f"{name}: {_what_went_wrong(error)}{hint}") from error


def _what_went_wrong(error: Exception) -> str:
    if isinstance(error, _library().exceptions.DatasetNotFoundError):
        if "gated" in str(error):
            return f"the Hub does not give the dataset to you: {_first_line(error)}"
        return "the Hub has no dataset of that name, or it is private"
    # By name, because the class belongs to an HTTP library that is not ours to depend on and that has changed before;
    # and by the message, because `datasets` puts the name there where it cuts the chain of causes.
    signs = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    signs |= set(re.findall(r"\w+", str(error)))
    if "OfflineModeIsEnabled" in signs:
        return "the Hub is not reachable (HF_HUB_OFFLINE is set), and the dataset is not in the cache"
    if signs & {"ConnectionError", "TransportError", "TimeoutError"}:
        return "the Hub is not reachable (no network?), and the dataset is not in the cache"
    return f"the Hub's dataset cannot be read: {_first_line(error)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _library() -> Any:
    import datasets

    return datasets

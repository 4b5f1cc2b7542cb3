"""Read a dataset from the Hugging Face Hub, and explain in one line why it cannot be read."""

import re
from collections.abc import Iterator
from typing import Any

from dpo_teach.pairs.errors import PairError, first_line

__all__ = ["read_hub"]


def read_hub(name: str, configuration: str | None, split: str, hint: str) -> list[dict[str, Any]]:
    """Read one split of a dataset.

    Args:
        name: name of the dataset.
        configuration: name of one of its configurations (subsets), or None if it has only one.
        split: name of the split.
        hint: added to the error message.

    Raises:
        PairError: the dataset cannot be read.
    """
    import datasets  # slow to import

    try:
        return list(datasets.load_dataset(*filter(None, (name, configuration)), split=split))
    except Exception as error:  # the network, the Hub and the data raise many unrelated types
        if not isinstance(error, datasets.exceptions.DatasetNotFoundError):
            what = _explain(error)
        elif "gated" in str(error):
            what = f"access to this Hub dataset is restricted: {first_line(error)}"
        else:
            what = "the Hub has no dataset of this name, or the dataset is private"
        raise PairError(f"{name}: {what}{hint}") from error


def _explain(error: Exception) -> str:
    # Compare class names, because the classes belong to an HTTP library that has changed before. Also search the
    # message, because `datasets` puts the class name there when it drops the chain of causes.
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    names |= set(re.findall(r"\w+", str(error)))
    if "OfflineModeIsEnabled" in names:
        return "the Hub is not reachable (HF_HUB_OFFLINE is set), and the dataset is not in the cache"
    if names & {"ConnectionError", "TransportError", "TimeoutError"}:
        return "the Hub is not reachable (no network?), and the dataset is not in the cache"
    if found := re.search(r"(?:available configs|Available): (\[.*?\])", str(error)):
        return f"choose one of its configurations with dataset_config (--dataset-config NAME): {found[1]}"
    because = "; ".join(dict.fromkeys(first_line(cause) for cause in _causes(error)))
    return f"the Hub dataset cannot be read: {because}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

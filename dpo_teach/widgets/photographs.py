"""Photographs of the explorers, taken by `make photographs`: for pages where no browser draws them live."""

import json
from functools import cache
from importlib.resources import files

__all__ = ["PICTURES", "photograph"]

PICTURES = files("dpo_teach.assets") / "pictures"


def photograph(reading: str) -> bytes | None:
    """The photograph of an explorer that says this of itself, as PNG bytes; None where nobody took one.

    Args:
        reading: the explorer's repr.

    >>> photograph("an explorer that there is not") is None
    True
    """
    name = _index().get(reading)
    return None if name is None else (PICTURES / name).read_bytes()


@cache
def _index() -> dict[str, str]:
    """File names by reading."""
    index = PICTURES / "explorers.json"
    return json.loads(index.read_text(encoding="utf-8"))["photographs"] if index.is_file() else {}

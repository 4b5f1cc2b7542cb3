"""Names of a package that are imported when they are first asked for, as PEP 562 has it.

torch takes a second or two to import: `dpo-teach --help` need not wait for it, and what its threads are to do has to be
said before.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["import_late"]


def import_late(package: str, rooms: Mapping[str, str]) -> Callable[[str], Any]:
    """What a package calls `__getattr__`.

    Args:
        package: its name, `__name__`.
        rooms: for each of the names that it gives, the module of the package where it lives.

    >>> import_late("dpo_teach", {"margin": "loss"})("margin").__name__
    'margin'
    """

    def find(name: str) -> Any:
        if name not in rooms:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{rooms[name]}"), name)

    return find

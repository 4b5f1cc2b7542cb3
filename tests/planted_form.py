"""How wrong answers are planted: by a name, with words that stand in no diagnosis but the one that is theirs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Planted = Mapping[str, tuple[Callable[..., Any], str]]
Variants = Sequence[tuple[Callable[..., Any], str]]

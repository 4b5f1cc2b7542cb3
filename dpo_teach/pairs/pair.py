"""What a preference pair is, and how pairs are split into training and held-out pairs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["PreferencePair", "hold_out", "without_prompts_of"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class PreferencePair:
    """One comparison: for `prompt`, an annotator preferred the response `chosen` to the response `rejected`.

    The texts are used as they are: a model sees `prompt + chosen` and `prompt + rejected`, so the space between a
    prompt and its response belongs to one of the two, usually to the response.

    >>> PreferencePair(prompt="The plot", chosen=" is a delight.", rejected=" drags.").prompt
    'The plot'
    """

    prompt: str
    chosen: str
    rejected: str
    where: str = field(default="", compare=False, repr=False)
    """The source and row that it came from, for messages."""


def hold_out(pairs: Sequence[Item], size: int, seed: int) -> tuple[list[Item], list[Item]]:
    """Set some pairs aside for evaluation, drawn without replacement.

    Args:
        pairs: all pairs; both parts keep their order.
        size: number of pairs to hold out; at least 0 and fewer than there are.
        seed: the same seed holds out the same positions, on every machine.

    Returns:
        The pairs to train on, and the held-out pairs. Two pairs of one prompt may be on different sides;
        `without_prompts_of` removes them from the first part.

    Raises:
        ValueError: `size` is negative, or leaves nothing to train on.

    >>> hold_out(["a", "b", "c", "d"], size=1, seed=0)
    (['a', 'b', 'c'], ['d'])
    """
    if not 0 <= size < len(pairs):
        raise ValueError(f"size must be at least 0 and below the number of pairs ({len(pairs)}), found {size}")
    held = set(random.Random(seed).sample(range(len(pairs)), size))
    return [pair for i, pair in enumerate(pairs) if i not in held], [pairs[i] for i in sorted(held)]


def without_prompts_of(held: Sequence[PreferencePair], pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs whose prompt is not among the held-out prompts: a policy must not train on prompts it is tested on.

    >>> one, two = [PreferencePair("2 + 2 =", chosen, " 5") for chosen in (" 4", " four")]
    >>> other = PreferencePair("1 + 1 =", " 2", " 3")
    >>> without_prompts_of([one], [two, other])
    [PreferencePair(prompt='1 + 1 =', chosen=' 2', rejected=' 3')]
    """
    prompts = {pair.prompt for pair in held}
    return [pair for pair in pairs if pair.prompt not in prompts]

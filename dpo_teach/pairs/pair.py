"""The preference pair, and the split into training and held-out pairs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias, TypeVar

__all__ = ["Conversation", "Message", "PreferencePair", "hold_out", "without_prompts_of"]

Item = TypeVar("Item")
Message: TypeAlias = tuple[str, str]
"""Role ("system", "user" or "assistant") and content."""


class Conversation(NamedTuple):
    """The messages of a pair: a prompt, and the messages of two responses, which start with an assistant's."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]


@dataclass(frozen=True)
class PreferencePair:
    """One comparison: for `prompt`, an annotator preferred the response `chosen` to the response `rejected`.

    The texts are used unchanged: a model sees `prompt + chosen` and `prompt + rejected`. The space between a prompt and
    its response must therefore be part of one of them, usually of the response.

    A pair that was read from messages keeps them: a tokenizer with a chat template renders the messages, and only a
    tokenizer without one uses the texts, which are their plain form, "\\n\\nHuman: ...\\n\\nAssistant: ...".

    >>> PreferencePair(prompt="The plot", chosen=" is a delight.", rejected=" drags.").prompt
    'The plot'
    """

    prompt: str
    chosen: str
    rejected: str
    where: str = field(default="", compare=False, repr=False)
    """Source and row of the pair, for messages."""
    conversation: Conversation | None = field(default=None, compare=False, repr=False)
    """The messages of the pair, if it was read from messages."""

    def swapped(self) -> "PreferencePair":
        """Return the same comparison with the opposite label.

        >>> PreferencePair("2 + 2 =", " 4", " 5").swapped()
        PreferencePair(prompt='2 + 2 =', chosen=' 5', rejected=' 4')
        """
        messages = self.conversation and Conversation(
            self.conversation.prompt, chosen=self.conversation.rejected, rejected=self.conversation.chosen
        )
        return replace(self, chosen=self.rejected, rejected=self.chosen, conversation=messages)


def hold_out(pairs: Sequence[Item], size: int, seed: int) -> tuple[list[Item], list[Item]]:
    """Hold out some pairs for evaluation, drawn without replacement.

    Args:
        pairs: all pairs; both parts keep their order.
        size: number of pairs to hold out; at least 0 and less than the number of pairs.
        seed: random seed. The same seed holds out the same positions on every machine.

    Returns:
        The pairs to train on, and the held-out pairs. Pairs with the same prompt may end up in different parts;
        `without_prompts_of` removes them from the training part.

    Raises:
        ValueError: `size` is negative or leaves no pairs to train on.

    >>> hold_out(["a", "b", "c", "d"], size=1, seed=0)
    (['a', 'b', 'c'], ['d'])
    """
    if not 0 <= size < len(pairs):
        raise ValueError(f"size must be at least 0 and less than the number of pairs ({len(pairs)}), found {size}")
    held = set(random.Random(seed).sample(range(len(pairs)), size))
    return [pair for i, pair in enumerate(pairs) if i not in held], [pairs[i] for i in sorted(held)]


def without_prompts_of(held: Sequence[PreferencePair], pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Return the pairs whose prompt is not a held-out prompt, so that a policy is not tested on its training prompts.

    >>> one, two = [PreferencePair("2 + 2 =", chosen, " 5") for chosen in (" 4", " four")]
    >>> other = PreferencePair("1 + 1 =", " 2", " 3")
    >>> without_prompts_of([one], [two, other])
    [PreferencePair(prompt='1 + 1 =', chosen=' 2', rejected=' 3')]
    """
    prompts = {pair.prompt for pair in held}
    return [pair for pair in pairs if pair.prompt not in prompts]

"""Fit token ids into the length limits, and check that something is left to learn from."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dpo_teach.batches.dataset import TokenizedPair

__all__ = [
    "Overlong",
    "TruncationStats",
    "check_limits",
    "fit_pair",
    "truncate_each",
    "truncate_prompt",
]

Overlong = Literal["error", "drop"]
Item = TypeVar("Item")
Truncated = TypeVar("Truncated")


@dataclass(frozen=True)
class TruncationStats:
    """How many examples of a data set were changed or dropped because of the length limits.

    Args:
        prompts: number of examples whose prompt lost its beginning.
        responses: number of examples with a response that lost its end.
        dropped: number of examples that were dropped, because their prompt left no token for a response, a response
            was empty, or the chat template could not render their messages.
    """

    prompts: int = 0
    responses: int = 0
    dropped: int = 0


def truncate_prompt(
    ids: tuple[int, ...], max_length: int, max_prompt_length: int | None = None, *, start_id: int | None = None
) -> tuple[tuple[int, ...], int]:
    """Remove the beginning of a long prompt, and count the tokens left for a response.

    Args:
        ids: the ids of the prompt.
        max_length: maximum tokens of prompt and response together.
        max_prompt_length: maximum tokens of the prompt; None means no limit.
        start_id: the beginning-of-sequence token, which a prompt that begins with it keeps.

    Returns:
        The ids of the prompt, and the number of tokens left for a response.

    Raises:
        ValueError: no token is left for a response.

    >>> truncate_prompt((0, 5, 6, 7), max_length=8, max_prompt_length=2, start_id=0)
    ((0, 7), 6)
    """
    if max_prompt_length is not None and len(ids) > max_prompt_length:
        start = ids[:1] if ids[0] == start_id else ()
        ids = start + ids[len(ids) - max_prompt_length + len(start) :]
    budget = max_length - len(ids)
    if budget < 1:
        raise ValueError(
            f"field 'prompt': its {len(ids)} tokens leave no room for a response within {max_length} tokens; "
            "shorten the prompt, or set max_prompt_length (--max-prompt-length)"
        )
    return ids, budget


def fit_pair(
    ids: TokenizedPair, tokenizer: Any, max_length: int, max_prompt_length: int | None = None
) -> TokenizedPair:
    """Check the ids of a whole pair, and truncate them.

    Args:
        ids: the ids of the whole pair.
        tokenizer: the tokenizer that produced them.
        max_length: maximum tokens of prompt and response together.
        max_prompt_length: maximum tokens of the prompt; None means no limit.

    Raises:
        ValueError: the prompt leaves no token for a response, a response has no token but the end of sequence, or the
            responses are identical after truncation.
    """
    for field, response in (("chosen", ids.chosen_ids), ("rejected", ids.rejected_ids)):
        if response == (tokenizer.eos_token_id,):
            raise ValueError(f"field {field!r}: expected a response, found only the end-of-sequence token")
    prompt_ids, budget = truncate_prompt(ids.prompt_ids, max_length, max_prompt_length, start_id=tokenizer.bos_token_id)
    chosen_ids, rejected_ids = ids.chosen_ids[:budget], ids.rejected_ids[:budget]
    if chosen_ids == rejected_ids:
        raise ValueError(f"fields 'chosen' and 'rejected' are identical after truncation to {budget} tokens "
                         f"(max_length={max_length}); raise max_length or shorten the prompt")  # fmt: skip
    return TokenizedPair(prompt_ids, chosen_ids, rejected_ids)


def truncate_each(
    examples: Iterable[tuple[str, Item]], truncate: Callable[[Item], Truncated], on_overlong: Overlong
) -> Iterator[tuple[int, Truncated]]:
    """Truncate examples one by one. An example that does not fit raises an error that names it, or is skipped.

    Args:
        examples: pairs of a name for messages (source and row, or "") and an item to truncate.
        truncate: function that truncates an item and raises a ValueError if it does not fit.
        on_overlong: "error" raises at an example that does not fit; "drop" skips it.

    Yields:
        The index of each example that fits, and the truncated item.

    Raises:
        ValueError: an example does not fit and `on_overlong` is "error".
    """
    for index, (where, example) in enumerate(examples):
        try:
            yield index, truncate(example)
        except ValueError as error:
            if on_overlong == "error":
                raise ValueError(f"{where or f'example {index + 1}'}, {error}; on_overlong='drop' "
                                 "(--on-overlong drop) skips such examples") from None  # fmt: skip


def check_limits(max_length: int, max_prompt_length: int | None) -> None:
    """Reject limits that leave no token for a prompt or a response.

    Raises:
        ValueError: a limit is too small; the message names the argument.
    """
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2 (one token of prompt, one of response), found {max_length}")
    if max_prompt_length is not None and not 1 <= max_prompt_length < max_length:
        raise ValueError(
            f"max_prompt_length must be at least 1 and below max_length={max_length}, found {max_prompt_length}"
        )

"""From text pairs to batches of token ids: tokenize, mask, pad.

The rules, each of which has gone wrong in public (see the tests):
- the prompt is tokenized once, by itself, and both responses follow those same ids;
- exactly one end-of-sequence token closes a whole response, and is trained on; a response that was cut has none;
- padding goes on the right, and masks are made from lengths, never from ids.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dpo_teach.pairs import PreferencePair

__all__ = [
    "Overlong",
    "TokenBatch",
    "TokenizedPair",
    "TokenizedPairs",
    "collate",
    "collate_pairs",
    "fit_prompt",
    "keep_fitting",
    "split_pairs",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
]

Overlong = Literal["error", "drop"]
Item = TypeVar("Item")
Tokenized = TypeVar("Tokenized")


@dataclass(frozen=True)
class TokenizedPair:
    """A preference pair as token ids; both responses continue the same prompt."""

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    def __len__(self) -> int:
        """Tokens of prompt and longer response together: what bucketing by length sorts by."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


@dataclass(frozen=True)
class TokenizedPairs:
    """What tokenizing a data set gave: the pairs, and how many were cut to fit or left out."""

    pairs: tuple[TokenizedPair, ...]
    truncated: int
    dropped: int


@dataclass(frozen=True)
class TokenBatch:
    """Sequences of one length, padded on the right.

    `response_mask` is true at the tokens of the response, its end-of-sequence token included, and nowhere else.
    """

    input_ids: Int[Tensor, "batch time"]
    attention_mask: Int[Tensor, "batch time"]
    response_mask: Bool[Tensor, "batch time"]

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same batch on another device."""
        return TokenBatch(self.input_ids.to(device), self.attention_mask.to(device), self.response_mask.to(device))


def tokenize_prompt(prompt: str, tokenizer: Any) -> tuple[int, ...]:
    """The ids of a prompt, with what this tokenizer puts in front of a text, and at least one id.

    A response's first token is predicted from the token before it, so an empty prompt becomes the
    beginning-of-sequence token (or, where there is none, the end-of-sequence token, as GPT-2 was trained).
    """
    ids = list(tokenizer(prompt)["input_ids"])
    if ids and ids[-1] == tokenizer.eos_token_id != tokenizer.bos_token_id:
        ids.pop()
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return tuple(ids or [start])


def tokenize_response(response: str, tokenizer: Any) -> tuple[int, ...]:
    """The ids of a response, closed by exactly one end-of-sequence token."""
    ids = list(tokenizer(response, add_special_tokens=False)["input_ids"])
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return (*ids, tokenizer.eos_token_id)


def fit_prompt(
    prompt: str, tokenizer: Any, *, max_length: int, max_prompt_length: int | None = None
) -> tuple[tuple[int, ...], int]:
    """The ids of a prompt, without its beginning where it is too long, and the tokens left for a response.

    Raises:
        ValueError: nothing is left for a response.
    """
    ids = tokenize_prompt(prompt, tokenizer)
    if max_prompt_length is not None:
        ids = ids[-max_prompt_length:]
    room = max_length - len(ids)
    if room < 1:
        raise ValueError(
            f"field 'prompt': its {len(ids)} tokens leave no room for a response within {max_length} tokens: "
            "shorten it, or set max_prompt_length"
        )
    return ids, room


def tokenize_pair(
    pair: PreferencePair, tokenizer: Any, *, max_length: int, max_prompt_length: int | None = None
) -> TokenizedPair:
    """Token ids of one pair, cut to fit.

    A prompt longer than `max_prompt_length` loses its beginning, once, the same for both responses, so that Z(x)
    still cancels. A response loses its end where prompt and response pass `max_length`.

    Args:
        pair: the texts.
        tokenizer: a `transformers` tokenizer with an end-of-sequence token.
        max_length: tokens of prompt and response together, at most the model's context.
        max_prompt_length: tokens of the prompt that are kept; None keeps them all.

    Returns:
        The ids; the responses end in the end-of-sequence token unless they were cut.

    Raises:
        ValueError: the prompt leaves no room for a response, or the two responses are the same after the cut.
    """
    prompt_ids, room = fit_prompt(pair.prompt, tokenizer, max_length=max_length, max_prompt_length=max_prompt_length)
    chosen_ids = tokenize_response(pair.chosen, tokenizer)[:room]
    rejected_ids = tokenize_response(pair.rejected, tokenizer)[:room]
    if chosen_ids == rejected_ids:
        raise ValueError(
            f"fields 'chosen' and 'rejected' are the same in the {room} tokens that {max_length} tokens leave them: "
            "nothing is preferred to anything"
        )
    return TokenizedPair(prompt_ids, chosen_ids, rejected_ids)


def tokenize_pairs(
    pairs: Sequence[PreferencePair],
    tokenizer: Any,
    *,
    max_length: int,
    max_prompt_length: int | None = None,
    on_overlong: Overlong = "error",
) -> TokenizedPairs:
    """Tokenize a data set, counting what was cut and what was left out.

    Args:
        pairs: the texts.
        tokenizer: a `transformers` tokenizer with an end-of-sequence token.
        max_length: tokens of prompt and response together.
        max_prompt_length: tokens of the prompt that are kept; None keeps them all.
        on_overlong: a pair with no response left is an "error", or is "drop"-ped and counted.

    Raises:
        ValueError: the limits make no sense, a pair has no response left and may not be dropped, or none remains.
    """
    _check_limits(max_length, max_prompt_length)
    kept = keep_fitting(
        pairs,
        lambda pair: tokenize_pair(pair, tokenizer, max_length=max_length, max_prompt_length=max_prompt_length),
        on_overlong,
    )
    if not kept:
        raise ValueError(f"no pair fits into max_length={max_length} tokens, out of {len(pairs)}")
    truncated = sum(_was_cut(pair, tokenizer.eos_token_id) for pair in kept)
    return TokenizedPairs(tuple(kept), truncated, dropped=len(pairs) - len(kept))


def keep_fitting(
    items: Sequence[Item], tokenize: Callable[[Item], Tokenized], on_overlong: Overlong
) -> list[Tokenized]:
    """Tokenize items one by one; one that does not fit is an error that names it, or is left out.

    Raises:
        ValueError: an item does not fit and may not be left out.
    """
    kept = []
    for number, item in enumerate(items, start=1):
        try:
            kept.append(tokenize(item))
        except ValueError as error:
            if on_overlong == "error":
                where = getattr(item, "where", "") or f"example {number}"
                raise ValueError(
                    f"{where}, {error}; on_overlong='drop' (--on-overlong drop) leaves such examples out"
                ) from None
    return kept


def collate(sequences: Iterable[tuple[Sequence[int], Sequence[int]]], pad_id: int) -> TokenBatch:
    """Lay (prompt ids, response ids) side by side in one rectangle, padded on the right.

    >>> batch = collate([([5, 6], [7, 1]), ([5], [8, 9, 9, 1])], pad_id=0)
    >>> batch.input_ids
    tensor([[5, 6, 7, 1, 0],
            [5, 8, 9, 9, 1]])
    >>> batch.response_mask.int()
    tensor([[0, 0, 1, 1, 0],
            [0, 1, 1, 1, 1]], dtype=torch.int32)
    """
    rows = [(list(prompt), list(response)) for prompt, response in sequences]
    if not rows:
        raise ValueError("sequences is empty: a batch needs at least one")
    longest = max(len(prompt) + len(response) for prompt, response in rows)

    def lay_out(of_prompt: Callable[[list[int]], list[int]], of_response: Callable[[list[int]], list[int]],
                filler: int) -> Tensor:  # fmt: skip
        laid = [of_prompt(prompt) + of_response(response) for prompt, response in rows]
        return torch.tensor([row + [filler] * (longest - len(row)) for row in laid])

    def ones(ids: list[int]) -> list[int]:
        return [1] * len(ids)

    def zeros(ids: list[int]) -> list[int]:
        return [0] * len(ids)

    return TokenBatch(
        input_ids=lay_out(list, list, pad_id),
        attention_mask=lay_out(ones, ones, 0),
        response_mask=lay_out(zeros, ones, 0).bool(),
    )


def collate_pairs(pairs: Sequence[TokenizedPair], pad_id: int) -> TokenBatch:
    """One batch of 2 x pairs rows: all the chosen responses, then all the rejected ones, in the same order."""
    chosen = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    rejected = [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    return collate(chosen + rejected, pad_id)


def split_pairs(values: Tensor) -> tuple[Tensor, Tensor]:
    """Undo the stacking of `collate_pairs`: (values of the chosen responses, values of the rejected ones)."""
    chosen, rejected = values.chunk(2)
    return chosen, rejected


def _was_cut(pair: TokenizedPair, eos_id: int) -> bool:
    return pair.chosen_ids[-1] != eos_id or pair.rejected_ids[-1] != eos_id


def _check_limits(max_length: int, max_prompt_length: int | None) -> None:
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2 (one token of prompt, one of response), found {max_length}")
    if max_prompt_length is not None and not 1 <= max_prompt_length < max_length:
        raise ValueError(
            f"max_prompt_length must be at least 1 and below max_length={max_length}, found {max_prompt_length}"
        )

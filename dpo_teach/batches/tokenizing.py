"""From text pairs to token ids: the prompt once, both responses after it, one end-of-sequence token each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dpo_teach.pairs import PreferencePair

__all__ = [
    "Overlong",
    "TokenizedPair",
    "TokenizedPairs",
    "fit_prompt",
    "keep_fitting",
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
        """Tokens of prompt and longer response together: what must fit into a model's context."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        """Tokens of prompt and both responses together: what bucketing by length sorts by."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True)
class TokenizedPairs:
    """What tokenizing a data set gave: the pairs, and how many were cut to fit or left out."""

    pairs: tuple[TokenizedPair, ...]
    truncated: int
    dropped: int


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


def _was_cut(pair: TokenizedPair, eos_id: int) -> bool:
    return pair.chosen_ids[-1] != eos_id or pair.rejected_ids[-1] != eos_id


def _check_limits(max_length: int, max_prompt_length: int | None) -> None:
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2 (one token of prompt, one of response), found {max_length}")
    if max_prompt_length is not None and not 1 <= max_prompt_length < max_length:
        raise ValueError(
            f"max_prompt_length must be at least 1 and below max_length={max_length}, found {max_prompt_length}"
        )

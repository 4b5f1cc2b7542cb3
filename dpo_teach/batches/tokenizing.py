"""From text pairs to token ids: the prompt once, both responses after it, one end-of-sequence token each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dpo_teach.batches.token_table import TokenizedPair, TokenTable
from dpo_teach.pairs import PreferencePair

__all__ = [
    "Cuts",
    "Overlong",
    "TokenizedPairs",
    "check_limits",
    "fit_ids",
    "fit_prompt",
    "keep_fitting",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
]

Overlong = Literal["error", "drop"]
TEXTS_AT_ONCE = 1024
Item = TypeVar("Item")
Tokenized = TypeVar("Tokenized")


@dataclass(frozen=True)
class Cuts:
    """What was cut of a data set to make it fit.

    Args:
        prompts: how many examples lost the beginning of their prompt.
        responses: how many lost the end of a response.
        dropped: how many were left out, because their prompt left no room for a response.
    """

    prompts: int = 0
    responses: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class TokenizedPairs:
    """What tokenizing a data set gave: the pairs that fit, as ids, and what was cut."""

    pairs: TokenTable
    cuts: Cuts


def tokenize_prompt(prompt: str, tokenizer: Any) -> tuple[int, ...]:
    """The ids of a prompt, with what this tokenizer puts in front of a text, and at least one id.

    A response's first token is predicted from the token before it, so an empty prompt becomes the
    beginning-of-sequence token (or, where there is none, the end-of-sequence token, as GPT-2 was trained).
    """
    return _as_prompt(tokenizer(prompt)["input_ids"], tokenizer)


def tokenize_response(response: str, tokenizer: Any) -> tuple[int, ...]:
    """The ids of a response, closed by exactly one end-of-sequence token."""
    return _as_response(tokenizer(response, add_special_tokens=False)["input_ids"], tokenizer)


def _as_prompt(ids: list[int], tokenizer: Any) -> tuple[int, ...]:
    if ids and ids[-1] == tokenizer.eos_token_id != tokenizer.bos_token_id:
        ids.pop()
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return tuple(ids or [start])


def _as_response(ids: list[int], tokenizer: Any) -> tuple[int, ...]:
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
    return fit_ids(tokenize_prompt(prompt, tokenizer), max_length, max_prompt_length)


def fit_ids(ids: tuple[int, ...], max_length: int, max_prompt_length: int | None) -> tuple[tuple[int, ...], int]:
    """`fit_prompt`, of a prompt that is ids already."""
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
    ids = TokenizedPair(
        tokenize_prompt(pair.prompt, tokenizer),
        tokenize_response(pair.chosen, tokenizer),
        tokenize_response(pair.rejected, tokenizer),
    )
    return _fit_pair(ids, max_length, max_prompt_length)


def _fit_pair(ids: TokenizedPair, max_length: int, max_prompt_length: int | None) -> TokenizedPair:
    prompt_ids, room = fit_ids(ids.prompt_ids, max_length, max_prompt_length)
    chosen_ids, rejected_ids = ids.chosen_ids[:room], ids.rejected_ids[:room]
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
    check_limits(max_length, max_prompt_length)
    cut_prompts = 0

    def fit(item: tuple[PreferencePair, TokenizedPair]) -> TokenizedPair:
        nonlocal cut_prompts
        fitted = _fit_pair(item[1], max_length, max_prompt_length)
        cut_prompts += len(fitted.prompt_ids) < len(item[1].prompt_ids)
        return fitted

    table = TokenTable(keep_fitting(_in_batches(pairs, tokenizer), fit, on_overlong, name=lambda item: item[0].where))
    if not table:
        raise ValueError(f"no pair fits into max_length={max_length} tokens, out of {len(pairs)}")
    last_ids = table.ids[table.ends - 1].reshape(-1, 3)[:, 1:]  # of chosen and rejected
    cut = int((last_ids != tokenizer.eos_token_id).any(axis=1).sum())
    return TokenizedPairs(table, Cuts(cut_prompts, cut, dropped=len(pairs) - len(table)))


def _in_batches(pairs: Sequence[PreferencePair], tokenizer: Any) -> Iterator[tuple[PreferencePair, TokenizedPair]]:
    """Each pair with all its ids; a tokenizer is many times as fast on a thousand texts as on one after the other."""
    for start in range(0, len(pairs), TEXTS_AT_ONCE):
        some = pairs[start : start + TEXTS_AT_ONCE]
        prompts = tokenizer([pair.prompt for pair in some])["input_ids"]
        chosen = tokenizer([pair.chosen for pair in some], add_special_tokens=False)["input_ids"]
        rejected = tokenizer([pair.rejected for pair in some], add_special_tokens=False)["input_ids"]
        for pair, *ids in zip(some, prompts, chosen, rejected, strict=True):
            yield (
                pair,
                TokenizedPair(
                    _as_prompt(ids[0], tokenizer), _as_response(ids[1], tokenizer), _as_response(ids[2], tokenizer)
                ),
            )


def keep_fitting(
    items: Iterable[Item],
    tokenize: Callable[[Item], Tokenized],
    on_overlong: Overlong,
    *,
    name: Callable[[Item], str] = lambda item: getattr(item, "where", ""),
) -> Iterator[Tokenized]:
    """Tokenize items one by one; one that does not fit is an error that names it, or is left out.

    Raises:
        ValueError: an item does not fit and may not be left out.
    """
    for number, item in enumerate(items, start=1):
        try:
            yield tokenize(item)
        except ValueError as error:
            if on_overlong == "error":
                where = name(item) or f"example {number}"
                raise ValueError(
                    f"{where}, {error}; on_overlong='drop' (--on-overlong drop) leaves such examples out"
                ) from None


def check_limits(max_length: int, max_prompt_length: int | None) -> None:
    """Refuse limits that leave no token for a prompt or a response.

    Raises:
        ValueError: they do; the message names the one.
    """
    if max_length < 2:
        raise ValueError(f"max_length must be at least 2 (one token of prompt, one of response), found {max_length}")
    if max_prompt_length is not None and not 1 <= max_prompt_length < max_length:
        raise ValueError(
            f"max_prompt_length must be at least 1 and below max_length={max_length}, found {max_prompt_length}"
        )

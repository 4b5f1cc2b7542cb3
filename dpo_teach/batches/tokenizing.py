"""Convert text pairs to token ids: one prompt, followed by two responses with an end-of-sequence token each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dpo_teach.batches.dataset import TokenizedDataset, TokenizedPair
from dpo_teach.pairs import PreferencePair

__all__ = [
    "Overlong",
    "TokenizedPairs",
    "TruncationStats",
    "check_limits",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
    "truncate_each",
    "truncate_prompt",
]

Overlong = Literal["error", "drop"]
TEXTS_AT_ONCE = 1024
Item = TypeVar("Item")
Truncated = TypeVar("Truncated")


@dataclass(frozen=True)
class TruncationStats:
    """How many examples of a data set were changed or dropped because of the length limits.

    Args:
        prompts: number of examples whose prompt lost its beginning.
        responses: number of examples with a response that lost its end.
        dropped: number of examples that were dropped, because their prompt left no token for a response.
    """

    prompts: int = 0
    responses: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class TokenizedPairs:
    """A tokenized data set.

    Args:
        pairs: the pairs that fit, as token ids.
        truncation: how many pairs were truncated or dropped.
        rows: index of each pair in the original data set.
    """

    pairs: TokenizedDataset
    truncation: TruncationStats = TruncationStats()
    rows: Sequence[int] = ()


def tokenize_prompt(prompt: str, tokenizer: Any) -> tuple[int, ...]:
    """Tokenize a prompt, with the special tokens that the tokenizer puts in front of a text.

    The result has at least one id, because the first token of a response is predicted from the token before it. An
    empty prompt therefore becomes the beginning-of-sequence token or, if there is none, the end-of-sequence token, as
    in the training of GPT-2.
    """
    return _as_prompt(tokenizer(prompt)["input_ids"], tokenizer)


def tokenize_response(response: str, tokenizer: Any) -> tuple[int, ...]:
    """Tokenize a response. The ids end with exactly one end-of-sequence token."""
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


def truncate_prompt(
    ids: tuple[int, ...], max_length: int, max_prompt_length: int | None = None
) -> tuple[tuple[int, ...], int]:
    """Remove the beginning of a long prompt, and count the tokens left for a response.

    Returns:
        The ids of the prompt, and the number of tokens left for a response.

    Raises:
        ValueError: no token is left for a response.
    """
    if max_prompt_length is not None:
        ids = ids[-max_prompt_length:]
    budget = max_length - len(ids)
    if budget < 1:
        raise ValueError(
            f"field 'prompt': its {len(ids)} tokens leave no room for a response within {max_length} tokens; "
            "shorten the prompt, or set max_prompt_length (--max-prompt-length)"
        )
    return ids, budget


def tokenize_pair(
    pair: PreferencePair, tokenizer: Any, *, max_length: int, max_prompt_length: int | None = None
) -> TokenizedPair:
    """Tokenize one pair and truncate it to the length limits.

    A prompt longer than `max_prompt_length` loses its beginning. Both responses share the truncated prompt, so Z(x)
    still cancels. A response loses its end if prompt and response together exceed `max_length`.

    Args:
        pair: the texts.
        tokenizer: a `transformers` tokenizer with an end-of-sequence token.
        max_length: maximum tokens of prompt and response together, at most the model's context.
        max_prompt_length: maximum tokens of the prompt; None means no limit.

    Returns:
        The token ids. Each response ends with the end-of-sequence token unless it was truncated.

    Raises:
        ValueError: the prompt leaves no token for a response, or the responses are identical after truncation.
    """
    ids = TokenizedPair(
        tokenize_prompt(pair.prompt, tokenizer),
        tokenize_response(pair.chosen, tokenizer),
        tokenize_response(pair.rejected, tokenizer),
    )
    return _truncate_pair(ids, max_length, max_prompt_length)


def _truncate_pair(ids: TokenizedPair, max_length: int, max_prompt_length: int | None) -> TokenizedPair:
    prompt_ids, budget = truncate_prompt(ids.prompt_ids, max_length, max_prompt_length)
    chosen_ids, rejected_ids = ids.chosen_ids[:budget], ids.rejected_ids[:budget]
    if chosen_ids == rejected_ids:
        raise ValueError(f"fields 'chosen' and 'rejected' are identical after truncation to {budget} tokens "
                         f"(max_length={max_length}); raise max_length or shorten the prompt")  # fmt: skip
    return TokenizedPair(prompt_ids, chosen_ids, rejected_ids)


def tokenize_pairs(
    pairs: Sequence[PreferencePair],
    tokenizer: Any,
    *,
    max_length: int,
    max_prompt_length: int | None = None,
    on_overlong: Overlong = "error",
) -> TokenizedPairs:
    """Tokenize a data set. Count truncated and dropped pairs, and keep the index of each remaining pair.

    Args:
        pairs: the texts.
        tokenizer: a `transformers` tokenizer with an end-of-sequence token.
        max_length: maximum tokens of prompt and response together.
        max_prompt_length: maximum tokens of the prompt; None means no limit.
        on_overlong: "error" raises at a pair that does not fit; "drop" drops and counts such pairs.

    Raises:
        ValueError: the limits are invalid, a pair does not fit and `on_overlong` is "error", or no pair fits.
    """
    check_limits(max_length, max_prompt_length)
    rows: list[int] = []
    shortened = 0

    def fitting() -> Iterator[TokenizedPair]:
        nonlocal shortened
        examples = zip((pair.where for pair in pairs), _tokenize_in_batches(pairs, tokenizer), strict=True)
        for row, (whole, kept) in truncate_each(
            examples, lambda ids: (ids, _truncate_pair(ids, max_length, max_prompt_length)), on_overlong
        ):
            rows.append(row)
            shortened += len(kept.prompt_ids) < len(whole.prompt_ids)
            yield kept

    dataset = TokenizedDataset(fitting())
    if not dataset:
        raise ValueError(
            f"expected at least one pair that fits into max_length={max_length} tokens, found none among {len(pairs)}"
        )
    last_ids = dataset.ids[dataset.ends - 1].reshape(-1, 3)[:, 1:]  # (pairs, 2): of chosen and rejected
    cut = int((last_ids != tokenizer.eos_token_id).any(axis=1).sum())
    stats = TruncationStats(prompts=shortened, responses=cut, dropped=len(pairs) - len(dataset))
    return TokenizedPairs(dataset, stats, rows)


def _tokenize_in_batches(pairs: Sequence[PreferencePair], tokenizer: Any) -> Iterator[TokenizedPair]:
    """Tokenize pairs in batches, because a tokenizer is many times faster on a thousand texts than on single texts."""
    for start in range(0, len(pairs), TEXTS_AT_ONCE):
        some = pairs[start : start + TEXTS_AT_ONCE]
        prompts = tokenizer([pair.prompt for pair in some])["input_ids"]
        chosen = tokenizer([pair.chosen for pair in some], add_special_tokens=False)["input_ids"]
        rejected = tokenizer([pair.rejected for pair in some], add_special_tokens=False)["input_ids"]
        for one, good, bad in zip(prompts, chosen, rejected, strict=True):
            yield TokenizedPair(_as_prompt(one, tokenizer), _as_response(good, tokenizer), _as_response(bad, tokenizer))


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

"""Convert text pairs to token ids: one prompt, followed by two responses with an end-of-sequence token each."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpo_teach.batches.chat import has_chat_template, tokenize_chats, unwrap
from dpo_teach.batches.dataset import TokenizedDataset, TokenizedPair
from dpo_teach.batches.fitting import Overlong, TruncationStats, check_limits, fit_pair, truncate_each
from dpo_teach.batches.special_tokens import close_response, one_start, without_end_text
from dpo_teach.pairs import Message, PreferencePair

__all__ = [
    "TokenizedPairs",
    "tokenize_example",
    "tokenize_pair",
    "tokenize_pairs",
    "tokenize_prompt",
    "tokenize_response",
    "tokenize_whole",
]

TEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class TokenizedPairs:
    """A tokenized data set.

    Args:
        pairs: the pairs that fit, as token ids.
        truncation: how many pairs were truncated or dropped.
        rows: index of each pair in the original data set.
    """

    pairs: TokenizedDataset
    truncation: TruncationStats = field(default_factory=TruncationStats)
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
    text = without_end_text(response, tokenizer)
    return close_response(tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer)


def tokenize_example(
    prompt: str,
    response: str,
    tokenizer: Any,
    messages: tuple[Sequence[Message], Sequence[Message]] | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokenize a prompt and one response: their messages, if the tokenizer has a chat template, or else their texts.

    Raises:
        ValueError: the chat template cannot render the messages.
    """
    if messages is None or not has_chat_template(tokenizer):
        return tokenize_prompt(prompt, tokenizer), tokenize_response(response, tokenizer)
    (found,) = tokenize_chats([(messages[0], [messages[1]])], tokenizer)
    prompt_ids, (response_ids,) = unwrap(found)
    return prompt_ids, response_ids


def _as_prompt(ids: list[int], tokenizer: Any) -> tuple[int, ...]:
    ids = one_start(ids, tokenizer)
    if ids and ids[-1] == tokenizer.eos_token_id != tokenizer.bos_token_id:
        ids.pop()
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return tuple(ids or [start])


def tokenize_pair(
    pair: PreferencePair, tokenizer: Any, *, max_length: int, max_prompt_length: int | None = None
) -> TokenizedPair:
    """Tokenize one pair and truncate it to the length limits.

    A pair that was read from messages is rendered by the tokenizer's chat template, if it has one. A prompt longer than
    `max_prompt_length` loses its beginning, but not its beginning-of-sequence token. Both responses share the truncated
    prompt, so Z(x) still cancels. A response loses its end if prompt and response together exceed `max_length`.

    Args:
        pair: the texts.
        tokenizer: a `transformers` tokenizer with an end-of-sequence token.
        max_length: maximum tokens of prompt and response together, at most the model's context.
        max_prompt_length: maximum tokens of the prompt; None means no limit.

    Returns:
        The token ids. Each response ends with the end-of-sequence token unless it was truncated.

    Raises:
        ValueError: the prompt leaves no token for a response, a response has no token but the end of sequence, the
            responses are identical after truncation, or the chat template cannot render the messages.
    """
    (found,) = tokenize_whole([pair], tokenizer)
    return fit_pair(unwrap(found), tokenizer, max_length, max_prompt_length)


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

    def fit(found: TokenizedPair | ValueError) -> tuple[TokenizedPair, bool]:
        whole = unwrap(found)
        kept = fit_pair(whole, tokenizer, max_length, max_prompt_length)
        return kept, len(kept.prompt_ids) < len(whole.prompt_ids)

    def fitting() -> Iterator[TokenizedPair]:
        nonlocal shortened
        examples = zip((pair.where for pair in pairs), tokenize_whole(pairs, tokenizer), strict=True)
        for row, (kept, is_shortened) in truncate_each(examples, fit, on_overlong):
            rows.append(row)
            shortened += is_shortened
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


def tokenize_whole(pairs: Sequence[PreferencePair], tokenizer: Any) -> Iterator[TokenizedPair | ValueError]:
    """Tokenize pairs without truncation, in batches, because a tokenizer is many times faster on a thousand texts.

    Yields:
        The ids of each pair, or an error if the chat template cannot render its messages.
    """
    renders = has_chat_template(tokenizer)
    for start in range(0, len(pairs), TEXTS_AT_ONCE):
        some = pairs[start : start + TEXTS_AT_ONCE]
        for is_chat, run in itertools.groupby(some, lambda pair: renders and pair.conversation is not None):
            yield from (_tokenize_conversations if is_chat else _tokenize_texts)(list(run), tokenizer)


def _tokenize_conversations(pairs: Sequence[PreferencePair], tokenizer: Any) -> Iterator[TokenizedPair | ValueError]:
    talks = (pair.conversation for pair in pairs if pair.conversation is not None)
    for found in tokenize_chats([(talk.prompt, (talk.chosen, talk.rejected)) for talk in talks], tokenizer):
        yield found if isinstance(found, ValueError) else TokenizedPair(found[0], *found[1])


def _tokenize_texts(pairs: Sequence[PreferencePair], tokenizer: Any) -> Iterator[TokenizedPair]:
    prompts = tokenizer([pair.prompt for pair in pairs])["input_ids"]
    chosen, rejected = (
        tokenizer([without_end_text(text, tokenizer) for text in texts], add_special_tokens=False)["input_ids"]
        for texts in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
    )
    for one, good, bad in zip(prompts, chosen, rejected, strict=True):
        yield TokenizedPair(_as_prompt(one, tokenizer), close_response(good, tokenizer), close_response(bad, tokenizer))

"""Beginning-of-sequence and end-of-sequence tokens: one of each, in their places, and a check of the finished ids."""

from collections.abc import Iterable, Sequence
from typing import Any

from dpo_teach.batches.dataset import TokenizedPair
from dpo_teach.pairs import PreferencePair
from dpo_teach.pairs.checks import Finding, find, repeats_prompt

__all__ = ["check_tokens", "close_response", "one_start", "without_end_text"]


def one_start(ids: list[int], tokenizer: Any) -> list[int]:
    """Drop all but one beginning-of-sequence token at the beginning of a text.

    A text that a chat template has rendered brings one along, and the tokenizer adds another.

    >>> from types import SimpleNamespace
    >>> one_start([0, 0, 5], SimpleNamespace(bos_token_id=0))
    [0, 5]
    """
    while len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:
        ids = ids[1:]
    return ids


def without_end_text(response: str, tokenizer: Any) -> str:
    r"""Remove whitespace after an end-of-sequence token at the end of a text, as most chat templates write it.

    >>> from types import SimpleNamespace
    >>> without_end_text("Yes.<eos>\n", SimpleNamespace(eos_token="<eos>"))
    'Yes.<eos>'
    """
    stripped = response.rstrip()
    return stripped if tokenizer.eos_token and stripped.endswith(tokenizer.eos_token) else response


def close_response(ids: Sequence[int], tokenizer: Any) -> tuple[int, ...]:
    """Return the ids of a response with exactly one end-of-sequence token at the end.

    >>> from types import SimpleNamespace
    >>> close_response([5, 1, 1], SimpleNamespace(eos_token_id=1))
    (5, 1)
    """
    end = len(ids)
    while end and ids[end - 1] == tokenizer.eos_token_id:
        end -= 1
    return (*ids[:end], tokenizer.eos_token_id)


def check_tokens(pairs: Sequence[PreferencePair], tokenized: Iterable[TokenizedPair], tokenizer: Any) -> list[Finding]:
    """Look at the finished token ids of pairs, and at the special tokens that their texts bring along.

    Args:
        pairs: the pairs.
        tokenized: their ids, in the same order.
        tokenizer: the tokenizer that produced the ids.

    Returns:
        What was found, nothing if all is well.
    """
    start, end = tokenizer.bos_token, tokenizer.eos_token
    adds_start = start is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    renders = bool(getattr(tokenizer, "chat_template", None))
    special = _special_tokens(tokenizer)
    examples = [(pair, ids, renders and pair.conversation is not None)
                for pair, ids in zip(pairs, tokenized, strict=True)]  # fmt: skip
    found = [
        find(f"pairs whose prompt begins with its own {start}, which is not added again",
             (pair for pair, _, is_chat in examples if start and not is_chat and pair.prompt.startswith(start))),
        find(f"pairs with a response that ends with its own {end}, which is not added again",
             (pair for pair, _, is_chat in examples
              if not is_chat and any(text.rstrip().endswith(end) for text in (pair.chosen, pair.rejected)))),
        find(f"pairs whose prompt has no {start} in front, as the tokenizer writes it",
             (pair for pair, ids, _ in examples if adds_start and ids.prompt_ids[0] != tokenizer.bos_token_id)),
        find("pairs with a special token inside a text",
             (pair for pair, ids, is_chat in examples
              if (_has_special_text(pair, special) if is_chat else _has_special_id(ids, special, tokenizer)))),
        find("pairs whose responses begin with the tokens of the prompt again",
             (pair for pair, ids, _ in examples if not repeats_prompt(pair) and _repeats_ids(ids, tokenizer))),
    ]  # fmt: skip
    return [finding for finding in found if finding is not None]


def _special_tokens(tokenizer: Any) -> dict[int, str]:
    """The ids and texts of the special tokens, except the one for characters that the tokenizer does not know."""
    special = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= {number: tokenizer.convert_ids_to_tokens(number) for number in tokenizer.all_special_ids}
    return {number: token for number, token in special.items() if number != tokenizer.unk_token_id}


def _has_special_text(pair: PreferencePair, special: dict[int, str]) -> bool:
    """Whether the content of a message has a special token; the template writes its own only between contents."""
    contents = [content for messages in pair.conversation or () for _, content in messages]
    return any(token in content for token in special.values() for content in contents)


def _has_special_id(ids: TokenizedPair, special: dict[int, str], tokenizer: Any) -> bool:
    responses = (one[:-1] if one[-1] == tokenizer.eos_token_id else one for one in (ids.chosen_ids, ids.rejected_ids))
    return not all(map(special.keys().isdisjoint, (_without_start(ids, tokenizer), *responses)))


def _repeats_ids(ids: TokenizedPair, tokenizer: Any) -> bool:
    prompt = _without_start(ids, tokenizer)
    return bool(prompt) and all(one[: len(prompt)] == prompt for one in (ids.chosen_ids, ids.rejected_ids))


def _without_start(ids: TokenizedPair, tokenizer: Any) -> tuple[int, ...]:
    return ids.prompt_ids[1:] if ids.prompt_ids[0] == tokenizer.bos_token_id else ids.prompt_ids

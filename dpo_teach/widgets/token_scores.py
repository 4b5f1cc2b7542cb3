"""Responses token by token: what each token adds to the text, and its log-probability under policy and reference."""

import contextlib
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dpo_teach.batches import TokenBatch, collate
from dpo_teach.logps import response_token_logps

__all__ = ["ScoredResponse", "eval_mode", "lost_characters", "score_responses", "token_texts"]

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""The character that a decoder writes for bytes that form no valid character."""

BYTES_OF_A_CHARACTER = 4
CONTEXT = 4


@dataclass(frozen=True)
class ScoredResponse:
    """A response, token by token, under two models.

    Args:
        texts: what each token adds to the text; "" if it begins a character that a later token completes.
        special: whether each token is special, such as the end-of-sequence token.
        policy_logps: log π(token | all before it), nats.
        reference_logps: log π_ref(token | all before it), nats.
    """

    texts: tuple[str, ...]
    special: tuple[bool, ...]
    policy_logps: tuple[float, ...]
    reference_logps: tuple[float, ...]

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """log π - log π_ref of each token, nats."""
        return tuple(p - r for p, r in zip(self.policy_logps, self.reference_logps, strict=True))

    @property
    def log_ratio(self) -> float:
        """log π(y|x) - log π_ref(y|x) of the whole response, nats: the sum over its tokens."""
        return math.fsum(self.log_ratios)

    def for_browser(self) -> dict[str, Any]:
        """The response as JSON data."""
        return {
            "texts": list(self.texts),
            "special": list(self.special),
            "policy": list(self.policy_logps),
            "reference": list(self.reference_logps),
        }


def score_responses(
    policy: Any, reference: Any, tokenizer: Any, prompt_ids: Sequence[int], responses: Sequence[Sequence[int]]
) -> list[ScoredResponse]:
    """Score each response to one prompt, token by token, under both models.

    Args:
        policy: a causal language model; it is in eval mode during the call.
        reference: another causal language model with the same tokenizer.
        tokenizer: their tokenizer.
        prompt_ids: token ids of the prompt.
        responses: token ids of each response.

    Returns:
        The scored responses in the same order.

    Raises:
        ValueError: a log-probability is not finite.
    """
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    batch = collate([(prompt_ids, ids) for ids in responses], pad_id)
    policy_logps, reference_logps = _token_logps("policy", policy, batch), _token_logps("reference", reference, batch)
    special = set(tokenizer.all_special_ids)
    return [
        ScoredResponse(
            texts=tuple(token_texts(prompt_ids, ids, tokenizer)),
            special=tuple(token in special for token in ids),
            policy_logps=policy_logps[row],
            reference_logps=reference_logps[row],
        )
        for row, ids in enumerate(responses)
    ]


@torch.no_grad()
def _token_logps(name: str, model: Any, batch: TokenBatch) -> list[tuple[float, ...]]:
    """log π of each token, nats, row by row."""
    with eval_mode(model):
        logps, rows = response_token_logps(model, batch.to(next(model.parameters()).device))
    if not torch.isfinite(logps).all():
        raise ValueError(f"{name}: a log-probability is not finite (NaN or infinity)")
    return [tuple(logps[rows == row].tolist()) for row in range(len(batch))]


@contextlib.contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """Put a model in eval mode temporarily: with dropout, no two calls would agree."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def token_texts(prompt_ids: Sequence[int], response_ids: Sequence[int], tokenizer: Any) -> list[str]:
    """What each token of a response adds to the text; joined, these strings are the text.

    A character may take several tokens, as most emoji do. It then belongs to the token that completes it, and the
    tokens before that add "".

    Args:
        prompt_ids: token ids before the response; a few are enough.
        response_ids: token ids.
        tokenizer: the tokenizer that decodes them.

    Returns:
        One string per token; bytes that form no character are "\\ufffd".
    """
    texts: list[str] = []
    known, open_ids = list(prompt_ids[-CONTEXT:]), list[int]()
    for token in response_ids:
        open_ids.append(token)
        added = _added_text(known, open_ids, tokenizer)
        if added.endswith(REPLACEMENT) and len(open_ids) < BYTES_OF_A_CHARACTER:
            texts.append("")
        else:
            texts.append(added)
            known, open_ids = (known + open_ids)[-CONTEXT:], []
    if open_ids:
        texts[-1] = _added_text(known, open_ids, tokenizer)
    return texts


def _added_text(known: list[int], added: list[int], tokenizer: Any) -> str:
    """What some tokens add to the text of those before them; decoded alone, a token may lose its space."""
    return _decode(known + added, tokenizer)[len(_decode(known, tokenizer)) :]


def _decode(ids: Sequence[int], tokenizer: Any) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def lost_characters(text: str, tokenizer: Any) -> list[str]:
    """The characters of a text that a tokenizer loses, each listed once and in order; white space is ignored.

    A byte-level tokenizer, such as GPT-2's, loses nothing. Others know only some characters: the rest become the
    unknown token or are silently dropped. A character that only loses its case or its accent does not count as lost.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    unknown = None if tokenizer.unk_token_id == tokenizer.eos_token_id else tokenizer.unk_token_id
    decoded = _decode([token for token in ids if token != unknown], tokenizer)
    if not Counter(_bare(text)) - Counter(_bare(decoded)):
        return []
    lost = Counter(text) - Counter(decoded)
    return [character for character in dict.fromkeys(text) if character in lost and not character.isspace()]


def _bare(text: str) -> str:
    """A text in lower case, without accents and without white space."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c) and not c.isspace())

"""Sample responses from a model, reproducibly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from dpo_teach.batches import tokenize_prompt
from dpo_teach.models import known_context, silence_transformers

__all__ = ["Sample", "decode", "sample_responses", "sample_tokens"]


@dataclass(frozen=True)
class Sample:
    """A sampled response as token ids. It ends with the end-of-sequence token unless it was truncated."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


def sample_responses(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[str]:
    """Sample one response to each prompt, as text; see `sample_tokens` for the arguments."""
    samples = sample_tokens(
        model, tokenizer, prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )
    return decode(samples, tokenizer)


def decode(samples: Sequence[Sample], tokenizer: Any) -> list[str]:
    """Decode each response to text, without special tokens."""
    return tokenizer.batch_decode([list(sample.response_ids) for sample in samples], skip_special_tokens=True)


def sample_tokens(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 256,
) -> list[Sample]:
    """Sample one response to each prompt from the model's own distribution.

    The distribution is not restricted (no top-k, no top-p): at temperature 1, the result is a sample from π(y|x).

    Args:
        model: a `transformers` causal language model.
        tokenizer: its tokenizer, with a padding token.
        prompts: one text per response; repeat a prompt to sample several responses to it.
        max_new_tokens: maximum length of a response, in tokens; longer responses are truncated.
        temperature: divides the logits; above 0, and 1 leaves the model's distribution unchanged.
        seed: random seed. The same seed gives the same responses on the same machine.
        batch_size: number of prompts per call of the model.

    Returns:
        The responses in the order of the prompts.

    Raises:
        ValueError: temperature is not above 0, or prompt and response together may exceed the model's context.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, found {temperature}")
    settings = GenerationConfig(
        do_sample=True, top_k=0, top_p=1.0, temperature=temperature, max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    rows = [tokenize_prompt(prompt, tokenizer) for prompt in prompts]
    samples: list[Sample] = []
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for start in range(0, len(rows), batch_size):
            samples += _sample_batch(model, rows[start : start + batch_size], settings)
    return samples


@torch.no_grad()
def _sample_batch(model: Any, rows: Sequence[tuple[int, ...]], settings: GenerationConfig) -> list[Sample]:
    """Sample one batch. Prompts are padded on the left, so that each response directly follows its prompt."""
    longest, context = max(map(len, rows)), known_context(model)
    if context is not None and longest + settings.max_new_tokens > context:
        raise ValueError(f"max_new_tokens={settings.max_new_tokens} after a prompt of {longest} tokens exceeds the "
                         f"model's context of {context}; lower max_new_tokens or shorten the prompt")  # fmt: skip
    ids = torch.tensor([[settings.pad_token_id] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    with silence_transformers():  # it drops a mask of ones and then warns that the padded batch has no mask
        output = model.generate(ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings)
    responses = output[:, longest:].tolist()
    return [Sample(row, _until_end(ids, settings.eos_token_id)) for row, ids in zip(rows, responses, strict=True)]


def _until_end(ids: list[int], eos_id: int) -> tuple[int, ...]:
    return tuple(ids[: ids.index(eos_id) + 1]) if eos_id in ids else tuple(ids)

"""Supervised fine-tuning, the stage before DPO: raise the log-probability of given responses."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpo_teach.batches import (
    TruncationStats,
    lay_out,
    tokenize_example,
    truncate_each,
    truncate_prompt,
)
from dpo_teach.pairs import Message, PreferencePair
from dpo_teach.runs.fingerprint import fingerprint_arrays
from dpo_teach.training.config import SFTConfig
from dpo_teach.training.trainer import Metrics, Trainer

__all__ = ["Example", "SFTTrainer"]

TokenizedExample = tuple[tuple[int, ...], tuple[int, ...]]


class Example(NamedTuple):
    """A prompt and a response to learn.

    Args:
        prompt, response: the texts.
        where: their source and row, for messages.
        messages: the messages of both, for tokenizers with a chat template.
    """

    prompt: str
    response: str
    where: str = ""
    messages: tuple[Sequence[Message], Sequence[Message]] | None = None

    @classmethod
    def chosen(cls, pair: PreferencePair) -> "Example":
        """The prompt and the chosen response of a preference pair."""
        messages = pair.conversation and (pair.conversation.prompt, pair.conversation.chosen)
        return cls(pair.prompt, pair.chosen, pair.where, messages)


class SFTTrainer(Trainer):
    """Minimise the mean negative log-probability of the responses' tokens.

        L = - Σ_i Σ_t log π(y_i,t | x_i, y_i,<t) / Σ_i |y_i|

    Args:
        model, tokenizer, output, on_step, progress: see `Trainer`.
        examples: prompts and responses to train on.
        config: the settings.
        eval_examples: held-out prompts and responses.
    """

    config: SFTConfig

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        examples: Sequence[Example],
        config: SFTConfig | None = None,
        *,
        eval_examples: Sequence[Example] = (),
        **options: Any,
    ):
        super().__init__(model, tokenizer, config or SFTConfig(), **options)
        self._given_examples = examples
        self.examples, self._rows, self.truncation = self._tokenize(examples)
        self.eval_examples, _, _ = self._tokenize(eval_examples)
        if not self.examples:
            raise ValueError(
                f"examples: expected at least one that fits into {self.max_length} tokens, found none among "
                f"{len(examples)}"
            )

    @cached_property
    def lengths(self) -> Sequence[int]:
        """Number of tokens of each training example."""
        return [len(prompt) + len(response) for prompt, response in self.examples]

    def fingerprint_data(self) -> str:
        """Return a checksum of the token ids of all training and held-out examples."""
        texts = (text for part in (self.examples, self.eval_examples) for example in part for text in example)
        return fingerprint_arrays(np.asarray(text, dtype=np.int32) for text in texts)

    def texts(self) -> list[tuple[str, str]]:
        """Prompt and response of each training example."""
        return [(self._given_examples[row].prompt, self._given_examples[row].response) for row in self._rows]

    def rows(self, indices: Sequence[int]) -> list[str]:
        """Return the source and row of some training examples, for messages."""
        rows = [self._rows[i] for i in indices]
        return [self._given_examples[row].where or f"example {row + 1}" for row in rows]

    def denominator(self, indices: Sequence[int]) -> float:
        """Number of response tokens."""
        return float(sum(len(self.examples[i][1]) for i in indices))

    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the summed negative log-probability of the responses, nats."""
        return -self._response_logps_of([self.examples[i] for i in indices]).sum(), {}

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Return `eval_loss`, the loss of the held-out examples, nats per response token."""
        if not self.eval_examples:
            return {}
        total, size = 0.0, self.config.batch_size
        for start in range(0, len(self.eval_examples), size):
            total -= float(self._response_logps_of(self.eval_examples[start : start + size]).sum())
        return {"eval_loss": total / sum(len(response) for _, response in self.eval_examples)}

    def _response_logps_of(self, examples: Sequence[TokenizedExample]) -> Tensor:
        return self.response_logps(lay_out(examples, self.tokenizer.pad_token_id, packed=self.packed))

    def _tokenize(self, examples: Sequence[Example]) -> tuple[list[TokenizedExample], list[int], TruncationStats]:
        """Return the examples that fit, as ids, their indices in `examples`, and the truncation statistics."""
        named = ((example.where, example) for example in examples)
        fitted = list(truncate_each(named, self._tokenize_one, self.config.on_overlong))
        stats = TruncationStats(
            prompts=sum(truncated for _, (_, _, truncated) in fitted),
            responses=sum(response[-1] != self.tokenizer.eos_token_id for _, (_, response, _) in fitted),
            dropped=len(examples) - len(fitted),
        )
        return [(prompt, response) for _, (prompt, response, _) in fitted], [row for row, _ in fitted], stats

    def _tokenize_one(self, example: Example) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
        """Return the ids of prompt and response, and whether the prompt was truncated."""
        whole, response_ids = tokenize_example(example.prompt, example.response, self.tokenizer, example.messages)
        prompt_ids, budget = truncate_prompt(
            whole, self.max_length, self.config.max_prompt_length, start_id=self.tokenizer.bos_token_id
        )
        return prompt_ids, response_ids[:budget], len(prompt_ids) < len(whole)

"""Supervised fine-tuning: raise the log-probability of given responses. The stage before DPO."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dpo_teach.batches import collate, tokenize_prompt, tokenize_response
from dpo_teach.training.config import SFTConfig
from dpo_teach.training.loop import Metrics, Trainer

__all__ = ["Example", "SFTTrainer"]

TokenizedExample = tuple[tuple[int, ...], tuple[int, ...]]


class Example(NamedTuple):
    """A text to continue and how it should go on; `where` says for messages which file and row it came from."""

    prompt: str
    response: str
    where: str = ""


class SFTTrainer(Trainer):
    """Minimise the mean negative log-probability of the responses' tokens.

        L = - Σ_i Σ_t log π(y_i,t | x_i, y_i,<t) / Σ_i |y_i|

    Args:
        model, tokenizer, output, on_step, progress: as `Trainer`.
        examples: prompts and responses.
        config: what can be set.
        eval_examples: held-out texts.
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
        self.examples = self._tokenize(examples)
        self.eval_examples = self._tokenize(eval_examples)
        if not self.examples:
            raise ValueError(f"examples: none to train on, out of {len(examples)}")

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""
        return [len(prompt) + len(response) for prompt, response in self.examples]

    def weight(self, indices: Sequence[int]) -> float:
        """Response tokens."""
        return float(sum(len(self.examples[i][1]) for i in indices))

    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Summed negative log-probability of the responses, nats."""
        batch = collate([self.examples[i] for i in indices], self.tokenizer.pad_token_id)
        return -self.response_logps(batch).sum(), {}

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """`eval_loss`: nats per response token of the held-out examples."""
        if not self.eval_examples:
            return {}
        total, size = 0.0, self.config.batch_size
        for start in range(0, len(self.eval_examples), size):
            batch = collate(self.eval_examples[start : start + size], self.tokenizer.pad_token_id)
            total -= float(self.response_logps(batch).sum())
        return {"eval_loss": total / sum(len(response) for _, response in self.eval_examples)}

    def _tokenize(self, examples: Sequence[Example]) -> list[TokenizedExample]:
        kept = []
        for number, (prompt, response, where) in enumerate(examples, start=1):
            prompt_ids = tokenize_prompt(prompt, self.tokenizer)
            if self.config.max_prompt_length is not None:
                prompt_ids = prompt_ids[-self.config.max_prompt_length :]
            room = self.max_length - len(prompt_ids)
            if room >= 1:
                kept.append((prompt_ids, tokenize_response(response, self.tokenizer)[:room]))
            elif self.config.on_overlong == "error":
                raise ValueError(
                    f"{where or f'example {number}'}, field 'prompt': its {len(prompt_ids)} tokens leave no room for a "
                    f"response within {self.max_length} tokens; on_overlong='drop' (--on-overlong drop) leaves such examples out"
                )
        return kept

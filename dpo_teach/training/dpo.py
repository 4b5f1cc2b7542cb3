"""Direct Preference Optimization: the trainer used in notebook 04 and on the command line."""

import math
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from dpo_teach.batches import (
    PackedBatch,
    TokenBatch,
    TokenizedDataset,
    TokenizedPair,
    TokenizedPairs,
    lay_out_pairs,
    split_pairs,
    tokenize_pairs,
)
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import pair_metrics
from dpo_teach.models import check_embeddings, check_logits, fitting_length, freeze_reference
from dpo_teach.pairs import PreferencePair
from dpo_teach.runs.fingerprint import fingerprint_arrays, fingerprint_model
from dpo_teach.training.config import DPOConfig
from dpo_teach.training.trainer import Metrics, Trainer

__all__ = ["DPOTrainer"]

STEPS_WITHOUT_MOVEMENT = 10
NO_MOVEMENT = 1e-4


class DPOTrainer(Trainer):
    """Train a policy on preference pairs with the DPO loss.

        L = -mean log σ( β [ (log π(y_w|x) - log π_ref(y_w|x)) - (log π(y_l|x) - log π_ref(y_l|x)) ] )

    By default, the reference is the policy at the start of the run. Its log-probabilities are computed once, before the
    first step, so that only one model is in memory. With `precompute_reference=False`, a frozen copy of the policy
    computes them at every step. Rafailov et al. 2023 (arXiv:2305.18290), equation 7.

    Args:
        model, tokenizer, output, on_step, progress: see `Trainer`.
        pairs: preference pairs to train on.
        config: the settings.
        eval_pairs: held-out preference pairs.
        reference: a reference other than the initial policy.

    Raises:
        ValueError: the reference is the policy itself, no weight is trainable, or a pair is too long.
    """

    config: DPOConfig

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        pairs: Sequence[PreferencePair],
        config: DPOConfig | None = None,
        *,
        eval_pairs: Sequence[PreferencePair] = (),
        reference: Any = None,
        **options: Any,
    ):
        super().__init__(model, tokenizer, config or DPOConfig(), **options)
        if reference is not None and _shares_weights(model, reference):
            raise ValueError("reference is the same object as the policy: both would change together, so the loss "
                             "stays at ln 2 = 0.6931; omit reference, or pass a copy (freeze_reference)")  # fmt: skip
        if reference is not None:
            check_embeddings("reference", reference, tokenizer)
            check_logits("reference", reference.eval())
            self.max_length = fitting_length(self.config.max_length, model, reference)
        self.tokenized = self._tokenize(pairs)
        self.eval_tokenized = self._tokenize(eval_pairs) if eval_pairs else TokenizedPairs(TokenizedDataset(()))
        self._given_pairs, self._given_reference = pairs, reference
        self._reference: Any = None  # None if its log-probabilities are precomputed
        self._reference_logps = self._eval_reference_logps = torch.empty(0)

    @property
    def pairs(self) -> TokenizedDataset:
        """The training pairs as token ids."""
        return self.tokenized.pairs

    @cached_property
    def lengths(self) -> Sequence[int]:
        """Tokens of the prompt and both responses of each training pair."""
        return self.pairs.tokens.tolist()

    @property
    def reference_logps(self) -> Tensor:
        """Precomputed log π_ref of the chosen and rejected response of every training pair, shape (pairs, 2), nats."""
        return self._reference_logps

    def denominator(self, indices: Sequence[int]) -> float:
        """Number of pairs."""
        return float(len(indices))

    def prepare(self) -> dict[str, Tensor]:
        """Compute the reference's log-probabilities, before the policy's weights change."""
        reference = self.model if self._given_reference is None else self._given_reference
        reference.to(self.accelerator.device)
        precomputed = {"eval": self._compute_logps(reference, self.eval_tokenized.pairs)}
        if self.config.precompute_reference:
            needed = sorted({i for step in self.plan() for i in step})
            precomputed["train"] = torch.full((len(self.pairs), 2), math.nan)  # stays NaN for pairs that are in no step
            precomputed["train"][needed] = self._compute_logps(reference, self.pairs.select(needed))
        return precomputed

    def use_precomputed(self, precomputed: dict[str, Tensor]) -> None:
        """Use the reference's log-probabilities, or set up a frozen reference that computes them at every step."""
        self._eval_reference_logps = precomputed["eval"]
        if self.config.precompute_reference:
            self._reference_logps = precomputed["train"]
        elif self._given_reference is None:
            self._reference = freeze_reference(self.model)
        else:
            self._reference = self._given_reference.to(self.accelerator.device).eval()

    def fingerprint(self) -> dict[str, str]:
        """The inputs of the run, including a reference other than the initial policy."""
        parts = super().fingerprint()
        if self._given_reference is not None:
            parts["reference"] = fingerprint_model(self._given_reference)
        return parts

    def fingerprint_data(self) -> str:
        """A checksum of the token ids of all training and held-out pairs."""
        tables = (self.tokenized.pairs, self.eval_tokenized.pairs)
        return fingerprint_arrays(array for table in tables for array in (table.ids, table.ends))

    def texts(self) -> list[tuple[str, str]]:
        """Prompt and chosen response of each training pair."""
        return [(self._given_pairs[row].prompt, self._given_pairs[row].chosen) for row in self.tokenized.rows]

    def rows(self, indices: Sequence[int]) -> list[str]:
        """Return the source and row of some training pairs, for messages."""
        rows = [self.tokenized.rows[i] for i in indices]
        return [self._given_pairs[row].where or f"pair {row + 1}" for row in rows]

    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the summed DPO loss of some pairs, and the sums of the other metrics."""
        batch = self._collate([self.pairs[i] for i in indices])
        policy_logps = _by_pair(self.response_logps(batch))
        if self.config.precompute_reference:
            reference_logps = self._reference_logps[list(indices)].to(policy_logps.device)
        else:
            with torch.no_grad(), self.accelerator.autocast():
                reference_logps = _by_pair(response_logps(self._reference, batch))
        metrics = pair_metrics(policy_logps, reference_logps, self.config.beta)
        sums = {name: values.sum() for name, values in metrics.items()}
        return sums.pop("loss"), sums

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Return loss, margin, preference accuracy, logps and rewards of the held-out pairs, named `eval_...`."""
        pairs, size = self.eval_tokenized.pairs, self.config.micro_batch_size or self.config.batch_size
        if not pairs:
            return {}
        batches = (self._collate(pairs[start : start + size]) for start in range(0, len(pairs), size))
        policy_logps = torch.cat([_by_pair(self.response_logps(batch)) for batch in batches]).cpu()
        metrics = pair_metrics(policy_logps, self._eval_reference_logps, self.config.beta)
        return {f"eval_{name}": float(values.mean()) for name, values in metrics.items()}

    def _after_step(self, row: Metrics) -> None:
        super()._after_step(row)
        if row["step"] == STEPS_WITHOUT_MOVEMENT and all(abs(r["margin"]) < NO_MOVEMENT for r in self.metrics):
            warnings.warn(
                f"the loss is still ln 2 = {math.log(2):.4f} after {STEPS_WITHOUT_MOVEMENT} steps: the policy hardly "
                f"changes; learning_rate={self.config.learning_rate} or beta={self.config.beta} may be too small",
                stacklevel=2,
            )

    def _tokenize(self, pairs: Sequence[PreferencePair]) -> TokenizedPairs:
        return tokenize_pairs(pairs, self.tokenizer, max_length=self.max_length,
                              max_prompt_length=self.config.max_prompt_length,
                              on_overlong=self.config.on_overlong)  # fmt: skip

    def _compute_logps(self, reference: Any, pairs: Sequence[TokenizedPair]) -> Tensor:
        size = self.config.micro_batch_size or self.config.batch_size
        with self.accelerator.autocast():
            return pair_logps(reference, pairs, self.tokenizer.pad_token_id, batch_size=size,
                              packed=self.packed,
                              progress=self._progress and self.accelerator.is_local_main_process)  # fmt: skip

    def _collate(self, pairs: Sequence[TokenizedPair]) -> TokenBatch | PackedBatch:
        batch = lay_out_pairs(pairs, self.tokenizer.pad_token_id, packed=self.packed)
        return batch.to(self.accelerator.device)


def _by_pair(logps: Tensor) -> Tensor:
    """(2 x pairs,) with the chosen responses first -> (pairs, 2): chosen, rejected."""
    return torch.stack(split_pairs(logps), dim=1)


def _shares_weights(policy: nn.Module, reference: nn.Module) -> bool:
    policy_pointers = {parameter.data_ptr() for parameter in policy.parameters()}
    return any(parameter.data_ptr() in policy_pointers for parameter in reference.parameters())

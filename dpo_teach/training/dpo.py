"""Direct Preference Optimization: the trainer of notebook 04, and of real runs."""

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
from dpo_teach.loss import pair_metrics
from dpo_teach.models import check_embeddings, fitting_length, freeze_reference
from dpo_teach.pairs import PreferencePair
from dpo_teach.training.config import DPOConfig
from dpo_teach.training.fingerprint import fingerprint_arrays, fingerprint_model
from dpo_teach.training.loop import Metrics, Trainer

__all__ = ["DPOTrainer"]

STEPS_WITHOUT_MOVEMENT = 10
NO_MOVEMENT = 1e-4


class DPOTrainer(Trainer):
    """Train a policy on preference pairs with the DPO loss.

        L = -mean log σ( β [ (log π(y_w|x) - log π_ref(y_w|x)) - (log π(y_l|x) - log π_ref(y_l|x)) ] )

    The reference is the policy as it is when the run starts, unless another is given. Its log-probabilities are
    computed once, before the first step, so that one model is in memory; `precompute_reference=False` keeps a frozen
    copy instead. Rafailov et al. 2023 (arXiv:2305.18290), equation 7.

    Args:
        model, tokenizer, output, on_step, progress: as `Trainer`.
        pairs: preference pairs to train on.
        config: what can be set.
        eval_pairs: held-out preference pairs.
        reference: another reference than the policy's start.

    Raises:
        ValueError: the reference is the policy itself, nothing can be trained, or a pair does not fit.
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
            raise ValueError("reference is the same object as the policy: both would move together and the loss would "
                             "stay at ln 2 = 0.6931; leave it out, or give a copy (freeze_reference)")  # fmt: skip
        if reference is not None:
            check_embeddings("reference", reference, tokenizer)
            self.max_length = fitting_length(self.config.max_length, model, reference)
        self.tokenized = self._tokenize(pairs)
        self.eval_tokenized = self._tokenize(eval_pairs) if eval_pairs else TokenizedPairs(TokenizedDataset(()))
        self._given_pairs, self._given_reference = pairs, reference
        self._reference: Any = None  # in memory only where its log-probabilities are not computed in advance
        self._reference_logps = self._eval_reference_logps = torch.empty(0)

    @property
    def pairs(self) -> TokenizedDataset:
        """The training pairs as token ids."""
        return self.tokenized.pairs

    @cached_property
    def lengths(self) -> Sequence[int]:
        """Tokens of prompt and both responses of each training pair."""
        return self.pairs.tokens.tolist()

    @property
    def reference_logps(self) -> Tensor:
        """Precomputed log π_ref of every training pair, (pairs, 2): chosen, rejected; nats."""
        return self._reference_logps

    def weight(self, indices: Sequence[int]) -> float:
        """Pairs."""
        return float(len(indices))

    def prepare(self) -> dict[str, Tensor]:
        """Precompute the reference's log-probabilities, or make the frozen copy that will compute them."""
        reference = self._given_reference if self._given_reference is not None else self.model
        reference.to(self.accelerator.device)
        extra = {"eval": self._precompute(reference, self.eval_tokenized.pairs)}
        if self.config.precompute_reference:
            needed = sorted({i for step in self.plan() for i in step})
            extra["train"] = torch.full((len(self.pairs), 2), math.nan)  # of a pair that no step needs, not a number
            extra["train"][needed] = self._precompute(reference, self.pairs.select(needed))
        return extra

    def restore(self, extra: dict[str, Tensor]) -> None:
        """Take back the reference's log-probabilities, or have the reference itself: the policy is at its start."""
        self._reference_logps, self._eval_reference_logps = extra.get("train", torch.empty(0)), extra["eval"]
        if not self.config.precompute_reference:
            given = self._given_reference
            self._reference = freeze_reference(self.model) if given is None else given.to(self.accelerator.device)

    def fingerprint(self) -> dict[str, str]:
        """What the run is started on, and the reference, where it is not the policy's start."""
        parts = super().fingerprint()
        if self._given_reference is not None:
            parts["reference"] = fingerprint_model(self._given_reference)
        return parts

    def fingerprint_data(self) -> str:
        """A checksum of the token ids that reference log-probabilities are about."""
        tables = (self.tokenized.pairs, self.eval_tokenized.pairs)
        return fingerprint_arrays(array for table in tables for array in (table.ids, table.ends))

    def rows(self, indices: Sequence[int]) -> list[str]:
        """The source and row of some training pairs, for messages."""
        rows = [self.tokenized.rows[i] for i in indices]
        return [self._given_pairs[row].where or f"pair {row + 1}" for row in rows]

    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Summed DPO loss of some pairs, and sums of what is reported."""
        batch = self._laid_out([self.pairs[i] for i in indices])
        policy_logps = torch.stack(split_pairs(self.response_logps(batch)), dim=1)
        if self.config.precompute_reference:
            reference_logps = self._reference_logps[list(indices)].to(policy_logps.device)
        else:
            with torch.no_grad(), self.accelerator.autocast():
                reference_logps = torch.stack(split_pairs(response_logps(self._reference, batch)), dim=1)
        return _summed(self._metrics(policy_logps, reference_logps))

    def _metrics(self, policy_logps: Tensor, reference_logps: Tensor) -> dict[str, Tensor]:
        """What is reported of pairs; of logps that are not finite NaN under the same names, for the loop's guards.

        The guards know the step and the rows, and stop every process.
        """
        if torch.isfinite(policy_logps).all():
            return pair_metrics(policy_logps, reference_logps, self.config.beta)
        names = pair_metrics(reference_logps, reference_logps, self.config.beta)
        return dict.fromkeys(names, policy_logps.sum(dim=1) * math.nan)

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Loss, margin, preference accuracy, logps and rewards of the held-out pairs, named `eval_...`."""
        pairs, size = self.eval_tokenized.pairs, self.config.micro_batch_size or self.config.batch_size
        if not pairs:
            return {}
        policy_logps = [
            torch.stack(split_pairs(self.response_logps(self._laid_out(part))), dim=1)
            for part in (pairs[start : start + size] for start in range(0, len(pairs), size))
        ]
        values = self._metrics(torch.cat(policy_logps).cpu(), self._eval_reference_logps)
        return {f"eval_{name}": float(value.mean()) for name, value in values.items()}

    def _told(self, row: Metrics) -> None:
        super()._told(row)
        if row["step"] == STEPS_WITHOUT_MOVEMENT and all(abs(r["margin"]) < NO_MOVEMENT for r in self.metrics):
            warnings.warn(
                f"the loss is still ln 2 = {math.log(2):.4f} after {STEPS_WITHOUT_MOVEMENT} steps: the policy hardly "
                f"moves; learning_rate={self.config.learning_rate} may be too small, or beta={self.config.beta}",
                stacklevel=2,
            )

    def _tokenize(self, pairs: Sequence[PreferencePair]) -> TokenizedPairs:
        return tokenize_pairs(pairs, self.tokenizer, max_length=self.max_length,
                              max_prompt_length=self.config.max_prompt_length,
                              on_overlong=self.config.on_overlong)  # fmt: skip

    def _precompute(self, reference: Any, pairs: Sequence[TokenizedPair]) -> Tensor:
        size = self.config.micro_batch_size or self.config.batch_size
        with self.accelerator.autocast():
            return pair_logps(reference, pairs, self.tokenizer.pad_token_id, batch_size=size,
                              packed=self.packed,
                              progress=self._progress and self.accelerator.is_local_main_process)  # fmt: skip

    def _laid_out(self, pairs: Sequence[TokenizedPair]) -> TokenBatch | PackedBatch:
        batch = lay_out_pairs(pairs, self.tokenizer.pad_token_id, packed=self.packed)
        return batch.to(self.accelerator.device)


def _summed(values: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    sums = {name: value.sum() for name, value in values.items()}
    return sums.pop("loss"), sums


def _shares_weights(policy: nn.Module, reference: nn.Module) -> bool:
    policy_pointers = {parameter.data_ptr() for parameter in policy.parameters()}
    return any(parameter.data_ptr() in policy_pointers for parameter in reference.parameters())

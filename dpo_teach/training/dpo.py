"""Direct Preference Optimization: the trainer used in notebook 04 and on the command line."""

import math
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
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
from dpo_teach.loss_family import PairLogps, family_metrics, find_member
from dpo_teach.models import check_embeddings, check_logits, fitting_length, freeze_reference
from dpo_teach.pairs import PreferencePair
from dpo_teach.runs.fingerprint import fingerprint_arrays, fingerprint_model
from dpo_teach.training.config import DPOConfig
from dpo_teach.training.trainer import Metrics, Trainer

__all__ = ["DPOTrainer"]

STEPS_WITHOUT_MOVEMENT = 10
NO_MOVEMENT = 1e-4

Mismatch = tuple[int, int]
"""The pair that provides the prompt, and the pair that provides both responses."""


class DPOTrainer(Trainer):
    """Train a policy on preference pairs with the DPO loss, or with another member of its family (`config.loss`).

        L = -mean log σ( β [ (log π(y_w|x) - log π_ref(y_w|x)) - (log π(y_l|x) - log π_ref(y_l|x)) ] )

    By default, the reference is the policy at the start of the run. Its log-probabilities are computed once, before the
    first step, so that only one model is in memory. With `precompute_reference=False`, a frozen copy of the policy
    computes them at every step. Rafailov et al. 2023 (arXiv:2305.18290), equation 7. The other losses and their metrics
    are in `dpo_teach.loss_family`.

    The loss `kto` also needs log-probabilities of mismatched prompts and responses: each step starts with another
    forward pass, without gradient, of each prompt with the responses of the pair before it. Their mean is over the
    whole step, so micro-batches and processes do not change it. Each epoch has other mismatched pairs, so precomputing
    their reference logps takes one more pass per epoch.

    Args:
        model, tokenizer, output, on_step, progress: see `Trainer`.
        pairs: preference pairs to train on.
        config: the settings.
        eval_pairs: held-out preference pairs.
        reference: a reference other than the initial policy.

    Raises:
        ValueError: the reference is the policy itself or is not used by the loss, no weight is trainable, or a pair is
            too long.
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
        self._member, self._loss_settings = find_member(self.config.loss), self.config.loss_settings()
        if reference is not None and not self._member.needs_reference:
            raise ValueError(f"loss {self.config.loss!r} uses no reference; omit reference (--reference)")
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
        self._lengths, self._eval_lengths = (_response_lengths(table.pairs)
                                             for table in (self.tokenized, self.eval_tokenized))  # fmt: skip
        self._kl: Tensor | float = 0.0  # of the current step, for `kto`
        self._mismatched_reference: dict[Mismatch, Tensor] = {}
        self._eval_mismatched_reference = torch.empty(0)

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
        if not self._member.needs_reference:
            return {}
        reference = self.model if self._given_reference is None else self._given_reference
        reference.to(self.accelerator.device)
        precomputed = {"eval": self._compute_logps(reference, self.eval_tokenized.pairs)}
        if self.config.precompute_reference:
            needed = sorted({i for step in self.plan() for i in step})
            precomputed["train"] = torch.full((len(self.pairs), 2), math.nan)  # stays NaN for pairs that are in no step
            precomputed["train"][needed] = self._compute_logps(reference, self.pairs.select(needed))
        if self._member.needs_kl:
            pairs = self.eval_tokenized.pairs
            held_out = self._mismatched(pairs, _mismatches(range(len(pairs))))
            precomputed["eval_mismatched"] = self._compute_logps(reference, held_out)
            planned = self._mismatched(self.pairs, self._planned_mismatches())
            if self.config.precompute_reference:
                precomputed["train_mismatched"] = self._compute_logps(reference, planned)
        return precomputed

    def use_precomputed(self, precomputed: dict[str, Tensor]) -> None:
        """Use the reference's log-probabilities, or set up a frozen reference that computes them at every step."""
        if not self._member.needs_reference:
            return
        self._eval_reference_logps = precomputed["eval"]
        if self._member.needs_kl:
            self._eval_mismatched_reference = precomputed["eval_mismatched"]
        if self.config.precompute_reference:
            self._reference_logps = precomputed["train"]
            if self._member.needs_kl:
                logps = precomputed["train_mismatched"]
                self._mismatched_reference = dict(zip(self._planned_mismatches(), logps, strict=True))
        elif self._given_reference is None:
            self._reference = freeze_reference(self.model)
        else:
            self._reference = self._given_reference.to(self.accelerator.device).eval()

    @torch.no_grad()
    def prepare_step(self, indices: Sequence[int]) -> None:
        """For `kto`, estimate the KL to the reference from the mismatched pairs of the step."""
        if not self._member.needs_kl:
            return
        mismatches = dict(zip(indices, _mismatches(indices), strict=True))
        total = torch.zeros((), device=self.accelerator.device)
        for examples, weight in self.own_micro_batches(indices):
            chosen = [mismatches[i] for i in examples]
            batch = self._collate(self._mismatched(self.pairs, chosen))
            policy_logps = _by_pair(self.response_logps(batch))
            if self.config.precompute_reference:
                reference_logps = torch.stack([self._mismatched_reference[one] for one in chosen])
            else:
                reference_logps = self._frozen_reference_logps(batch)
            total += weight * (policy_logps - reference_logps.to(policy_logps.device)).sum()
        self._kl = (self.accelerator.reduce(total, "sum") / (2 * len(indices))).clamp(min=0)

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
        if not self._member.needs_reference:
            reference_logps = torch.full_like(policy_logps, math.nan)
        elif self.config.precompute_reference:
            reference_logps = self._reference_logps[list(indices)].to(policy_logps.device)
        else:
            reference_logps = self._frozen_reference_logps(batch)
        lengths = self._lengths[list(indices)].to(policy_logps.device)
        metrics = self._metrics(policy_logps, reference_logps, lengths, self._kl)
        sums = {name: values.sum() for name, values in metrics.items()}
        return sums.pop("loss"), sums

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        """Return the metrics of the held-out pairs (see `family_metrics`), named `eval_...`."""
        pairs = self.eval_tokenized.pairs
        if not pairs:
            return {}
        policy_logps = self._policy_logps(pairs)
        reference_logps, kl = self._eval_reference_logps, 0.0
        if not self._member.needs_reference:
            reference_logps = torch.full_like(policy_logps, math.nan)
        if self._member.needs_kl:
            mismatched = self._policy_logps(self._mismatched(pairs, _mismatches(range(len(pairs)))))
            kl = max(0.0, float((mismatched - self._eval_mismatched_reference).mean()))
        metrics = self._metrics(policy_logps, reference_logps, self._eval_lengths, kl)
        return {f"eval_{name}": float(values.mean()) for name, values in metrics.items()}

    def _metrics(
        self, policy_logps: Tensor, reference_logps: Tensor, lengths: Tensor, kl: Tensor | float
    ) -> dict[str, Tensor]:
        """The loss and the other metrics of each pair."""
        logps = PairLogps.from_columns(policy_logps, reference_logps, lengths, kl)
        return family_metrics(logps, self.config.loss, self._loss_settings)

    def _policy_logps(self, pairs: Sequence[TokenizedPair]) -> Tensor:
        """The policy's log-probabilities of pairs, on the CPU; shape (pairs, 2), nats."""
        size = self.config.micro_batch_size or self.config.batch_size
        batches = (self._collate(pairs[start : start + size]) for start in range(0, len(pairs), size))
        return torch.cat([_by_pair(self.response_logps(batch)) for batch in batches]).cpu()

    def _frozen_reference_logps(self, batch: TokenBatch | PackedBatch) -> Tensor:
        with torch.no_grad(), self.accelerator.autocast():
            return _by_pair(response_logps(self._reference, batch))

    def _planned_mismatches(self) -> list[Mismatch]:
        """The mismatched pairs of all steps, each once.

        Raises:
            ValueError: a step has a single pair.
        """
        return list(dict.fromkeys(mismatch for step in self.plan() for mismatch in _mismatches(step)))

    def _mismatched(self, pairs: TokenizedDataset, mismatches: Sequence[Mismatch]) -> list[TokenizedPair]:
        """Prompts with the responses of other pairs, which lose their end if they do not fit."""
        mismatched = []
        for prompt, responses in mismatches:
            prompt_ids, other = pairs[prompt].prompt_ids, pairs[responses]
            budget = self.max_length - len(prompt_ids)
            mismatched.append(TokenizedPair(prompt_ids, other.chosen_ids[:budget], other.rejected_ids[:budget]))
        return mismatched

    def _after_step(self, row: Metrics) -> None:
        super()._after_step(row)
        if not self._member.needs_reference:
            return
        if row["step"] == STEPS_WITHOUT_MOVEMENT and all(abs(r["margin"]) < NO_MOVEMENT for r in self.metrics):
            dpo = self.config.loss == "sigmoid"
            unchanged = f"loss is still ln 2 = {math.log(2):.4f}" if dpo else "margin is still 0"
            warnings.warn(
                f"the {unchanged} after {STEPS_WITHOUT_MOVEMENT} steps: the policy hardly "
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


def _mismatches(indices: Sequence[int]) -> list[Mismatch]:
    """Each pair's prompt with the responses of the pair before it; the first prompt with those of the last pair."""
    if len(indices) == 1:
        raise ValueError("loss 'kto' joins each prompt with the responses of another pair, but a step or the held-out "
                         "pairs consist of a single pair; change batch_size or the number of pairs")  # fmt: skip
    return list(zip(indices, [*indices[-1:], *indices[:-1]], strict=True))


def _response_lengths(pairs: TokenizedDataset) -> Tensor:
    """Tokens of the chosen and rejected response of each pair, as numbers to divide by; shape (pairs, 2)."""
    return torch.from_numpy(np.diff(pairs.ends, prepend=0).reshape(-1, 3)[:, 1:]).float()


def _shares_weights(policy: nn.Module, reference: nn.Module) -> bool:
    policy_pointers = {parameter.data_ptr() for parameter in policy.parameters()}
    return any(parameter.data_ptr() in policy_pointers for parameter in reference.parameters())

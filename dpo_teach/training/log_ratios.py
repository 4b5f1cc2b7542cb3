"""Record the log-ratios of held-out pairs during a run, without changing the run."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.batches import TokenizedPair, lay_out_pairs, tokenize_pairs
from dpo_teach.logps import LOGITS_AT_ONCE, pair_logps, predicting_states
from dpo_teach.models import (
    check_embeddings,
    check_padding,
    fitting_length,
    freeze_reference,
    output_layers,
    takes_packed,
)
from dpo_teach.pairs import PreferencePair
from dpo_teach.training.pair_history import PairHistory

__all__ = ["LogRatioRecorder", "reference_kl"]


class LogRatioRecorder:
    """Record the log-ratios of held-out pairs every few steps of a run: pass the recorder as `on_step` of a trainer.

    Create it before training, because the policy at that moment is the reference and the record of step 0. The recorder
    draws no random numbers and changes no weight, so the run has the same numbers with and without it. It is for runs
    in one process.

    Args:
        policy: the model that will be trained.
        tokenizer: its tokenizer.
        pairs: held-out pairs. The line of the KL that `LogRatioPlane` draws assumes that both responses were sampled
            from the reference.
        every: record every so many steps. The last step is recorded only if it is a multiple: otherwise call `record`.
        reference: the reference, if it is not the policy at this moment, of which a frozen copy is made by default.
        beta: the run's β, for the record.
        max_length: maximum tokens of prompt and response together; by default the context of the models.
        max_prompt_length: maximum tokens of the prompt; no limit by default.
        batch_size: pairs in one forward pass.

    Attributes:
        every: see above.
        reference: the frozen reference.

    Raises:
        ValueError: `every` is below 1, there is no pair, or one does not fit.
    """

    def __init__(
        self,
        policy: Any,
        tokenizer: Any,
        pairs: Sequence[PreferencePair],
        *,
        every: int = 16,
        reference: Any = None,
        beta: float | None = None,
        max_length: int | None = None,
        max_prompt_length: int | None = None,
        batch_size: int = 32,
    ) -> None:
        if every < 1:
            raise ValueError(f"every: expected a number of steps of at least 1, found {every}")
        check_embeddings("policy", policy, tokenizer)
        check_padding(tokenizer)
        self.reference = freeze_reference(policy) if reference is None else reference
        limit = fitting_length(max_length, policy, self.reference)
        self._pairs = tokenize_pairs(pairs, tokenizer, max_length=limit, max_prompt_length=max_prompt_length).pairs
        self.every = every
        self._policy, self._beta, self._size, self._pad_id = policy, beta, batch_size, tokenizer.pad_token_id
        self._reference_logps = self._logps(self.reference)
        self._found: dict[int, tuple[Tensor, float]] = {}  # log-ratios and KL, by step
        self.record(0)

    def __call__(self, row: dict[str, int | float]) -> None:
        """Record the policy if `every` steps have passed; a trainer calls this with the metrics of each step."""
        step = int(row["step"])
        if step % self.every == 0:
            self.record(step)

    def record(self, step: int) -> None:
        """Record the policy now, as the policy after a step; a record of the same step is replaced."""
        self.reference.to(next(self._policy.parameters()).device)
        log_ratios = self._logps(self._policy) - self._reference_logps
        kl = reference_kl(self._policy, self.reference, self._pairs, self._pad_id, batch_size=self._size)
        self._found[step] = log_ratios, kl

    @property
    def history(self) -> PairHistory:
        """Everything recorded so far."""
        steps = sorted(self._found)
        return PairHistory(
            tuple(steps),
            torch.stack([self._found[step][0] for step in steps]),
            kl=tuple(self._found[step][1] for step in steps),
            beta=self._beta,
        )

    def _logps(self, model: Any) -> Tensor:
        return pair_logps(model, self._pairs, self._pad_id, batch_size=self._size)


@torch.no_grad()
def reference_kl(
    policy: Any, reference: Any, pairs: Sequence[TokenizedPair], pad_id: int, *, batch_size: int = 32
) -> float:
    """KL(π_ref ‖ π) of whole responses, estimated on responses that were sampled from the reference.

        KL(π_ref ‖ π) = E_{y ~ π_ref} Σ_t Σ_v π_ref(v | x, y_<t) [ log π_ref(v | x, y_<t) - log π(v | x, y_<t) ]

    The sum over the vocabulary is exact at every response token, so the estimate has less noise than the mean of
    log π_ref(y|x) - log π(y|x) over the same responses, whose expected value it shares.

    Args:
        policy: π.
        reference: π_ref, on the same device and with the same vocabulary.
        pairs: both responses of each pair count as samples of the reference.
        pad_id: the padding token.
        batch_size: pairs in one forward pass.

    Returns:
        The mean over all responses, nats, at least 0.
    """
    packed = takes_packed(policy) and takes_packed(reference)
    device = next(policy.parameters()).device
    modes = [(model, model.training) for model in (policy, reference)]
    total = 0.0
    for model, _ in modes:
        model.eval()
    for start in range(0, len(pairs), batch_size):
        some = [pairs[i] for i in range(start, min(start + batch_size, len(pairs)))]
        batch = lay_out_pairs(some, pad_id, packed=packed).to(device)
        states = [predicting_states(model, batch) for model in (reference, policy)]
        total += _summed_kl(output_layers(reference), output_layers(policy), *states)
    for model, was_training in modes:
        model.train(was_training)
    return max(total / (2 * len(pairs)), 0.0)  # rounding can put the KL of equal models below 0


def _summed_kl(to_reference: Any, to_policy: Any, reference_states: Tensor, policy_states: Tensor) -> float:
    """The KL of the next token's distribution, summed over positions, in parts that fit into memory."""
    size = max(1, LOGITS_AT_ONCE // (4 * to_reference(reference_states[:1]).shape[-1]))
    total = 0.0
    for one, other in zip(reference_states.split(size), policy_states.split(size), strict=True):
        reference_logps = F.log_softmax(to_reference(one).float(), dim=-1)
        policy_logps = F.log_softmax(to_policy(other).float(), dim=-1)
        total += F.kl_div(policy_logps, reference_logps, reduction="sum", log_target=True).item()
    return total

"""A transformer's body with one number on top: what the reward model and the value model of RLHF are."""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dpo_teach.batches import PackedBatch, TokenBatch
from dpo_teach.logps import hidden_states
from dpo_teach.models import body_of, context_length, switch_dropout_off

__all__ = ["RewardModel", "ScalarModel", "ValueModel"]


class ScalarModel(nn.Module):
    """The body of a language model, copied, and a linear head that reads one number off a hidden state.

    The head starts at 0, so that what the number means at the start does not depend on chance.

    Args:
        language_model: a `transformers` causal language model; its body is copied, its output layer is left out.
    """

    def __init__(self, language_model: Any):
        super().__init__()
        self.body = switch_dropout_off(copy.deepcopy(body_of(language_model))).requires_grad_(True)
        with torch.no_grad():  # the width is not config.hidden_size where a model projects its last states, as OPT may
            states = self.body(torch.zeros(1, 1, dtype=torch.long, device=language_model.device), use_cache=False)[0]
        self.head = nn.Linear(states.shape[-1], 1, device=language_model.device)
        self.context = context_length(language_model)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def values_at(
        self, batch: TokenBatch | PackedBatch, positions: Int[Tensor, " positions"]
    ) -> Float[Tensor, " positions"]:
        """The numbers at some positions of a batch, given as indices into its flattened rows."""
        states = hidden_states(self.body, batch).index_select(0, positions)  # (positions, width)
        return self.head(states).squeeze(-1)

    def add_constant(self, amount: float) -> None:
        """Add a constant to every number that the model gives."""
        with torch.no_grad():
            self.head.bias.add_(amount)


class RewardModel(ScalarModel):
    """r(x, y): one number for a whole response, read at its last *real* token.

    A padded position has a hidden state too, and a number that means nothing: where padding is on the right, the
    last column of the batch is the wrong place to read. The real end comes from the mask. Ouyang et al. 2022
    (arXiv:2203.02155), section 3.5: the language model with its output layer removed, and a scalar in its place.

    Args:
        language_model: what the body is copied from; in RLHF, the policy as it is after supervised fine-tuning.
    """

    def forward(self, batch: TokenBatch | PackedBatch) -> Float[Tensor, " responses"]:
        """One reward per response, in nats of preference, up to a constant."""
        return self.values_at(batch, batch.ends)


class ValueModel(ScalarModel):
    """V(s): what is still to come, in expectation, when the next token of a response is about to be drawn.

        V(s_t) ≈ E[ Σ_{k ≥ t} γ^(k-t) r_k ],   s_t = the prompt and the response's tokens before t

    The state before token t is all that position t-1 has seen, so V(s_t) is read there, where the policy predicts
    token t.

    Args:
        language_model: what the body is copied from.
    """

    def forward(self, batch: TokenBatch | PackedBatch) -> Float[Tensor, " tokens"]:
        """One value per response token of the batch, in the order of `dpo_teach.logps.response_token_logps`."""
        return self.values_at(batch, batch.sources)

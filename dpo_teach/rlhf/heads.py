"""A transformer body with a scalar head: the architecture of RLHF's reward model and value model."""

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
    """A copy of a language model's body with a linear head that maps a hidden state to one number.

    The head starts at 0, so that the initial outputs do not depend on a random seed.

    Args:
        language_model: a `transformers` causal language model; its body is copied, its output layer is not.
    """

    def __init__(self, language_model: Any):
        super().__init__()
        self.body = switch_dropout_off(copy.deepcopy(body_of(language_model))).requires_grad_(True)
        with torch.no_grad():  # not config.hidden_size: some models, such as OPT, project their last states
            states = self.body(torch.zeros(1, 1, dtype=torch.long, device=language_model.device), use_cache=False)[0]
        self.head = nn.Linear(states.shape[-1], 1, device=language_model.device)
        self.context = context_length(language_model)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.head.weight.device

    def values_at(
        self, batch: TokenBatch | PackedBatch, positions: Int[Tensor, " positions"]
    ) -> Float[Tensor, " positions"]:
        """The model's outputs at some positions of a batch, given as indices into its flattened rows."""
        states = hidden_states(self.body, batch).index_select(0, positions)  # (positions, width)
        return self.head(states).squeeze(-1)

    def add_constant(self, amount: float) -> None:
        """Add a constant to every output of the model."""
        with torch.no_grad():
            self.head.bias.add_(amount)


class RewardModel(ScalarModel):
    """r(x, y): one number for a whole response, read at its last *real* token.

    Padded positions have hidden states too, but their outputs are meaningless: if padding is on the right, the last
    column of the batch is the wrong position to read. The mask gives the real end. Ouyang et al. 2022
    (arXiv:2203.02155), section 3.5: the language model with its output layer removed, and a scalar in its place.

    Args:
        language_model: the model whose body is copied; in RLHF, the policy after supervised fine-tuning.
    """

    def forward(self, batch: TokenBatch | PackedBatch) -> Float[Tensor, " responses"]:
        """One reward per response, in nats of preference, up to a constant."""
        return self.values_at(batch, batch.ends)


class ValueModel(ScalarModel):
    """V(s): the expected reward still to come when the next token of a response is about to be drawn.

        V(s_t) ≈ E[ Σ_{k ≥ t} γ^(k-t) r_k ],   s_t = the prompt and the response's tokens before t

    The state before token t contains what position t-1 has seen, so V(s_t) is read there: at the position where the
    policy predicts token t.

    Args:
        language_model: the model whose body is copied.
    """

    def forward(self, batch: TokenBatch | PackedBatch) -> Float[Tensor, " tokens"]:
        """One value per response token of the batch, in the order of `dpo_teach.logps.response_token_logps`."""
        return self.values_at(batch, batch.sources)

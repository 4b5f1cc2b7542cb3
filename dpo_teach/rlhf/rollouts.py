"""PPO's training data: responses of the policy, with rewards, values and log-probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from dpo_teach.batches import PackedBatch, TokenBatch, lay_out
from dpo_teach.logps import response_logits, response_token_logps
from dpo_teach.models import takes_packed
from dpo_teach.rlhf.heads import ValueModel
from dpo_teach.sampling import Sample, decode, sample_tokens
from dpo_teach.worlds import reviews

__all__ = ["RewardFunction", "Rollouts", "collect_rollouts", "rows_of_tokens", "true_review_reward"]

RewardFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Prompts and responses -> one reward for each response."""


def true_review_reward(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """The true reward of the reviews world, as the function of texts that PPO expects.

    >>> true_review_reward(["We saw it."], [" The plot was dull. Go tonight."])
    [0.0]
    """
    return [reviews.true_reward(response) for response in responses]


@dataclass(frozen=True)
class Rollouts:
    """Responses and their scores at the moment they were drawn; nothing here has a gradient.

    Tables have one row per response and one column per token, 0 at padding.

    Args:
        samples: the token ids.
        texts: the responses as text.
        rewards: r(x, y).
        mask: true at real tokens.
        logps: log π_old of each token, nats.
        reference_logps: log π_ref of each token, nats.
        values: V_old before each token.
        entropy: of the policy's next-token distribution, mean over tokens, nats.
    """

    samples: tuple[Sample, ...]
    texts: tuple[str, ...]
    rewards: Float[Tensor, " rollouts"]
    mask: Bool[Tensor, "rollouts steps"]
    logps: Float[Tensor, "rollouts steps"]
    reference_logps: Float[Tensor, "rollouts steps"]
    values: Float[Tensor, "rollouts steps"]
    entropy: float

    @property
    def kl(self) -> float:
        """An estimate of KL(π_old ‖ π_ref): the mean over responses of log π_old(y|x) - log π_ref(y|x), nats."""
        return (self.logps - self.reference_logps).sum(dim=1).mean().item()

    def batch(self, indices: Sequence[int], pad_id: int, *, packed: bool = False) -> TokenBatch | PackedBatch:
        """A batch of some responses with their prompts, one per row or packed."""
        return _collate([self.samples[i] for i in indices], pad_id, packed=packed)

    def tokens(self, table: Float[Tensor, "rollouts steps"], indices: Sequence[int]) -> Float[Tensor, " tokens"]:
        """The entries of a table at the real tokens of some responses, in the order of `batch`'s response tokens."""
        rows = list(indices)
        return table[rows][self.mask[rows]]


@torch.no_grad()
def collect_rollouts(
    policy: Any,
    reference: Any,
    value: ValueModel,
    reward: RewardFunction,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 96,
    seed: int = 0,
    batch_size: int = 128,
) -> Rollouts:
    """Draw one response to each prompt and record what PPO needs to know about it.

    The responses are drawn at temperature 1 with a key-value cache, one token at a time. Their `logps` are then
    recomputed by the forward pass that training uses: cached numbers differ in the last digits, so the ratio at the
    first update would not be exactly 1.

    Args:
        policy: π_old, which draws the responses.
        reference: π_ref.
        value: V_old.
        reward: maps prompts and responses to rewards, learned or true.
        tokenizer: the tokenizer of all models.
        prompts: one for each response to draw.
        max_new_tokens: maximum tokens per response; a response that is cut off there counts as finished.
        seed: random seed for the responses.
        batch_size: responses in one forward pass.

    Raises:
        ValueError: the reward function does not give one finite number for each response.
    """
    samples = sample_tokens(policy, tokenizer, prompts, max_new_tokens=max_new_tokens, seed=seed)
    texts = decode(samples, tokenizer)
    parts = []
    for start in range(0, len(samples), batch_size):
        some = samples[start : start + batch_size]
        batch = _collate(some, tokenizer.pad_token_id, packed=takes_packed(policy)).to(policy.device)
        parts.append(_score_tokens(policy, reference, value, batch))
    logps, reference_logps, values, entropies = (torch.cat(column) for column in zip(*parts, strict=True))
    mask = response_rows([len(sample.response_ids) for sample in samples], policy.device)
    return Rollouts(
        samples=tuple(samples),
        texts=tuple(texts),
        rewards=_compute_rewards(reward, prompts, texts).to(policy.device),
        mask=mask,
        logps=rows_of_tokens(logps, mask),
        reference_logps=rows_of_tokens(reference_logps, mask),
        values=rows_of_tokens(values, mask),
        entropy=entropies.mean().item(),
    )


def response_rows(lengths: Sequence[int], device: torch.device | str = "cpu") -> Bool[Tensor, "rollouts steps"]:
    """The mask of a table with one row per response, starting at column 0.

    >>> response_rows([2, 3]).int()
    tensor([[1, 1, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device).unsqueeze(1)


def rows_of_tokens(
    values: Float[Tensor, " tokens"], mask: Bool[Tensor, "rollouts steps"]
) -> Float[Tensor, "rollouts steps"]:
    """Arrange one value per token into a table, row by row, with 0 at padding.

    >>> rows_of_tokens(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[True, False], [True, True]]))
    tensor([[1., 0.],
            [2., 3.]])
    """
    table = torch.zeros(mask.shape, dtype=values.dtype, device=values.device)
    table[mask] = values
    return table


def _collate(samples: Sequence[Sample], pad_id: int, *, packed: bool) -> TokenBatch | PackedBatch:
    return lay_out([(sample.prompt_ids, sample.response_ids) for sample in samples], pad_id, packed=packed)


def _score_tokens(
    policy: Any, reference: Any, value: ValueModel, batch: TokenBatch | PackedBatch
) -> tuple[Tensor, ...]:
    """Per response token: log π, log π_ref, V, and the entropy of the policy."""
    logits, targets = response_logits(policy, batch)
    logps = -F.cross_entropy(logits, targets, reduction="none")
    entropies = torch.special.entr(logits.softmax(dim=-1)).sum(dim=-1)
    return logps, response_token_logps(reference, batch)[0], value(batch), entropies


def _compute_rewards(
    reward: RewardFunction, prompts: Sequence[str], texts: Sequence[str]
) -> Float[Tensor, " rollouts"]:
    rewards = torch.as_tensor(reward(prompts, texts), dtype=torch.float32)
    if rewards.shape != (len(texts),):
        raise ValueError(f"reward: expected one number per response, found shape {tuple(rewards.shape)} for "
                         f"{len(texts)} responses")  # fmt: skip
    if not torch.isfinite(rewards).all():
        where = int((~torch.isfinite(rewards)).nonzero()[0])
        raise ValueError(f"reward: expected a finite number, found {rewards[where].item()} for response "
                         f"{texts[where]!r}")  # fmt: skip
    return rewards

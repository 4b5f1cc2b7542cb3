"""From one reward for a whole response to an advantage for each of its tokens.

Every table has one row per rollout and one column per response token, the first token in column 0; `mask` is true at
real tokens. What stands at padding is never read, and comes back as 0.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["explained_variance", "generalised_advantages", "normalise_advantages", "penalised_rewards"]

NO_SPREAD = 1e-6


def penalised_rewards(
    rewards: Float[Tensor, " rollouts"],
    logps: Float[Tensor, "rollouts steps"],
    reference_logps: Float[Tensor, "rollouts steps"],
    mask: Bool[Tensor, "rollouts steps"],
    beta: float,
) -> Float[Tensor, "rollouts steps"]:
    """The reward of each token: a price for leaving the reference at every one, and the response's reward at the last.

        r_t = -β (log π(y_t|s_t) - log π_ref(y_t|s_t)) + [t is the last token] r(x, y)

    Summed over the tokens this is r(x, y) - β log π(y|x)/π_ref(y|x), whose mean is the objective of RLHF. Ziegler et
    al. 2019 (arXiv:1909.08593), equation 2; Ouyang et al. 2022 (arXiv:2203.02155), equation 2.

    Args:
        rewards: r(x, y) of each response.
        logps: log π of each token under the policy that drew it, nats.
        reference_logps: log π_ref of each token, nats.
        mask: true at real tokens.
        beta: the price of a nat of KL, in units of the reward.

    Returns:
        One reward per token, 0 at padding.

    >>> logps, reference_logps = torch.tensor([[-1.0, -2.0, 0.0]]), torch.tensor([[-1.5, -2.0, 0.0]])
    >>> penalised_rewards(torch.tensor([3.0]), logps, reference_logps, torch.tensor([[True, True, False]]), beta=0.2)
    tensor([[-0.1000,  3.0000,  0.0000]])
    """
    table = torch.where(mask, -beta * (logps - reference_logps), torch.zeros_like(logps))
    rows, last = torch.arange(len(mask), device=mask.device), mask.sum(dim=1) - 1
    table[rows, last] += rewards
    return table


def generalised_advantages(
    rewards: Float[Tensor, "rollouts steps"],
    values: Float[Tensor, "rollouts steps"],
    mask: Bool[Tensor, "rollouts steps"],
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> Float[Tensor, "rollouts steps"]:
    """Generalised advantage estimation: how much better things went from a token on than the value model expected.

        δ_t = r_t + γ V(s_{t+1}) - V(s_t),   A_t = δ_t + γ λ A_{t+1}

    After the last token there is nothing to come: V = 0. λ = 1 sums up all that followed (no bias, much noise),
    λ = 0 looks one token ahead and trusts the value model for the rest. Schulman et al. 2016 (arXiv:1506.02438),
    equation 16.

    Args:
        rewards: r_t, one per token.
        values: V(s_t), what was expected before each token.
        mask: true at real tokens.
        gamma: discount per token; 1 for text, where a review is not worth less for being long.
        lam: λ, between 0 and 1.

    Returns:
        A_t, one per token, 0 at padding. A_t + V(s_t) is what the value model should have said.

    >>> values = torch.tensor([[0.5, 0.5]])
    >>> generalised_advantages(torch.tensor([[0.0, 1.0]]), values, torch.ones(1, 2, dtype=torch.bool), lam=0.5)
    tensor([[0.2500, 0.5000]])
    """
    rewards, values = rewards.masked_fill(~mask, 0.0), values.masked_fill(~mask, 0.0)
    advantages = torch.zeros_like(rewards)
    next_value = next_advantage = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = torch.where(mask[:, t], delta + gamma * lam * next_advantage, 0.0)
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages


def normalise_advantages(
    advantages: Float[Tensor, "rollouts steps"], mask: Bool[Tensor, "rollouts steps"]
) -> Float[Tensor, "rollouts steps"]:
    """Advantages with mean 0 and standard deviation 1 over all real tokens, so that one learning rate fits all rewards.

        A ← (A - mean A) / std A

    Where nothing differs there is nothing to learn, and the answer is 0: dividing by a spread that is only rounding
    would make advantages out of it. Not in the paper of PPO, but in most of its code: Huang et al. 2024
    (arXiv:2403.17031), "The N+ implementation details of RLHF with PPO".

    Args:
        advantages: A_t, one per token.
        mask: true at real tokens.

    Returns:
        One advantage per token, 0 at padding.

    >>> normalise_advantages(torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[True, True, False]]))
    tensor([[-1.,  1.,  0.]])
    """
    real = advantages[mask]
    mean, spread = real.mean(), real.std(correction=0)
    if spread <= NO_SPREAD * max(1.0, abs(mean.item())):
        return torch.zeros_like(advantages)
    return ((advantages - mean) / spread).masked_fill(~mask, 0.0)


def explained_variance(values: Float[Tensor, " tokens"], returns: Float[Tensor, " tokens"]) -> float:
    """How much of the returns' spread the value model had foreseen: 1 is all, 0 no better than a constant.

        1 - Var(R - V) / Var(R)

    Args:
        values: V(s_t), before the update.
        returns: R_t, what it should have been.

    Returns:
        At most 1; below 0 where a constant would have been better, and 0 where the returns do not vary.

    >>> explained_variance(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0]))
    0.75
    """
    spread = returns.var(correction=0).item()
    return 0.0 if spread == 0 else 1 - (returns - values).var(correction=0).item() / spread

"""PPO's token rewards, advantages, and its two losses, as pure functions of tensors.

A table has one row per rollout and one column per response token, starting at column 0; `mask` is true at real tokens.
Values at padding are never read, and are 0 in every result. A vector has one element per real token.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "clip_fraction",
    "clipped_surrogate",
    "explained_variance",
    "generalised_advantages",
    "normalise_advantages",
    "penalised_rewards",
    "policy_loss",
    "value_loss",
]

NO_SPREAD = 1e-6


def penalised_rewards(
    rewards: Float[Tensor, " rollouts"],
    logps: Float[Tensor, "rollouts steps"],
    reference_logps: Float[Tensor, "rollouts steps"],
    mask: Bool[Tensor, "rollouts steps"],
    beta: float,
) -> Float[Tensor, "rollouts steps"]:
    """The reward of each token: every token pays for leaving the reference, and the last gets the response's reward.

        r_t = -β (log π(y_t|s_t) - log π_ref(y_t|s_t)) + [t is the last token] r(x, y)

    Its sum over the tokens is r(x, y) - β log π(y|x)/π_ref(y|x), whose mean is the objective of RLHF. Ziegler et
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

    After the last token V = 0. λ = 1 sums all rewards that followed (no bias, high variance); λ = 0 looks one token
    ahead and trusts the value model for the rest. Schulman et al. 2016 (arXiv:1506.02438), equation 16.

    Args:
        rewards: r_t, one per token.
        values: V(s_t), the prediction before each token.
        mask: true at real tokens.
        gamma: discount per token; 1 for text, since a longer review is not worth less.
        lam: λ, between 0 and 1.

    Returns:
        A_t, one per token, 0 at padding. A_t + V(s_t) is the target of the value model.

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
    """Normalise advantages to mean 0 and standard deviation 1 over all real tokens.

        A ← (A - mean A) / std A

    One learning rate then fits all rewards. If all advantages are equal, the result is 0: dividing by a standard
    deviation that is only rounding error would turn that error into advantages. The PPO paper does not have this step,
    but most implementations do: Huang et al. 2024 (arXiv:2403.17031), "The N+ implementation details of RLHF with PPO".

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


def clipped_surrogate(
    log_ratios: Float[Tensor, "*shape"], advantages: Float[Tensor, "*shape"], clip_range: float = 0.2
) -> Float[Tensor, "*shape"]:
    """What PPO maximises at each token: the advantage, weighted by how much likelier the token has become, and clipped.

        ρ_t = π(y_t|s_t) / π_old(y_t|s_t),   L_t = min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t )

    The minimum removes the gain from moving a token's probability ratio further than ε from 1, but keeps the full loss
    for moving it the wrong way. At π = π_old its value is A_t, and its gradient is the policy gradient.
    Schulman et al. 2017 (arXiv:1707.06347), equation 7.

    Args:
        log_ratios: log ρ_t, new minus old `logps`, nats.
        advantages: A_t.
        clip_range: ε, between 0 and 1.

    Returns:
        One value per token.

    >>> clipped_surrogate(torch.tensor([1.5, 1.5]).log(), torch.tensor([1.0, -1.0]), clip_range=0.2)
    tensor([ 1.2000, -1.5000])
    """
    ratios = log_ratios.exp()
    return torch.minimum(ratios * advantages, ratios.clamp(1 - clip_range, 1 + clip_range) * advantages)


def policy_loss(
    logps: Float[Tensor, " tokens"],
    old_logps: Float[Tensor, " tokens"],
    advantages: Float[Tensor, " tokens"],
    clip_range: float = 0.2,
) -> Float[Tensor, ""]:
    """PPO's policy loss: minus the clipped surrogate, averaged over tokens.

        L = -mean_t min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t )

    Schulman et al. 2017, equation 7.

    Args:
        logps: log π(y_t|s_t) of the policy being trained, nats.
        old_logps: log π_old(y_t|s_t) of the policy that drew the tokens, nats.
        advantages: A_t.
        clip_range: ε.

    Returns:
        A scalar; at π = π_old with normalised advantages it is 0, but its gradient is not.

    >>> policy_loss(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, 2.0]))
    tensor(-1.5000)
    """
    return -clipped_surrogate(logps - old_logps, advantages, clip_range).mean()


def clip_fraction(log_ratios: Float[Tensor, " tokens"], clip_range: float = 0.2) -> float:
    """The share of tokens whose probability moved by more than ε: near 0 little changes, above 0.3 too much does.

    Args:
        log_ratios: log ρ_t, nats.
        clip_range: ε.

    >>> clip_fraction(torch.tensor([1.0, 1.1, 1.3, 0.5]).log(), clip_range=0.2)
    0.5
    """
    return ((log_ratios.exp() - 1).abs() > clip_range).float().mean().item()


def value_loss(
    values: Float[Tensor, " tokens"],
    returns: Float[Tensor, " tokens"],
    old_values: Float[Tensor, " tokens"] | None = None,
    clip_range: float | None = None,
) -> Float[Tensor, ""]:
    """The value model's loss: half its squared error, averaged over tokens.

        L = 1/2 mean_t (V_t - R_t)²,   clipped:  1/2 mean_t max( (V_t - R_t)², (V_c - R_t)² )

    Clipping keeps the values close to the old ones; V_c is V_t clipped to V_old ± ε. It comes from PPO's code, not from
    the paper, and Engstrom et al. 2020 (arXiv:2005.12729) found no benefit, so it is off by default. Schulman et al.
    2017, equation 9, without the coefficient: the value model here has its own body and optimizer.

    Args:
        values: V(s_t) of the value model being trained.
        returns: R_t = A_t + V_old(s_t).
        old_values: V_old(s_t), from before the update; required for clipping.
        clip_range: ε, in units of the reward; no clipping if None.

    Returns:
        A scalar of at least 0.

    Raises:
        ValueError: clip_range is given and old_values is not.

    >>> value_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]))
    tensor(1.)
    """
    errors = (values - returns) ** 2
    if clip_range is not None:
        if old_values is None:
            raise ValueError("clip_range needs old_values, the values from before the update")
        clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
        errors = torch.maximum(errors, (clipped - returns) ** 2)
    return errors.mean() / 2


def explained_variance(values: Float[Tensor, " tokens"], returns: Float[Tensor, " tokens"]) -> float:
    """The share of the returns' variance that the value model predicted: 1 is all of it, 0 no better than a constant.

        1 - Var(R - V) / Var(R)

    Args:
        values: V(s_t), before the update.
        returns: R_t, the targets.

    Returns:
        At most 1; below 0 if a constant would have been better, and 0 if the returns do not vary.

    >>> explained_variance(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0]))
    0.75
    """
    spread = returns.var(correction=0).item()
    return 0.0 if spread == 0 else 1 - (returns - values).var(correction=0).item() / spread

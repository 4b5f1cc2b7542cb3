"""PPO's two losses: pure functions of what the policy and the value model say about tokens that were drawn before."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["clip_fraction", "clipped_surrogate", "policy_loss", "value_loss"]


def clipped_surrogate(
    log_ratios: Float[Tensor, "*shape"], advantages: Float[Tensor, "*shape"], clip_range: float = 0.2
) -> Float[Tensor, "*shape"]:
    """What PPO maximises, token by token: the advantage, weighted by how much likelier the token has become.

        ρ_t = π(y_t|s_t) / π_old(y_t|s_t),   L_t = min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t )

    The minimum takes away the gain of moving a token's probability further than ε from where it was drawn, and leaves
    the loss of having moved it the wrong way. At π = π_old it is A_t, and its gradient that of the policy gradient.
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
    """PPO's loss of the policy: minus the clipped surrogate, averaged over tokens.

        L = -mean_t min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t )

    Schulman et al. 2017, equation 7.

    Args:
        logps: log π(y_t|s_t) of the policy in training, nats.
        old_logps: the same of the policy that drew the tokens, nats.
        advantages: A_t.
        clip_range: ε.

    Returns:
        A scalar; at π = π_old with normalised advantages 0, though its gradient is not.

    >>> policy_loss(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, 2.0]))
    tensor(-1.5000)
    """
    return -clipped_surrogate(logps - old_logps, advantages, clip_range).mean()


def clip_fraction(log_ratios: Float[Tensor, " tokens"], clip_range: float = 0.2) -> float:
    """The share of tokens whose probability has moved by more than ε: near 0 nothing happens, above 0.3 too much.

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

    Clipping holds the values near what they were. It came with the code of PPO, not with the paper; ε is in units of
    the reward, and no benefit was found (Engstrom et al. 2020, arXiv:2005.12729), hence off unless asked for. Schulman
    et al. 2017, equation 9, without the weight: the value model here has a body and an optimizer of its own.

    Args:
        values: V(s_t) of the value model in training.
        returns: R_t = A_t + V_old(s_t).
        old_values: V_old(s_t), from before the update; needed for clipping.
        clip_range: ε, in units of the reward; None does not clip.

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

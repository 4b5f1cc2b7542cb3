"""The DPO loss and the quantities around it: pure functions of log-probabilities.

Every `logps` argument is a batch of *summed* natural-log probabilities log π(y|x), one per response, in nats.
The symbols are those of Rafailov et al. 2023, "Direct Preference Optimization" (arXiv:2305.18290).

`dpo_losses` is the loss that trains: summed logps of both responses under both models in, one loss per pair out. The
functions that people call by hand (`compute_dpo_loss`, `margin`, `compute_implicit_reward`, `gradient_weight`) check
their inputs first. The two that the trainer calls at every step (`dpo_losses`, `pair_metrics`) do not: asking a GPU
whether a tensor is finite would make the CPU wait for it. There a NaN stays a NaN, which the trainer checks for once a
step.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "compute_dpo_loss",
    "compute_implicit_reward",
    "dpo_losses",
    "gradient_weight",
    "margin",
    "pair_metrics",
    "preference_nll",
]


def compute_dpo_loss(
    policy_chosen_logps: Float[Tensor, " batch"],
    policy_rejected_logps: Float[Tensor, " batch"],
    reference_chosen_logps: Float[Tensor, " batch"],
    reference_rejected_logps: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, ""]:
    """The DPO loss, averaged over a batch of preference pairs.

        L = -mean log σ( β [ (log π(y_w|x) - log π_ref(y_w|x)) - (log π(y_l|x) - log π_ref(y_l|x)) ] )

    It is the cross-entropy of a classifier that says which of two responses was preferred, where the classifier's
    logit is the margin between their implicit rewards. At π = π_ref the loss is ln 2 whatever β is, and its gradient
    is not zero. Rafailov et al. 2023, equation 7.

    Args:
        policy_chosen_logps: log π(y_w|x) of the chosen responses, nats.
        policy_rejected_logps: log π(y_l|x) of the rejected responses, nats.
        reference_chosen_logps: log π_ref(y_w|x), nats.
        reference_rejected_logps: log π_ref(y_l|x), nats.
        beta: how strongly the optimum is held to the reference; above 0, typically 0.05 to 0.5.

    Returns:
        The mean loss, a scalar of at least 0, nats.

    Raises:
        ValueError: the shapes differ, the batch is empty, a logp is not finite, or beta is not a positive number.

    >>> policy, reference = torch.tensor([-50.0]), torch.tensor([-51.0])
    >>> compute_dpo_loss(policy, reference - 1.0, reference, reference, beta=0.1).item()  # doctest: +ELLIPSIS
    0.5981...
    """
    _check_beta(beta)
    _check_logps(
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
    )
    return dpo_losses(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta
    ).mean()


def dpo_losses(
    policy_chosen_logps: Float[Tensor, " batch"],
    policy_rejected_logps: Float[Tensor, " batch"],
    reference_chosen_logps: Float[Tensor, " batch"],
    reference_rejected_logps: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, " batch"]:
    """The DPO loss of each pair: what `compute_dpo_loss` averages and the trainer minimises. Inputs are not checked.

        ℓ = -log σ( r̂(x, y_w) - r̂(x, y_l) ),   r̂(x, y) = β (log π(y|x) - log π_ref(y|x))

    Rafailov et al. 2023, equation 7, for one pair.

    Args: as `compute_dpo_loss`.

    Returns:
        One loss per pair, at least 0, nats; NaN where a logp is NaN.

    >>> one = torch.ones(2)
    >>> dpo_losses(-50 * one, -50 * one, -51 * one, -51 * one)
    tensor([0.6931, 0.6931])
    """
    margins = _margins(
        policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta
    )
    return preference_nll(margins)


def preference_nll(margins: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The negative log-likelihood of a preference, given by how much the reward of the preferred response is higher.

        -log P(y_w ≻ y_l) = -log σ(m),   m = r(x, y_w) - r(x, y_l)

    The model of Bradley and Terry 1952; Rafailov et al. 2023, equation 1. `-log(sigmoid(m))` would overflow below a
    margin of about -88 in float32; `logsigmoid` does not.

    Args:
        margins: differences of rewards, of any shape, nats. They are not checked.

    Returns:
        One value per margin, at least 0, nats.

    >>> preference_nll(torch.tensor([0.0, 2.0]))
    tensor([0.6931, 0.1269])
    """
    return -F.logsigmoid(margins)


def margin(
    policy_chosen_logps: Float[Tensor, " batch"],
    policy_rejected_logps: Float[Tensor, " batch"],
    reference_chosen_logps: Float[Tensor, " batch"],
    reference_rejected_logps: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, " batch"]:
    """The implicit reward of each chosen response minus that of its rejected one.

        m = r̂(x, y_w) - r̂(x, y_l),   r̂(x, y) = β (log π(y|x) - log π_ref(y|x))

    Positive where the policy has moved the right way since the reference, and then σ(m) > 1/2 is the probability that
    it gives to the label. Rafailov et al. 2023, section 4.

    Args, Raises: as `compute_dpo_loss`.

    Returns:
        One margin per pair, nats.

    >>> one = torch.ones(1)
    >>> margin(-50 * one, -52 * one, -51 * one, -51 * one, beta=0.5)
    tensor([1.])
    """
    _check_beta(beta)
    _check_logps(
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
    )
    return _margins(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta)


def compute_implicit_reward(
    policy_logps: Float[Tensor, " batch"],
    reference_logps: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, " batch"]:
    """The reward that a policy implies, up to a constant that depends on the prompt alone.

        r̂(x, y) = β (log π(y|x) - log π_ref(y|x))

    The dropped constant is β log Z(x); it is the same for every response to one prompt, so every comparison of two
    of them is exact. Rafailov et al. 2023, equation 5.

    Args:
        policy_logps: log π(y|x), nats.
        reference_logps: log π_ref(y|x) of the same responses, nats.
        beta: the β that the policy was trained with; above 0.

    Returns:
        One reward per response, nats.

    Raises:
        ValueError: the shapes differ, the batch is empty, a logp is not finite, or beta is not a positive number.

    >>> compute_implicit_reward(torch.tensor([-50.0, -52.0]), torch.tensor([-51.0, -51.0]), beta=0.1)
    tensor([ 0.1000, -0.1000])
    """
    _check_beta(beta)
    _check_logps(policy_logps=policy_logps, reference_logps=reference_logps)
    return beta * (policy_logps - reference_logps)


def gradient_weight(margins: Float[Tensor, " batch"], beta: float = 0.1) -> Float[Tensor, " batch"]:
    """How strongly each pair pulls on the two log-probabilities in one gradient step.

        w = β σ(-m),   ∂L/∂ log π(y_w|x) = -w / batch,   ∂L/∂ log π(y_l|x) = +w / batch

    β/2 where the policy is the reference, close to β on a pair that is badly wrong, close to 0 on one that is settled.
    Rafailov et al. 2023, section 4, "What does the DPO update do?".

    Args:
        margins: one margin per pair, nats, as `margin` gives it.
        beta: the same β that the margins were computed with; above 0.

    Returns:
        One weight per pair, between 0 and beta.

    Raises:
        ValueError: the batch is empty, a margin is not finite, or beta is not a positive number.

    >>> gradient_weight(torch.tensor([0.0]), beta=0.1)
    tensor([0.0500])
    """
    _check_beta(beta)
    _check_logps(margins=margins)
    return beta * torch.sigmoid(-margins)


def pair_metrics(
    policy_logps: Float[Tensor, "pairs 2"], reference_logps: Float[Tensor, "pairs 2"], beta: float = 0.1
) -> dict[str, Float[Tensor, " pairs"]]:
    """The loss of each pair and everything else that is reported about it. Inputs are not checked.

    Args:
        policy_logps: log π of the chosen and the rejected response, nats.
        reference_logps: the same under the reference.
        beta: the β of the rewards; above 0.

    Returns:
        `loss` (`dpo_losses`), `margin`, `preference_accuracy` (1 where the margin is positive, 1/2 where it is 0),
        `chosen_logps`, `rejected_logps`, `chosen_rewards`, `rejected_rewards`: one value per pair each.
    """
    chosen_logps, rejected_logps = policy_logps.unbind(dim=1)  # (pairs, 2) -> two times (pairs,)
    reference_chosen, reference_rejected = reference_logps.unbind(dim=1)
    chosen_rewards = beta * (chosen_logps - reference_chosen)
    rejected_rewards = beta * (rejected_logps - reference_rejected)
    margins = chosen_rewards - rejected_rewards
    return {
        "loss": dpo_losses(chosen_logps, rejected_logps, reference_chosen, reference_rejected, beta),
        "margin": margins,
        "preference_accuracy": (1 + margins.sign()) / 2,
        "chosen_logps": chosen_logps,
        "rejected_logps": rejected_logps,
        "chosen_rewards": chosen_rewards,
        "rejected_rewards": rejected_rewards,
    }


def _margins(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    beta: float,
) -> Tensor:
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps)
    return chosen_rewards - rejected_rewards


def _check_beta(beta: float) -> None:
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be a finite number above 0, found {beta}")


def _check_logps(**logps: Tensor) -> None:
    """Reject what would silently give a wrong number: broadcasting, an empty mean, or a NaN that spreads."""
    first_name, first = next(iter(logps.items()))
    for name, values in logps.items():
        if values.shape != first.shape:
            raise ValueError(
                f"{name} has shape {tuple(values.shape)}, but {first_name} has shape {tuple(first.shape)}: "
                "they must be the same, one logp per response"
            )
        if values.dim() != 1:
            raise ValueError(
                f"{name} has shape {tuple(values.shape)}: expected (batch,), one logp per response, summed over tokens"
            )
        if values.numel() == 0:
            raise ValueError(f"{name} is empty: expected at least one response")
        if not torch.isfinite(values).all():
            position = int((~torch.isfinite(values)).nonzero()[0])
            raise ValueError(f"{name} must be finite, found {values[position].item()} at position {position}")

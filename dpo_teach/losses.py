"""The DPO loss and related quantities, as pure functions of log-probabilities.

Every `logps` argument is a batch of *summed* natural-log probabilities log π(y|x), one per response, in nats.
The symbols are those of Rafailov et al. 2023, "Direct Preference Optimization" (arXiv:2305.18290).

`dpo_losses` is the training loss: it takes the summed logps of both responses under both models and returns one loss
per pair. The functions that users call (`compute_dpo_loss`, `margin`, `compute_implicit_reward`, `gradient_weight`)
check their inputs. The two functions that the trainer calls at every step (`dpo_losses`, `pair_metrics`) do not,
because checking whether a tensor on a GPU is finite makes the CPU wait. In these functions a NaN stays a NaN, and the
trainer checks for it once per step.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "check_beta",
    "check_logps",
    "compute_dpo_loss",
    "compute_implicit_reward",
    "dpo_losses",
    "gradient_weight",
    "margin",
    "pair_metrics",
    "preference_nll",
    "reward_metrics",
    "smoothed_nll",
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

    This is the cross-entropy of a classifier that predicts which of two responses was preferred. The classifier's logit
    is the margin between their implicit rewards. At π = π_ref the loss is ln 2 for every β, and its gradient is not
    zero. Rafailov et al. 2023, equation 7.

    Args:
        policy_chosen_logps: log π(y_w|x) of the chosen responses, nats.
        policy_rejected_logps: log π(y_l|x) of the rejected responses, nats.
        reference_chosen_logps: log π_ref(y_w|x), nats.
        reference_rejected_logps: log π_ref(y_l|x), nats.
        beta: strength of the pull towards the reference; above 0, typically 0.05 to 0.5.

    Returns:
        The mean loss, a scalar of at least 0, nats.

    Raises:
        ValueError: the shapes differ, the batch is empty, a logp is not finite, or beta is not a positive number.

    >>> policy, reference = torch.tensor([-50.0]), torch.tensor([-51.0])
    >>> compute_dpo_loss(policy, reference - 1.0, reference, reference, beta=0.1).item()  # doctest: +ELLIPSIS
    0.5981...
    """
    check_beta(beta)
    check_logps(
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
    """The DPO loss of each pair, without input checks. `compute_dpo_loss` averages it and the trainer minimises it.

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
    """The negative log-likelihood of a preference, given the margin between the rewards of its two responses.

        -log P(y_w ≻ y_l) = -log σ(m),   m = r(x, y_w) - r(x, y_l)

    The model of Bradley and Terry 1952; Rafailov et al. 2023, equation 1. In float32, `-log(sigmoid(m))` would overflow
    for margins below about -88; `logsigmoid` does not.

    Args:
        margins: reward differences r(x, y_w) - r(x, y_l), of any shape, nats; not checked.

    Returns:
        One value per margin, at least 0, nats.

    >>> preference_nll(torch.tensor([0.0, 2.0]))
    tensor([0.6931, 0.1269])
    """
    return -F.logsigmoid(margins)


def smoothed_nll(margins: Float[Tensor, "*shape"], label_smoothing: float) -> Float[Tensor, "*shape"]:
    """The expected negative log-likelihood of a preference whose label is wrong with probability ε.

        -(1 - ε) log σ(m) - ε log σ(-m)

    Args:
        margins: reward differences r(x, y_w) - r(x, y_l), of any shape, nats; not checked.
        label_smoothing: ε, at least 0 and below 1/2; not checked. With ε = 0 it is `preference_nll`.

    Returns:
        One value per margin, nats, lowest at m = ln((1 - ε) / ε).

    >>> smoothed_nll(torch.tensor([1.0]), 0.25)  # 0.75 x 0.3133 + 0.25 x 1.3133
    tensor([0.5633])
    """
    if label_smoothing == 0:  # 0 times an infinite loss would be NaN
        return preference_nll(margins)
    return (1 - label_smoothing) * preference_nll(margins) + label_smoothing * preference_nll(-margins)


def margin(
    policy_chosen_logps: Float[Tensor, " batch"],
    policy_rejected_logps: Float[Tensor, " batch"],
    reference_chosen_logps: Float[Tensor, " batch"],
    reference_rejected_logps: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> Float[Tensor, " batch"]:
    """The implicit reward of each chosen response minus that of the rejected response.

        m = r̂(x, y_w) - r̂(x, y_l),   r̂(x, y) = β (log π(y|x) - log π_ref(y|x))

    σ(m) is the probability that the policy assigns to the label. A positive margin, with σ(m) > 1/2, means that the
    policy has moved in the right direction from the reference. Rafailov et al. 2023, section 4.

    Args, Raises: as `compute_dpo_loss`.

    Returns:
        One margin per pair, nats.

    >>> one = torch.ones(1)
    >>> margin(-50 * one, -52 * one, -51 * one, -51 * one, beta=0.5)
    tensor([1.])
    """
    check_beta(beta)
    check_logps(
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
    """The reward that a policy implies, up to a constant that depends only on the prompt.

        r̂(x, y) = β (log π(y|x) - log π_ref(y|x))

    The omitted constant is β log Z(x). It is the same for all responses to one prompt, so differences between their
    rewards are exact. Rafailov et al. 2023, equation 5.

    Args:
        policy_logps: log π(y|x), nats.
        reference_logps: log π_ref(y|x) of the same responses, nats.
        beta: the β of the policy's training; above 0.

    Returns:
        One reward per response, nats.

    Raises:
        ValueError: the shapes differ, the batch is empty, a logp is not finite, or beta is not a positive number.

    >>> compute_implicit_reward(torch.tensor([-50.0, -52.0]), torch.tensor([-51.0, -51.0]), beta=0.1)
    tensor([ 0.1000, -0.1000])
    """
    check_beta(beta)
    check_logps(policy_logps=policy_logps, reference_logps=reference_logps)
    return beta * (policy_logps - reference_logps)


def gradient_weight(margins: Float[Tensor, " batch"], beta: float = 0.1) -> Float[Tensor, " batch"]:
    """The weight of each pair in the gradient of the loss.

        w = β σ(-m),   ∂L/∂ log π(y_w|x) = -w / batch,   ∂L/∂ log π(y_l|x) = +w / batch

    The weight is β/2 where the policy equals the reference, close to β for a pair with a large negative margin, and
    close to 0 for a pair with a large positive margin. Rafailov et al. 2023, section 4, "What does the DPO update do?".

    Args:
        margins: one margin per pair, nats, as returned by `margin`.
        beta: the β that the margins were computed with; above 0.

    Returns:
        One weight per pair, between 0 and beta.

    Raises:
        ValueError: the batch is empty, a margin is not finite, or beta is not a positive number.

    >>> gradient_weight(torch.tensor([0.0]), beta=0.1)
    tensor([0.0500])
    """
    check_beta(beta)
    check_logps(margins=margins)
    return beta * torch.sigmoid(-margins)


def pair_metrics(
    policy_logps: Float[Tensor, "pairs 2"], reference_logps: Float[Tensor, "pairs 2"], beta: float = 0.1
) -> dict[str, Float[Tensor, " pairs"]]:
    """The loss and all other reported metrics of each pair, without input checks.

    Args:
        policy_logps: log π of the chosen and the rejected response, nats.
        reference_logps: log π_ref of the same responses, nats.
        beta: the β of the rewards; above 0.

    Returns:
        One value per pair for `loss` (see `dpo_losses`), `margin`, `preference_accuracy` (1 where the margin is
        positive, 1/2 where it is 0), `chosen_logps`, `rejected_logps`, `chosen_rewards` and `rejected_rewards`.
    """
    chosen_logps, rejected_logps = policy_logps.unbind(dim=1)  # (pairs, 2) -> two times (pairs,)
    reference_chosen, reference_rejected = reference_logps.unbind(dim=1)
    four = (chosen_logps, rejected_logps, reference_chosen, reference_rejected)
    return {"loss": dpo_losses(*four, beta), **reward_metrics(*four, beta)}


def reward_metrics(
    policy_chosen_logps: Float[Tensor, " batch"],
    policy_rejected_logps: Float[Tensor, " batch"],
    reference_chosen_logps: Float[Tensor, " batch"],
    reference_rejected_logps: Float[Tensor, " batch"],
    beta: float = 0.1,
) -> dict[str, Float[Tensor, " batch"]]:
    """The metrics of `pair_metrics` except the loss: they have the same meaning for every loss with a reference."""
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps)
    margins = chosen_rewards - rejected_rewards
    return {
        "margin": margins,
        "preference_accuracy": (1 + margins.sign()) / 2,
        "chosen_logps": policy_chosen_logps,
        "rejected_logps": policy_rejected_logps,
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


def check_beta(beta: float) -> None:
    """Reject a β that is not a finite number above 0."""
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be a finite number above 0, found {beta}")


def check_logps(**logps: Tensor) -> None:
    """Reject inputs that would silently give a wrong number: shapes that broadcast, empty batches, NaN and infinity."""
    first_name, first = next(iter(logps.items()))
    for name, values in logps.items():
        if values.shape != first.shape:
            raise ValueError(
                f"{name} has shape {tuple(values.shape)}, but {first_name} has shape {tuple(first.shape)}: "
                "the shapes must match, with one logp per response"
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

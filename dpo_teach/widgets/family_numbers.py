"""The numbers of one pair under any loss of the family; `js/family.js` has the same functions."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dpo_teach.loss_family import PairLogps, compute_losses

__all__ = ["REFERENCE_MEAN_LOGP", "FamilyNumbers", "best_difference", "read_family"]

REFERENCE_MEAN_LOGP = -1.25
"""Of both responses under the reference, nats per token: losses without a reference depend on it."""

_HALVINGS = 60  # of the part of the chart in which the lowest loss is searched


@dataclass(frozen=True)
class FamilyNumbers:
    """One pair under one loss.

    Args:
        loss: in the unit of that loss.
        chosen_pull: -∂ℓ/∂x: how strongly a step of gradient descent pushes the log-ratio of the chosen response up.
        rejected_pull: -∂ℓ/∂y: the same for the rejected response, usually negative.
    """

    loss: float
    chosen_pull: float
    rejected_pull: float


def read_family(
    loss: str,
    chosen_log_ratio: float,
    rejected_log_ratio: float,
    *,
    settings: Mapping[str, float],
    lengths: tuple[float, float] = (24.0, 24.0),
    kl: float = 0.0,
) -> FamilyNumbers:
    """Compute the loss of one pair, and its derivatives by autograd.

    The policy's logps are log π_ref + x for the chosen and log π_ref + y for the rejected response, where log π_ref is
    `REFERENCE_MEAN_LOGP` times the length.

    Args:
        loss: name of a member of `dpo_teach.loss_family.LOSSES`.
        chosen_log_ratio: x = log π(y_w|x) - log π_ref(y_w|x), nats.
        rejected_log_ratio: y = log π(y_l|x) - log π_ref(y_l|x), nats.
        settings: the settings of the member.
        lengths: tokens of the chosen and the rejected response.
        kl: KTO's z₀, nats.

    Returns:
        The loss and both derivatives.

    >>> point = read_family("ipo", 2.0, -2.0, settings={"beta": 0.1})
    >>> point.loss, point.chosen_pull, point.rejected_pull  # (4 - 5)², and its slope
    (1.0, 2.0, -2.0)
    """
    log_ratios = torch.tensor([[chosen_log_ratio, rejected_log_ratio]], dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([lengths], dtype=torch.float64)
    reference = REFERENCE_MEAN_LOGP * tokens
    pair = PairLogps.from_columns(log_ratios + reference, reference, tokens, kl)
    value = compute_losses(pair, loss, **settings).sum()
    (slopes,) = torch.autograd.grad(value, log_ratios)
    chosen, rejected = (-slopes[0]).tolist()
    return FamilyNumbers(value.item(), chosen, rejected)


def best_difference(
    loss: str,
    total: float,
    *,
    settings: Mapping[str, float],
    lengths: tuple[float, float] = (24.0, 24.0),
    kl: float = 0.0,
    most: float = 40.0,
) -> float | None:
    """The difference x - y at which the loss stops falling, if x + y is held constant.

    Args:
        loss: name of a member.
        total: x + y, nats.
        settings: the settings of the member.
        lengths: tokens of the chosen and the rejected response.
        kl: KTO's z₀, nats.
        most: differences from 0 to `most` are searched, nats. At 0 every loss of the family falls.

    Returns:
        The smallest such difference, nats; None if the loss falls up to `most`.

    >>> round(best_difference("sigmoid", 0.0, settings={"beta": 0.5, "label_smoothing": 0.25}), 6)  # 2 ln 3
    2.197225
    >>> best_difference("sigmoid", 0.0, settings={"beta": 0.5}) is None
    True
    """

    def falls(difference: float) -> bool:
        x, y = (total + difference) / 2, (total - difference) / 2
        point = read_family(loss, x, y, settings=settings, lengths=lengths, kl=kl)
        return point.chosen_pull - point.rejected_pull > 0

    if falls(most):
        return None
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falls(middle) else (low, middle)
    return high

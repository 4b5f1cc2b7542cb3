"""The numbers at one point of the plane of the log-ratios; `js/dpo.js` has the same functions."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dpo_teach.losses import smoothed_nll

__all__ = ["PointNumbers", "margins_at_loss", "quadrant_of", "read_point"]

_HALVINGS = 100  # of an interval of margins: more than the digits of a float


@dataclass(frozen=True)
class PointNumbers:
    """The numbers at one point of the plane.

    Args:
        difference: chosen minus rejected log-ratio, nats.
        margin: β times the difference.
        loss: -(1 - ε) log σ(margin) - ε log σ(-margin), nats.
        gradient_weight: β (σ(-margin) - ε): the step pushes the chosen log-ratio up and the rejected one down by
            amounts proportional to it; negative beyond the lowest loss.
        best_difference: the difference of log-ratios with the lowest loss, nats; infinite if ε = 0.
        quadrant: which log-ratios rose, in words.
    """

    difference: float
    margin: float
    loss: float
    gradient_weight: float
    best_difference: float
    quadrant: str


def read_point(
    chosen_log_ratio: float, rejected_log_ratio: float, *, beta: float, label_smoothing: float = 0.0
) -> PointNumbers:
    """Compute the numbers at one point of the plane.

        m = β (x - y),   L = -(1 - ε) log σ(m) - ε log σ(-m),   -∂L/∂x = ∂L/∂y = β (σ(-m) - ε)

    x and y are the log-ratios of the chosen and the rejected response. L is lowest at m = log((1 - ε) / ε). With
    ε = 0 it is the loss of Rafailov et al. 2023, equation 7; ε is the share of labels that are assumed to be wrong
    (Mitchell 2023, "A note on DPO with noisy preferences", equation 3).

    Args:
        chosen_log_ratio: log π(y_w|x) - log π_ref(y_w|x), nats.
        rejected_log_ratio: log π(y_l|x) - log π_ref(y_l|x), nats.
        beta: above 0.
        label_smoothing: ε, 0 to below 0.5.

    Returns:
        All numbers.

    >>> point = read_point(-4.0, -8.0, beta=0.1)
    >>> round(point.margin, 4), round(point.loss, 4), round(point.gradient_weight, 4), point.quadrant
    (0.4, 0.513, 0.0401, 'both fell, rejected more')
    """
    difference = chosen_log_ratio - rejected_log_ratio
    m = torch.tensor(beta * difference, dtype=torch.float64)
    return PointNumbers(
        difference=difference,
        margin=m.item(),
        loss=smoothed_nll(m, label_smoothing).item(),
        gradient_weight=beta * (torch.sigmoid(-m).item() - label_smoothing),
        best_difference=_best_margin(label_smoothing) / beta,
        quadrant=quadrant_of(chosen_log_ratio, rejected_log_ratio),
    )


def quadrant_of(chosen_log_ratio: float, rejected_log_ratio: float) -> str:
    """Which log-ratios rose, in words; where both rose or both fell, also which one moved more.

    >>> [quadrant_of(*point) for point in [(4.0, -6.0), (10.0, 4.0), (-4.0, -8.0), (0.0, 0.0)]]
    ['chosen up, rejected down', 'both rose, chosen more', 'both fell, rejected more', 'policy = reference']
    """
    x, y = chosen_log_ratio, rejected_log_ratio
    if x == y == 0:
        return "policy = reference"
    if x * y <= 0:
        return "chosen up, rejected down" if x > y else "chosen down, rejected up"
    moved = "both rose" if x > 0 else "both fell"
    if x == y:
        return f"{moved} equally"
    return f"{moved}, {'chosen' if abs(x) > abs(y) else 'rejected'} more"


def margins_at_loss(loss: float, label_smoothing: float = 0.0) -> tuple[float, float] | None:
    """The two margins with a given loss, below and above the margin of the lowest loss.

        -(1 - ε) log σ(m) - ε log σ(-m) = loss

    Args:
        loss: above 0, nats.
        label_smoothing: ε, 0 to below 0.5. With ε = 0 the loss falls for ever, and the upper margin is infinite.

    Returns:
        Both margins; None if the loss is nowhere so low.

    >>> margins_at_loss(math.log(2))
    (0.0, inf)
    >>> round(margins_at_loss(math.log(2), 0.1)[1], 4)
    6.9216
    """
    best, e = _best_margin(label_smoothing), label_smoothing

    def at(margin: float) -> float:
        return smoothed_nll(torch.tensor(margin, dtype=torch.float64), e).item()

    if e == 0:
        return -loss - math.log(-math.expm1(-loss)), math.inf
    if loss < at(best):
        return None
    return _halve(at, loss, -loss / (1 - e), best), _halve(at, loss, loss / e, best)


def _halve(at: Callable[[float], float], loss: float, outside: float, inside: float) -> float:
    """The margin between two others with a given loss, by bisection: `outside` has at least this loss."""
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if at(middle) > loss:
            outside = middle
        else:
            inside = middle
    return inside


def _best_margin(label_smoothing: float) -> float:
    return math.inf if label_smoothing == 0 else math.log((1 - label_smoothing) / label_smoothing)

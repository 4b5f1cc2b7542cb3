"""All that the loss says about one pair, as numbers: what the loss explorer shows."""

import math
from dataclasses import dataclass

import torch

from dpo_teach.losses import compute_dpo_loss, gradient_weight, margin

__all__ = ["PRESETS", "PairReading", "read_pair"]

PRESETS: dict[str, tuple[float, float, float, float]] = {
    "example 1": (-50.0, -52.0, -51.0, -51.0),
    "example 2": (-45.0, -48.0, -46.0, -46.0),
    "example 3": (-55.0, -58.0, -56.0, -56.0),
    "example 4": (-48.0, -46.0, -49.0, -49.0),
    "policy = reference": (-50.0, -52.0, -50.0, -52.0),
    "both fell": (-55.0, -59.0, -51.0, -51.0),
    "confused": (-56.0, -46.0, -51.0, -51.0),
}
"""log-probabilities of (policy chosen, policy rejected, reference chosen, reference rejected), nats."""


@dataclass(frozen=True)
class PairReading:
    """All that the loss says about one pair.

    Args:
        chosen_log_ratio: log π - log π_ref of the chosen response, nats.
        rejected_log_ratio: the same of the rejected one.
        margin: β times their difference, nats.
        probability: σ(margin), what the policy gives to the label.
        loss: -log σ(margin), nats.
        gradient_weight: β σ(-margin).
        best_difference: the difference of log-ratios at which the expected loss is least, nats.
    """

    chosen_log_ratio: float
    rejected_log_ratio: float
    margin: float
    probability: float
    loss: float
    gradient_weight: float
    best_difference: float

    @property
    def difference(self) -> float:
        """Chosen minus rejected log-ratio, nats."""
        return self.chosen_log_ratio - self.rejected_log_ratio


def read_pair(
    *,
    policy_chosen: float,
    policy_rejected: float,
    reference_chosen: float,
    reference_rejected: float,
    beta: float,
    agreement: float = 0.75,
) -> PairReading:
    """Follow one pair from four log-probabilities to the gradient weight, with the functions of `dpo_teach.losses`.

        best difference = log( p / (1 - p) ) / β

    Args:
        policy_chosen: log π(y_w|x), nats.
        policy_rejected: log π(y_l|x), nats.
        reference_chosen: log π_ref(y_w|x), nats.
        reference_rejected: log π_ref(y_l|x), nats.
        beta: above 0.
        agreement: p, the share of annotators who prefer the chosen response; between 0 and 1.

    Returns:
        Every value on the way.

    >>> pair = read_pair(
    ...     policy_chosen=-50.0, policy_rejected=-52.0, reference_chosen=-51.0, reference_rejected=-51.0, beta=0.1
    ... )
    >>> round(pair.margin, 4)
    0.2
    """
    chosen, rejected, anchor_chosen, anchor_rejected = (
        torch.tensor([value], dtype=torch.float64)
        for value in (policy_chosen, policy_rejected, reference_chosen, reference_rejected)
    )
    m = margin(chosen, rejected, anchor_chosen, anchor_rejected, beta)
    return PairReading(
        chosen_log_ratio=policy_chosen - reference_chosen,
        rejected_log_ratio=policy_rejected - reference_rejected,
        margin=m.item(),
        probability=torch.sigmoid(m).item(),
        loss=compute_dpo_loss(chosen, rejected, anchor_chosen, anchor_rejected, beta).item(),
        gradient_weight=gradient_weight(m, beta).item(),
        best_difference=math.log(agreement / (1 - agreement)) / beta,
    )

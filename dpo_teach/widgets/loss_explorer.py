"""The loss explorer: four log-probabilities and β, and everything that follows from them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import traitlets

from dpo_teach.losses import compute_dpo_loss, gradient_weight, margin
from dpo_teach.widgets.explorer import CUSTOM, Explorer, Number, check_choice, preset_of

__all__ = ["PRESETS", "LossExplorer", "PairNumbers", "read_pair"]

_LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")

PRESETS: dict[str, tuple[float, float, float, float]] = {
    "example 1": (-50.0, -52.0, -51.0, -51.0),
    "example 2": (-45.0, -48.0, -46.0, -46.0),
    "example 3": (-55.0, -58.0, -56.0, -56.0),
    "example 4": (-48.0, -46.0, -49.0, -49.0),
    "policy = reference": (-50.0, -52.0, -50.0, -52.0),
    "both fell": (-55.0, -59.0, -51.0, -51.0),
    "confused": (-56.0, -46.0, -51.0, -51.0),
}
"""Log-probabilities (policy chosen, policy rejected, reference chosen, reference rejected), nats."""


@dataclass(frozen=True)
class PairNumbers:
    """The numbers that the loss computes from one pair.

    Args:
        chosen_log_ratio: log π - log π_ref of the chosen response, nats.
        rejected_log_ratio: the same for the rejected response.
        margin: β times their difference, nats.
        probability: σ(margin), the probability that the policy gives to the annotator's choice.
        loss: -log σ(margin), nats.
        gradient_weight: β σ(-margin).
        best_difference: the difference of log-ratios with the lowest expected loss, nats.
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
) -> PairNumbers:
    """Compute every number of one pair, from the log-probabilities to the gradient weight, with `dpo_teach.losses`.

        best difference = log( p / (1 - p) ) / β

    Args:
        policy_chosen: log π(y_w|x), nats.
        policy_rejected: log π(y_l|x), nats.
        reference_chosen: log π_ref(y_w|x), nats.
        reference_rejected: log π_ref(y_l|x), nats.
        beta: above 0.
        agreement: p, the share of annotators who prefer the chosen response; between 0 and 1.

    Returns:
        All intermediate values.

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
    return PairNumbers(
        chosen_log_ratio=policy_chosen - reference_chosen,
        rejected_log_ratio=policy_rejected - reference_rejected,
        margin=m.item(),
        probability=torch.sigmoid(m).item(),
        loss=compute_dpo_loss(chosen, rejected, anchor_chosen, anchor_rejected, beta).item(),
        gradient_weight=gradient_weight(m, beta).item(),
        best_difference=math.log(agreement / (1 - agreement)) / beta,
    )


class LossExplorer(Explorer, module="loss_explorer", render="lossExplorer"):
    """One preference pair: change a log-probability or β, and see every number that depends on it change.

    Args:
        policy_chosen, policy_rejected, reference_chosen, reference_rejected: log-probabilities, nats, -2000 to 0.
        beta: 0.001 to 10.
        agreement: the share of annotators who prefer the chosen response, 0.5 to 0.99.
        preset: a name from `PRESETS`, instead of the four log-probabilities.

    Raises:
        traitlets.TraitError: a value is out of range, or the preset is unknown.

    >>> LossExplorer(preset="example 1").values.difference
    2.0
    """

    settings = ("preset", *_LOGPS, "beta", "agreement")

    policy_chosen = Number(-50.0, least=-2000.0, most=0.0)
    policy_rejected = Number(-52.0, least=-2000.0, most=0.0)
    reference_chosen = Number(-51.0, least=-2000.0, most=0.0)
    reference_rejected = Number(-51.0, least=-2000.0, most=0.0)
    beta = Number(0.1, least=0.001, most=10.0)
    agreement = Number(0.75, least=0.5, most=0.99)
    presets = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        policy_chosen: float = -50.0,
        policy_rejected: float = -52.0,
        reference_chosen: float = -51.0,
        reference_rejected: float = -51.0,
        beta: float = 0.1,
        agreement: float = 0.75,
        preset: str | None = None,
    ) -> None:
        logps = (policy_chosen, policy_rejected, reference_chosen, reference_rejected)
        if preset is not None:
            logps = PRESETS.get(_check_preset(preset), logps)
        super().__init__(
            presets={name: dict(zip(_LOGPS, values, strict=True)) for name, values in PRESETS.items()},
            beta=beta,
            agreement=agreement,
            **dict(zip(_LOGPS, logps, strict=True)),
        )

    @property
    def preset(self) -> str:
        """The name of the preset, "your own" for other log-probabilities; setting it sets the log-probabilities."""
        return preset_of(tuple(getattr(self, name) for name in _LOGPS), PRESETS)

    @preset.setter
    def preset(self, name: str) -> None:
        self.set(preset=name)

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A preset sets the four log-probabilities, except those that are given as well."""
        if "preset" in values:
            values = {**self.presets.get(_check_preset(values.pop("preset")), {}), **values}
        return values

    @property
    def values(self) -> PairNumbers:
        """The numbers that the explorer shows."""
        return read_pair(**{name: getattr(self, name) for name in _LOGPS}, beta=self.beta, agreement=self.agreement)

    def describe(self) -> str:
        """The whole computation in one line."""
        v = self.values
        return (
            f"LossExplorer: log-ratios chosen {v.chosen_log_ratio:+.2f} and rejected {v.rejected_log_ratio:+.2f}, "
            f"difference {v.difference:+.2f}, times beta {self.beta:.3g} gives margin {v.margin:+.3f}, "
            f"probability {v.probability:.4f}, loss {v.loss:.4f}, gradient weight {v.gradient_weight:.4f}; "
            f"with {100 * self.agreement:.0f} % agreement the optimum is a difference of {v.best_difference:.2f} nats"
        )


def _check_preset(name: str) -> str:
    return check_choice("preset", name, [*PRESETS, CUSTOM])

"""The loss explorer: four log-probabilities and β, and everything that follows from them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import traitlets

from dpo_teach.losses import compute_dpo_loss, gradient_weight, margin
from dpo_teach.widgets.explorer import CUSTOM, Explorer, Number, check_bounds, check_choice, preset_of

__all__ = ["PRESETS", "LossExplorer", "PairNumbers", "move_apart", "read_pair"]

_LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
_LEAST, _MOST = -2000.0, 0.0  # log-probabilities, nats

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
        best_difference: the difference of log-ratios with the lowest expected loss, nats; infinite if all annotators
            agree.
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
        agreement: p, the share of annotators who prefer the chosen response; above 0, up to 1.

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
        best_difference=math.inf if agreement == 1 else math.log(agreement / (1 - agreement)) / beta,
    )


def move_apart(
    difference: float,
    *,
    policy_chosen: float,
    policy_rejected: float,
    reference_chosen: float,
    reference_rejected: float,
) -> tuple[float, float]:
    """The policy's log-probabilities with a given difference of the log-ratios; the reference stays.

    Both move by the same amount in opposite directions, as the gradient of the loss moves them. If one of them reaches
    a bound, -2000 or 0, the other moves further.

    Args:
        difference: chosen minus rejected log-ratio, nats; beyond the reach of the bounds, the nearest.
        policy_chosen: log π(y_w|x), nats.
        policy_rejected: log π(y_l|x), nats.
        reference_chosen: log π_ref(y_w|x), nats.
        reference_rejected: log π_ref(y_l|x), nats.

    Returns:
        The new `policy_chosen` and `policy_rejected`.

    >>> move_apart(
    ...     6.0, policy_chosen=-50.0, policy_rejected=-52.0, reference_chosen=-51.0, reference_rejected=-51.0
    ... )
    (-48.0, -54.0)
    """
    widest = _MOST - _LEAST
    gap = min(max(difference + reference_chosen - reference_rejected, -widest), widest)  # between the policy's two
    middle = (policy_chosen + policy_rejected) / 2
    chosen = min(max(middle + gap / 2, _LEAST, _LEAST + gap), _MOST, _MOST + gap)
    return chosen, _within_bounds(chosen - gap)


class LossExplorer(Explorer, module="loss_explorer", render="lossExplorer"):
    """One preference pair: change a log-probability or β, and see every number that depends on it change.

    Args:
        policy_chosen, policy_rejected, reference_chosen, reference_rejected: log-probabilities, nats, -2000 to 0.
        beta: 0.001 to 10.
        agreement: the share of annotators who prefer the chosen response, 0.5 to 1.
        preset: a name from `PRESETS`, instead of the four log-probabilities.

    Raises:
        traitlets.TraitError: a value is out of range, or the preset is unknown.

    Three more settings follow from the log-probabilities, and setting one moves those of the policy:
    `chosen_log_ratio`, `rejected_log_ratio` and their `difference`.

    >>> explorer = LossExplorer(preset="example 1")
    >>> explorer.chosen_log_ratio = 5
    >>> explorer.policy_chosen, explorer.difference
    (-46.0, 6.0)
    """

    settings = ("preset", *_LOGPS, "chosen_log_ratio", "rejected_log_ratio", "difference", "beta", "agreement")

    policy_chosen = Number(-50.0, least=_LEAST, most=_MOST)
    policy_rejected = Number(-52.0, least=_LEAST, most=_MOST)
    reference_chosen = Number(-51.0, least=_LEAST, most=_MOST)
    reference_rejected = Number(-51.0, least=_LEAST, most=_MOST)
    beta = Number(0.1, least=0.001, most=10.0)
    agreement = Number(0.75, least=0.5, most=1.0)
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

    @property
    def chosen_log_ratio(self) -> float:
        """log π - log π_ref of the chosen response, nats; setting it moves `policy_chosen`."""
        return self.policy_chosen - self.reference_chosen

    @chosen_log_ratio.setter
    def chosen_log_ratio(self, value: float | int) -> None:
        self.set(chosen_log_ratio=value)

    @property
    def rejected_log_ratio(self) -> float:
        """log π - log π_ref of the rejected response, nats; setting it moves `policy_rejected`."""
        return self.policy_rejected - self.reference_rejected

    @rejected_log_ratio.setter
    def rejected_log_ratio(self, value: float | int) -> None:
        self.set(rejected_log_ratio=value)

    @property
    def difference(self) -> float:
        """Chosen minus rejected log-ratio, nats; setting it moves the policy as `move_apart` does."""
        return self.chosen_log_ratio - self.rejected_log_ratio

    @difference.setter
    def difference(self, value: float | int) -> None:
        self.set(difference=value)

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A preset sets the log-probabilities, except those that are given as well; a log-ratio moves the policy."""
        if "preset" in values:
            values = {**self.presets.get(_check_preset(values.pop("preset")), {}), **values}
        logps = {name: values.get(name, getattr(self, name)) for name in _LOGPS}
        for response in ("chosen", "rejected"):
            if (name := f"{response}_log_ratio") in values:
                reference = logps[f"reference_{response}"]
                log_ratio = check_bounds(values.pop(name), name, _LEAST - reference, _MOST - reference)
                values[f"policy_{response}"] = logps[f"policy_{response}"] = _within_bounds(reference + log_ratio)
        if "difference" in values:
            widest, middle = _MOST - _LEAST, logps["reference_rejected"] - logps["reference_chosen"]
            difference = check_bounds(values.pop("difference"), "difference", middle - widest, middle + widest)
            values["policy_chosen"], values["policy_rejected"] = move_apart(difference, **logps)
        return values

    @property
    def values(self) -> PairNumbers:
        """The numbers that the explorer shows."""
        return read_pair(**{name: getattr(self, name) for name in _LOGPS}, beta=self.beta, agreement=self.agreement)

    def describe(self) -> str:
        """The whole computation in one line."""
        v = self.values
        optimum = (
            "loss has no minimum" if self.agreement == 1 else f"optimum is a difference of {v.best_difference:.2f} nats"
        )
        return (
            f"LossExplorer: log-ratios chosen {v.chosen_log_ratio:+.2f} and rejected {v.rejected_log_ratio:+.2f}, "
            f"difference {v.difference:+.2f}, times beta {self.beta:.3g} gives margin {v.margin:+.3f}, "
            f"probability {v.probability:.4f}, loss {v.loss:.4f}, gradient weight {v.gradient_weight:.4f}; "
            f"with {100 * self.agreement:.0f} % agreement the {optimum}"
        )


def _within_bounds(logp: float) -> float:
    """A log-probability without the rounding error that would put it outside the bounds."""
    return min(max(logp, _LEAST), _MOST)


def _check_preset(name: str) -> str:
    return check_choice("preset", name, [*PRESETS, CUSTOM])

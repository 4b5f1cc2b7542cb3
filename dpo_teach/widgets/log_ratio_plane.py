"""The plane of the log-ratios: chosen against rejected, lines of equal loss, and the pairs of a recorded run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import traitlets

from dpo_teach.losses import preference_nll
from dpo_teach.training.pair_history import PairHistory, read_history
from dpo_teach.widgets.explorer import CUSTOM, Explorer, Number, check_choice, preset_of

__all__ = ["POINTS", "LogRatioPlane", "PointNumbers", "margins_at_loss", "quadrant_of", "read_point"]

_MOST = 2000.0  # of a log-ratio, nats
_LARGEST_SMOOTHING = 0.4
_HALVINGS = 100  # of an interval of margins: more than the digits of a float

POINTS: dict[str, tuple[float, float]] = {
    "policy = reference": (0.0, 0.0),
    "chosen up, rejected down": (4.0, -6.0),
    "both rose": (10.0, 4.0),
    "both fell": (-4.0, -8.0),
    "confused": (-5.0, 5.0),
}
"""Log-ratios (chosen, rejected), nats."""


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
    loss = (1 - label_smoothing) * preference_nll(m) + label_smoothing * preference_nll(-m)
    return PointNumbers(
        difference=difference,
        margin=m.item(),
        loss=loss.item(),
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
    >>> [round(m, 4) for m in margins_at_loss(math.log(2), 0.1)]
    [-0.0, 6.5931]
    """
    best, e = _best_margin(label_smoothing), label_smoothing

    def at(margin: float) -> float:
        return (1 - e) * _nll(margin) + e * _nll(-margin)

    if e == 0:
        return -loss - math.log(-math.expm1(-loss)), math.inf
    if loss < at(best):
        return None
    return _halve(at, loss, -loss / (1 - e), best), _halve(at, loss, loss / e, best)


def _halve(at: Any, loss: float, outside: float, inside: float) -> float:
    """The margin between two others with a given loss, by bisection: `outside` has at least this loss."""
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if at(middle) > loss:
            outside = middle
        else:
            inside = middle
    return inside


def _nll(margin: float) -> float:
    return max(-margin, 0.0) + math.log1p(math.exp(-abs(margin)))


def _best_margin(label_smoothing: float) -> float:
    return math.inf if label_smoothing == 0 else math.log((1 - label_smoothing) / label_smoothing)


class LogRatioPlane(Explorer, module="log_ratio_plane", render="logRatioPlane"):
    """One pair as a point in the plane of the two log-ratios, and the pairs of a recorded run as a cloud.

    Args:
        chosen_log_ratio, rejected_log_ratio: log π - log π_ref of the two responses, nats, -2000 to 2000.
        beta: 0.001 to 10; by default that of the history, or 0.1.
        label_smoothing: ε, 0 to 0.4.
        preset: a name from `POINTS`, instead of the two log-ratios. The default is "both fell" or, with a history,
            "policy = reference".
        history: a recorded run, or the name of a bundled one.
        step: the recorded step to show; the last by default.

    Raises:
        traitlets.TraitError: a value is out of range, the preset is unknown, or the step is not recorded.
        ValueError: the history is unknown or invalid.

    >>> plane = LogRatioPlane(preset="both rose", beta=0.5)
    >>> plane.values.margin
    3.0
    """

    settings = ("preset", "chosen_log_ratio", "rejected_log_ratio", "beta", "label_smoothing", "step")

    chosen_log_ratio = Number(-4.0, least=-_MOST, most=_MOST)
    rejected_log_ratio = Number(-8.0, least=-_MOST, most=_MOST)
    beta = Number(0.1, least=0.001, most=10.0)
    label_smoothing = Number(0.0, least=0.0, most=_LARGEST_SMOOTHING)
    presets = traitlets.Dict().tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)
    shown_step = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        *,
        chosen_log_ratio: float | None = None,
        rejected_log_ratio: float | None = None,
        beta: float | None = None,
        label_smoothing: float = 0.0,
        preset: str | None = None,
        history: PairHistory | str | Path | None = None,
        step: int | None = None,
    ) -> None:
        found = history if isinstance(history, PairHistory) or history is None else read_history(history)
        default = "both fell" if found is None else "policy = reference"
        chosen, rejected = POINTS.get(_check_preset(preset or default), POINTS[default])
        if preset is None or preset == CUSTOM:
            chosen = chosen if chosen_log_ratio is None else chosen_log_ratio
            rejected = rejected if rejected_log_ratio is None else rejected_log_ratio
        recorded_beta = None if found is None else found.beta
        super().__init__(
            presets={name: dict(zip(_POINT, point, strict=True)) for name, point in POINTS.items()},
            recorded={} if found is None else found.as_dict(),
            chosen_log_ratio=chosen,
            rejected_log_ratio=rejected,
            beta=(recorded_beta or 0.1) if beta is None else beta,
            label_smoothing=label_smoothing,
            shown_step=0 if found is None else found.steps[-1],
        )
        if step is not None:
            self.set(step=step)

    @property
    def preset(self) -> str:
        """The name of the preset, "your own" for other log-ratios; setting it sets the log-ratios."""
        return preset_of((self.chosen_log_ratio, self.rejected_log_ratio), POINTS)

    @preset.setter
    def preset(self, name: str) -> None:
        self.set(preset=name)

    @property
    def step(self) -> int | None:
        """The recorded step that is shown; None without a history. It can be set to any recorded step."""
        return self.shown_step if self.recorded else None

    @step.setter
    def step(self, step: int) -> None:
        self.set(step=step)

    @property
    def history(self) -> PairHistory | None:
        """The recorded run, with log-ratios rounded to 0.01 nats; None without one."""
        return PairHistory.from_dict(self.recorded) if self.recorded else None

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A preset sets the log-ratios, except those that are given as well."""
        if "preset" in values:
            values = {**self.presets.get(_check_preset(values.pop("preset")), {}), **values}
        if "step" in values:
            values["shown_step"] = self._check_step(values.pop("step"))
        return values

    @traitlets.validate("shown_step")
    def _recorded_step(self, proposal: Any) -> int:
        return self._check_step(proposal["value"]) if self.recorded else 0

    def _check_step(self, step: Any) -> int:
        if not self.recorded:
            raise traitlets.TraitError(f"step needs a recorded run (history=...), found {step!r}")
        steps = self.recorded["steps"]
        if isinstance(step, bool) or step not in steps:
            known = ", ".join(map(str, steps))
            raise traitlets.TraitError(f"step must be one of the recorded steps {known}, found {step!r}")
        return int(step)

    @property
    def values(self) -> PointNumbers:
        """The numbers at the point."""
        return read_point(self.chosen_log_ratio, self.rejected_log_ratio, beta=self.beta,
                          label_smoothing=self.label_smoothing)  # fmt: skip

    @property
    def cloud_mean(self) -> tuple[float, float] | None:
        """The mean log-ratio of the chosen and of the rejected responses at this step, nats; None without a history."""
        history = self.history
        if history is None:
            return None
        chosen, rejected = history.means[history.steps.index(self.shown_step)].tolist()
        return chosen, rejected

    def describe(self) -> str:
        """The point, and the cloud if there is one, in one line."""
        v = self.values
        text = (
            f"LogRatioPlane: log-ratios chosen {self.chosen_log_ratio:+.2f} and rejected "
            f"{self.rejected_log_ratio:+.2f} ({v.quadrant}), times beta {self.beta:.3g} margin {v.margin:+.3f}, "
            f"loss {v.loss:.4f}, gradient weight {v.gradient_weight:.4f}"
        )
        if self.label_smoothing:
            text += (f"; label smoothing {self.label_smoothing:.3g}, lowest loss at a difference of "
                     f"{v.best_difference:.2f} nats")  # fmt: skip
        return text + self._describe_cloud()

    def _describe_cloud(self) -> str:
        history, mean = self.history, self.cloud_mean
        if history is None or mean is None:
            return ""
        text = (f"; {history.log_ratios.shape[1]} pairs after step {self.shown_step} of {history.steps[-1]}: "
                f"mean chosen {mean[0]:+.2f}, rejected {mean[1]:+.2f}")  # fmt: skip
        if history.kl is None:
            return text
        return f"{text}, KL {history.kl[history.steps.index(self.shown_step)]:.3f} nats"


_POINT = ("chosen_log_ratio", "rejected_log_ratio")


def _check_preset(name: str) -> str:
    return check_choice("preset", name, [*POINTS, CUSTOM])

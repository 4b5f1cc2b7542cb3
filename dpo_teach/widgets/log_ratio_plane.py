"""The plane of the log-ratios: chosen against rejected, lines of equal loss, and the pairs of a recorded run."""

from pathlib import Path
from typing import Any

import traitlets

from dpo_teach.training.pair_history import PairHistory, read_history
from dpo_teach.widgets.explorer import CUSTOM, Explorer, Number, check_choice, preset_of
from dpo_teach.widgets.plane_numbers import PointNumbers, read_point

__all__ = ["POINTS", "LogRatioPlane"]

_POINT = ("chosen_log_ratio", "rejected_log_ratio")
_MOST = 2000.0  # of a log-ratio, nats
_LARGEST_SMOOTHING = 0.4

POINTS: dict[str, tuple[float, float]] = {
    "policy = reference": (0.0, 0.0),
    "chosen up, rejected down": (4.0, -6.0),
    "both rose": (10.0, 4.0),
    "both fell": (-4.0, -8.0),
    "confused": (-5.0, 5.0),
}
"""Log-ratios (chosen, rejected), nats; the first is the default."""


class LogRatioPlane(Explorer, module="log_ratio_plane", render="logRatioPlane"):
    """One pair as a point in the plane of the two log-ratios, and the pairs of a recorded run as a cloud.

    Args:
        chosen_log_ratio, rejected_log_ratio: log π - log π_ref of the two responses, nats, -2000 to 2000.
        beta: 0.001 to 10; by default that of the history, or 0.1.
        label_smoothing: ε, 0 to 0.4.
        preset: a name from `POINTS`, instead of the two log-ratios; "policy = reference" by default.
        history: a recorded run, or the name of a bundled one.
        step: the recorded step to show; the last by default.

    Raises:
        traitlets.TraitError: a value is out of range, the preset is unknown, or the step is not recorded.
        ValueError: the history is unknown or invalid.

    >>> plane = LogRatioPlane(preset="both rose", beta=0.5)
    >>> plane.values.margin
    3.0
    """

    settings = ("preset", *_POINT, "beta", "label_smoothing", "step")

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
        first = next(iter(POINTS))
        chosen, rejected = POINTS.get(_check_preset(preset or first), POINTS[first])
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


def _check_preset(name: str) -> str:
    return check_choice("preset", name, [*POINTS, CUSTOM])

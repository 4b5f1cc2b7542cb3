"""The curves of a training run, drawn during the run."""

from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpo_teach.plots import CHOSEN, MUTED, POLICY, REFERENCE, REJECTED, new_figure
from dpo_teach.widgets.panel import Panel

__all__ = ["LiveCurves"]

_LN_2 = 0.6931
# The colour and line style of each curve; the last two curves share axes.
_CURVES: dict[str, tuple[str, Any]] = {
    "loss": (POLICY, "-"),
    "margin": (POLICY, "-"),
    "preference_accuracy": (POLICY, "-"),
    "chosen": (CHOSEN, "-"),
    "rejected": (REJECTED, (0, (4, 2))),
}
_WORDS = {"loss": "loss", "margin": "margin", "preference_accuracy": "preference accuracy"}


class LiveCurves(Panel):
    """Loss, margin, preference accuracy and both log-probabilities of a DPO run, redrawn every few steps.

    Pass it to the trainer as `on_step`. The log-probabilities of chosen and rejected are drawn as their change since
    the start: batches differ in length, so the values themselves would jump from batch to batch.

    Args:
        steps: the number of steps of the run, for the horizontal axes.
        beta: the run's β, by which implicit rewards are divided to give the change of log P, nats.
        every: the number of steps between redraws; the last step is always drawn.

    Raises:
        ValueError: steps or every is below 1, or beta is not above 0.

    >>> curves = LiveCurves(steps=2, beta=0.5)
    >>> curves({"step": 1, "loss": 0.6931, "margin": 0.0, "preference_accuracy": 0.5,
    ...         "chosen_rewards": 0.0, "rejected_rewards": 0.0})
    >>> curves
    LiveCurves: step 0 of 2, no curve yet
    >>> curves({"step": 2, "loss": 0.5, "margin": 0.4, "preference_accuracy": 0.75,
    ...         "chosen_rewards": 0.1, "rejected_rewards": -0.3})
    >>> curves
    LiveCurves: step 2 of 2, loss 0.500, margin +0.400, preference accuracy 0.75, log P of chosen +0.2 and of rejected -0.6 since the start
    """  # noqa: E501

    def __init__(self, steps: int, beta: float, *, every: int = 4) -> None:
        if steps < 1 or every < 1:
            raise ValueError(f"steps and every must be at least 1, found {steps} and {every}")
        if not beta > 0:
            raise ValueError(f"beta must be above 0, found {beta}")
        self.steps, self.beta, self.every = steps, beta, every
        self.rows: list[dict[str, float]] = []
        self._drawn: list[dict[str, float]] = []
        self._handle: Any = None
        super().__init__("The run, step by step", {})

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Add the metrics of one step; the first step of a run clears the curves of an earlier run.

        Args:
            row: the trainer's metrics, with `step`, `loss`, `margin`, `preference_accuracy`, `chosen_rewards` and
                `rejected_rewards`.

        Raises:
            ValueError: there are no rewards, because the run's loss has no reference.
        """
        if "margin" not in row:
            raise ValueError("LiveCurves shows implicit rewards, but this run has none, because its loss has no "
                             "reference; use another on_step")  # fmt: skip
        values = {name: float(row[name]) for name in ("step", *_WORDS)}
        values |= {name: float(row[f"{name}_rewards"]) / self.beta for name in ("chosen", "rejected")}
        self.rows = [*self.rows, values] if values["step"] > 1 else [values]
        if values["step"] % self.every and values["step"] != self.steps:
            return
        self.redraw()
        if values["step"] == self.steps and self._handle is not None:
            self._handle.update(self)  # so that the saved notebook shows the whole run

    def show(self) -> None:
        """Display the panel; after the run, the saved image shows the complete curves."""
        self._handle = display(self, display_id=True)

    def describe(self) -> str:
        """The state of the run, as means over its last steps."""
        if not self._drawn:
            return f"LiveCurves: step 0 of {self.steps}, no curve yet"
        now = {name: _smooth([row[name] for row in self._drawn], self._window)[-1] for name in _CURVES}
        return (
            f"LiveCurves: step {self._drawn[-1]['step']:.0f} of {self.steps}, loss {now['loss']:.3f}, "
            f"margin {now['margin']:+.3f}, preference accuracy {now['preference_accuracy']:.2f}, "
            f"log P of chosen {now['chosen']:+.1f} and of rejected {now['rejected']:+.1f} since the start"
        )

    def build(self) -> Figure:
        """Create four axes that span all steps of the run."""
        figure = new_figure(9.2, 5.0)
        figure.set_layout_engine("none")
        grid = figure.subplots(2, 2, gridspec_kw={"left": 0.07, "right": 0.98, "top": 0.83, "bottom": 0.1,
                                                  "hspace": 0.42, "wspace": 0.16})  # fmt: skip
        self._axes: list[Axes] = list(grid.flat)
        titles = ("Loss, nats", "Margin, nats", "Preference accuracy", "Change of log P since the start, nats")
        baselines = (_LN_2, 0.0, 0.5, 0.0)
        for axes, title, baseline in zip(self._axes, titles, baselines, strict=True):
            axes.set_title(title)
            axes.set_xlim(0, self.steps)
            axes.axhline(baseline, color=REFERENCE, linestyle=":", linewidth=1.5)
        for axes in self._axes[2:]:
            axes.set_xlabel("step")
        self._axes[0].annotate("ln 2", (0.995, _LN_2), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                               color=MUTED)  # fmt: skip
        self._axes[2].set_ylim(0, 1.04)
        self._lines = {name: self._pair_of_lines(name, style) for name, style in _CURVES.items()}
        self._axes[3].legend(loc="lower left")
        self._headline = figure.text(0.015, 0.945, "", fontsize=12, fontweight="bold", va="center")
        return figure

    def update(self) -> None:
        """Extend the curves, and the axes if a curve would leave them."""
        self._drawn = list(self.rows)
        steps = [row["step"] for row in self._drawn]
        for name, (faint, bold) in self._lines.items():
            values = [row[name] for row in self._drawn]
            faint.set_data(steps, values)
            bold.set_data(steps, _smooth(values, self._window))
        for axes, names, least in zip(
            (self._axes[0], self._axes[1], self._axes[3]),
            (("loss",), ("margin",), ("chosen", "rejected")),
            ((0.55, 0.75), (-0.1, 0.3), (-1.0, 1.0)),
            strict=True,
        ):
            axes.set_ylim(*_limits([row[name] for row in self._drawn for name in names], least))
        self._headline.set_text(self._title())

    @property
    def _window(self) -> int:
        """The number of steps averaged in one point of a bold curve, since a single batch is noisy."""
        return max(1, self.steps // 8)

    def _pair_of_lines(self, name: str, style: tuple[str, Any]) -> tuple[Line2D, Line2D]:
        axes = self._axes[min(list(_CURVES).index(name), 3)]
        colour, dashes = style
        (faint,) = axes.plot([], [], color=colour, alpha=0.25, linewidth=1)
        (bold,) = axes.plot([], [], color=colour, linestyle=dashes, label=name)
        return faint, bold

    def _title(self) -> str:
        if not self._drawn:
            return "Waiting for the first step."
        step = self._drawn[-1]["step"]
        if step < self.steps:
            return f"Step {step:.0f} of {self.steps}."
        last = {name: _smooth([row[name] for row in self._drawn], self._window)[-1] for name in _CURVES}
        margin = "The margin grew" if last["margin"] > 0 else "The margin did not grow"
        chosen, rejected = ("rose" if last[name] > 0 else "fell" for name in ("chosen", "rejected"))
        moved = f"chosen and rejected both {chosen}" if chosen == rejected else f"chosen {chosen}, rejected {rejected}"
        return f"{margin}: {moved}."


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """The mean of the last `window` values at each position."""
    parts = [values[max(0, end - window) : end] for end in range(1, len(values) + 1)]
    return [sum(part) / len(part) for part in parts]


def _limits(values: Sequence[float], least: tuple[float, float]) -> tuple[float, float]:
    """Limits that contain all values and `least`, so that small changes at the start do not look large."""
    low, high = min([*values, least[0]]), max([*values, least[1]])
    return low - 0.05 * (high - low), high + 0.05 * (high - low)

"""The gradient weight: where the pairs of a batch sit on the curve, and which of them drive the step."""

import ipywidgets as ipw
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dpo_teach.loss import gradient_weight
from dpo_teach.plots import INK, MUTED, POLICY, REJECTED, card
from dpo_teach.widgets.panel import Control, Panel, slider_style

__all__ = ["BATCHES", "GradientWeights"]

BATCHES: dict[str, tuple[float, ...]] = {
    "at the start": (0.0, 0.0, 0.0, 0.0),
    "the four examples": (2.0, 3.0, 3.0, -2.0),
    "one badly wrong": (8.0, 12.0, 10.0, -25.0),
    "nearly learned": (30.0, 38.0, 45.0, 22.0),
}
"""Differences of the log-ratios of four pairs, nats."""

_SPAN = 8.0


class GradientWeights(Panel):
    """Four pairs on the curve of the gradient weight, and each one's share of the step.

    Args:
        batch: a name from `BATCHES`.
        beta: 0.01 to 1.
        moved: nats by which the whole batch has moved further, -20 to 20.

    >>> [round(weight, 3) for weight in GradientWeights(batch="at the start", beta=0.1).weights.tolist()]
    [0.05, 0.05, 0.05, 0.05]
    """

    batch = Control()
    beta = Control()
    moved = Control()

    def __init__(self, *, batch: str = "the four examples", beta: float = 0.1, moved: float = 0.0) -> None:
        if batch not in BATCHES:
            raise ValueError(f"batch must be one of {', '.join(BATCHES)}, found {batch!r}")
        inputs = {
            "batch": ipw.Dropdown(options=list(BATCHES), value=batch, description="batch", **slider_style(110)),
            "beta": ipw.FloatLogSlider(
                value=beta, min=-2, max=0, step=0.05, description="β", readout_format=".3f", **slider_style(110)
            ),
            "moved": ipw.FloatSlider(
                value=moved, min=-20, max=20, step=0.5, description="all move by", readout_format="+.1f",
                **slider_style(110),
            ),
        }  # fmt: skip
        super().__init__(inputs, "Which pairs drive the step?")

    @property
    def margins(self) -> Tensor:
        """β times the difference of the log-ratios, one per pair, nats."""
        return self.beta * (torch.tensor(BATCHES[self.batch], dtype=torch.float64) + self.moved)

    @property
    def weights(self) -> Tensor:
        """β σ(-margin), one per pair."""
        return gradient_weight(self.margins, self.beta)

    def reading(self) -> str:
        """Weight and share of each pair in one line."""
        shares = self.weights / self.weights.sum()
        told = ", ".join(
            f"pair {number} margin {m:+.2f} weight {w:.4f} ({100 * share:.0f} %)"
            for number, (m, w, share) in enumerate(zip(self.margins, self.weights, shares, strict=True), start=1)
        )
        return f"GradientWeights: batch {self.batch!r}, beta {self.beta:.3g}: {told}"

    def build(self) -> Figure:
        """The curve on the left; on the right a bar for each pair's share."""
        figure = card(9.2, 3.8)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.935, "", fontsize=12, fontweight="bold", va="center")
        self._draw_curve(figure.add_axes((0.075, 0.16, 0.43, 0.62)))
        self._draw_shares(figure.add_axes((0.6, 0.16, 0.29, 0.62)))
        self.moving = [self._headline, *self._dots, *self._numbers, *self._bars, *self._told]
        return figure

    def _draw_curve(self, axes: Axes) -> None:
        margins = torch.linspace(-_SPAN, _SPAN, 161, dtype=torch.float64)
        axes.plot(margins, torch.sigmoid(-margins), color=POLICY)
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=":")
        axes.set_xlim(-_SPAN, _SPAN)
        axes.set_ylim(-0.02, 1.13)
        axes.set_xlabel("margin, nats")
        axes.set_ylabel("gradient weight, as a part of β")
        axes.text(-_SPAN + 0.3, 0.03, "wrong way round", color=MUTED)
        axes.text(_SPAN - 0.3, 0.33, "settled", color=MUTED, ha="right")
        self._dots = [axes.plot([0], [0], "o", color=INK, markersize=8, zorder=5)[0] for _ in range(4)]
        self._numbers = [axes.text(0, 0, "", va="bottom", color=INK) for _ in range(4)]

    def _draw_shares(self, axes: Axes) -> None:
        rows = range(4)
        self._bars = axes.barh(rows, 0, height=0.6, color=POLICY)
        self._told = [axes.text(0, row, "", va="center", color=INK) for row in rows]
        axes.set_yticks(rows, [f"pair {row + 1}" for row in rows], color=INK)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel("share of the step's pull")

    def update(self) -> None:
        """Dots, bars, numbers and the sentence."""
        margins, weights = self.margins, self.weights
        shares = weights / weights.sum()
        for i, (m, w, share) in enumerate(zip(margins.tolist(), weights.tolist(), shares.tolist(), strict=True)):
            place = min(max(m, -_SPAN), _SPAN)  # a pair that has left the chart waits at its edge
            height = w / self.beta
            self._dots[i].set_data([place], [height])
            self._dots[i].set_color(REJECTED if m < 0 else INK)
            self._numbers[i].set_position((place + 0.25, height + 0.03))
            self._bars[i].set_width(share)
            self._told[i].set_position((share + 0.02, i))
            self._told[i].set_text(f"{100 * share:.0f} %, weight {w:.4f}")
        self._label_dots(margins.tolist())
        self._headline.set_text(_headline(margins, shares))

    def _label_dots(self, margins: list[float]) -> None:
        """One label for dots in the same place, so that no number is written over another."""
        for i, m in enumerate(margins):
            together = [j for j, other in enumerate(margins) if abs(other - m) < 0.45]
            self._numbers[i].set_text(", ".join(str(j + 1) for j in together) if i == together[0] else "")


def _headline(margins: Tensor, shares: Tensor) -> str:
    largest = int(shares.argmax())
    if float(shares.max() - shares.min()) < 0.005:
        return "All four pairs pull alike."
    if bool((margins > 3).all()):
        return "All four are settled: hardly anything pulls any more."
    kind = "it is the wrong way round" if margins[largest] < 0 else "it is the least settled"
    return f"Pair {largest + 1} gives {100 * shares[largest]:.0f} % of the pull: {kind}."

"""The two roles of β under one slider: the slope of one pair's loss and the position of the optimum."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpo_teach.losses import gradient_weight
from dpo_teach.plots import INK, MUTED, POLICY, REFERENCE, new_figure
from dpo_teach.widgets.explorer import Number
from dpo_teach.widgets.panel import Panel
from dpo_teach.worlds.tabular import film_world, kl, optimal_policy

__all__ = ["BetaRoles"]

_SPAN, _TALLEST = 6.0, 6.0
_FILM = film_world()


class BetaRoles(Panel):
    """One slider for β that shows both of its effects: on the loss of one pair and on the optimal policy.

    Args:
        beta: 0.1 to 10.

    >>> round(BetaRoles(beta=1.0).slope, 4)
    0.5
    """

    settings = ("beta",)

    beta = Number(1.0, least=0.1, most=10.0)

    def __init__(self, *, beta: float = 1.0) -> None:
        super().__init__("β does two things", {"beta": "β"}, logarithmic=("beta",), beta=beta)

    @property
    def slope(self) -> float:
        """How steeply one pair's loss falls if policy and reference are the same: β/2."""
        return gradient_weight(torch.zeros(1, dtype=torch.float64), self.beta).item()

    @property
    def policy(self) -> torch.Tensor:
        """The optimal policy for the first prompt of the film world, probabilities."""
        return optimal_policy(_FILM.reference, _FILM.reward, self.beta)[0]

    @property
    def kl(self) -> float:
        """KL divergence of that policy from the reference, nats."""
        return kl(self.policy, _FILM.reference[0]).item()

    def describe(self) -> str:
        """Both roles in one line."""
        return (
            f"BetaRoles: beta {self.beta:.3g}: one pair's loss starts with slope -{self.slope:.4f}, "
            f"and the optimum is {self.kl:.4f} nats from the reference"
        )

    def build(self) -> Figure:
        """The loss of one pair on the left, the reference and its tilt on the right."""
        figure = new_figure(9.2, 3.9)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.935, "", fontsize=12, fontweight="bold", va="center")
        self._draw_loss(figure.add_axes((0.065, 0.16, 0.31, 0.6)))
        self._draw_bars(figure.add_axes((0.665, 0.16, 0.315, 0.6)))
        self._left = figure.text(0.065, 0.8, "", color=INK)
        self._right = figure.text(0.43, 0.8, "", color=INK)
        self.moving = [self._headline, self._left, self._right, self._curve, self._tangent,
                       *self._reference_bars, *self._policy_bars]  # fmt: skip
        return figure

    def _draw_loss(self, axes: Axes) -> None:
        axes.set_xlim(-_SPAN, _SPAN)
        axes.set_ylim(0, _TALLEST)  # fixed, so that a steeper curve looks steeper
        axes.set_xlabel("difference of the log-ratios, nats")
        axes.set_ylabel("loss of one pair, nats")
        self._differences = torch.linspace(-_SPAN, _SPAN, 121, dtype=torch.float64)
        (self._curve,) = axes.plot([], [], color=POLICY)
        (self._tangent,) = axes.plot([], [], color=MUTED, linestyle="--", linewidth=1.5)
        axes.plot([0], [torch.tensor(2.0).log()], "o", color=INK, markersize=7)

    def _draw_bars(self, axes: Axes) -> None:
        """A pair of bars for each response, the reference above the optimum; `update` sets their lengths."""
        rows = range(len(_FILM.responses))
        self._reference_bars = axes.barh([r - 0.2 for r in rows], 0, height=0.36, color=REFERENCE, label="reference")
        self._policy_bars = axes.barh([r + 0.2 for r in rows], 0, height=0.36, color=POLICY, label="optimum")
        axes.set_yticks(rows, _FILM.responses, color=INK)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability of the response")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)

    def update(self) -> None:
        """Update the curve and its tangent at the start, the bars, and the sentence above each."""
        self._curve.set_data(self._differences, -torch.nn.functional.logsigmoid(self.beta * self._differences))
        ends = torch.tensor([-2.0, 2.0], dtype=torch.float64)
        self._tangent.set_data(ends, torch.tensor(2.0).log() - self.slope * ends)
        for bars, probabilities in ((self._reference_bars, _FILM.reference[0]), (self._policy_bars, self.policy)):
            for bar, probability in zip(bars, probabilities.tolist(), strict=True):
                bar.set_width(probability)
        self._left.set_text(f"1  the slope at the start: −β/2 = −{self.slope:.3f}")
        self._right.set_text(f"2  the optimum: KL {self.kl:.3f} nats")
        self._headline.set_text(_headline(self.beta))


def _headline(beta: float) -> str:
    if beta > 2:
        return "A large β: a steep loss for one pair, and an optimum near the reference."
    if beta < 0.5:
        return "A small β: a flat loss for one pair, and an optimum far from the reference."
    return "A medium β. Drag it, and watch both sides."

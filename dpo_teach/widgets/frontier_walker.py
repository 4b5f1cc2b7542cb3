"""Walk along the measured frontier, and read texts that the policy at each point writes."""

import textwrap
from typing import Any

import traitlets
from matplotlib.figure import Figure

from dpo_teach.evaluation import ReviewScores
from dpo_teach.frontier.results import Result, Results, read_results
from dpo_teach.frontier.settings import METHODS
from dpo_teach.plots import INK, MUTED, new_figure
from dpo_teach.plots.frontier import METHOD_STYLES, draw_frontier, mean_scores
from dpo_teach.widgets.explorer import Choice, check_bounds
from dpo_teach.widgets.panel import Panel

__all__ = ["FrontierWalker"]

_WALKED = ("dpo", "ppo-learned", "ppo-true")
_LINES = 11


class FrontierWalker(Panel):
    """One point of the frontier at a time: its true reward, its KL and fluency, and three texts.

    Args:
        method: "dpo", "ppo-learned" or "ppo-true".
        place: index of the setting, counted from 0 for the largest β.
        results: the results of a sweep; by default those bundled with the package.
    """

    settings = ("method", "place")

    method = Choice(_WALKED)
    place = traitlets.CInt(1).tag(sync=True)  # the browser's menu sends text

    def __init__(self, *, method: str = "dpo", place: int = 1, results: Results | None = None) -> None:
        self.results = results or read_results()
        self._walks = {name: mean_scores(self.results, name)[::-1] for name in _WALKED}
        betas = [f"{setting:g}" for setting, _ in min(self._walks.values(), key=len)]
        options = {
            "method": {name: METHODS[name].description for name in _WALKED},
            "place": {str(place): beta for place, beta in enumerate(betas)},
        }
        super().__init__(
            "Walk along the frontier", {"method": "method", "place": "β"}, options=options, method=method, place=place
        )

    @traitlets.validate("place")
    def _measured_place(self, proposal: Any) -> int:
        return int(check_bounds(proposal["value"], "place", 0, min(map(len, self._walks.values())) - 1))

    @property
    def point(self) -> tuple[float, ReviewScores]:
        """β and the scores, as means over the seeds."""
        return self._walks[self.method][self.place]

    @property
    def runs(self) -> list[Result]:
        """The runs at this point, one for each seed; the texts are those of the first."""
        setting, _ = self.point
        return [result for result in self.results.of(self.method) if result.point.setting == setting]

    def describe(self) -> str:
        """The point in one line."""
        setting, scores = self.point
        return (
            f"FrontierWalker: {METHODS[self.method].description} at beta {setting:g}, mean of {len(self.runs)} seeds: "
            f"true reward {scores.true_reward:+.2f}, KL {scores.kl:.1f} nats, fluency {scores.fluency:.2f}"
        )

    def build(self) -> Figure:
        """The frontier on the left, the texts on the right."""
        figure = new_figure(9.2, 4.6)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.945, "", fontsize=12, fontweight="bold", va="center")
        axes = figure.add_axes((0.07, 0.12, 0.46, 0.74))
        draw_frontier(axes, self.results)
        figure.legend(loc="lower left", bbox_to_anchor=(0.55, 0.0), fontsize=8.5, labelspacing=0.15)
        (self._here,) = axes.plot([0], [0], "o", color=INK, markersize=15, markerfacecolor="none", markeredgewidth=2.2,
                                  zorder=6)  # fmt: skip
        self._numbers = figure.text(0.56, 0.86, "", va="top", color=INK, linespacing=1.5)
        self._texts = figure.text(0.56, 0.69, "", va="top", color=INK, linespacing=1.35, fontsize=8.8)
        figure.text(0.56, 0.72, "texts for one opening (the first seed)", color=MUTED)
        self.moving = [self._headline, self._here, self._numbers, self._texts]
        return figure

    def update(self) -> None:
        """Update the ring, the numbers and the texts."""
        setting, scores = self.point
        self._here.set_data([scores.kl], [scores.true_reward])
        self._here.set_color(METHOD_STYLES[self.method][0])
        self._headline.set_text(f"{METHODS[self.method].description}, β = {setting:g}")
        reward = f"true reward {scores.true_reward:+.2f} ± {scores.true_reward_error:.2f}".replace("-", "−")
        rest = f"fluency {scores.fluency:.2f}, {scores.mean_tokens:.0f} tokens; means of {len(self.runs)} seeds"
        self._numbers.set_text(f"{reward}, KL {scores.kl:.1f} ± {scores.kl_error:.1f}\n{rest}")
        texts = self.runs[0].texts
        lines = [line for text in texts for line in [*textwrap.wrap("• " + text.strip(), 58), ""]]
        self._texts.set_text("\n".join(lines[:_LINES]))

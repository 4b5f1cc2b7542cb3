"""Bars of two policies over the same responses, for the panels that tilt one into the other."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from dpo_teach.plots import INK, POLICY, REFERENCE

__all__ = ["TiltBars"]


class TiltBars:
    """The reference above the optimum, a pair of bars for each response; they are drawn once and then moved.

    Args:
        axes: where to draw; its horizontal axis is fixed to 0 to 1.
        responses: the texts, top to bottom.
    """

    def __init__(self, axes: Axes, responses: Sequence[str]):
        rows = range(len(responses))
        self._reference = axes.barh([r - 0.2 for r in rows], 0, height=0.36, color=REFERENCE, label="reference")
        self._policy = axes.barh([r + 0.2 for r in rows], 0, height=0.36, color=POLICY, label="optimum")
        axes.set_yticks(rows, responses, color=INK)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability of the response")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)

    @property
    def artists(self) -> list[Artist]:
        """The bars, all of which move."""
        return [*self._reference, *self._policy]

    def update(self, reference: Tensor, policy: Tensor) -> None:
        """Set the lengths of the bars, probabilities in the order of the responses."""
        for bars, probabilities in ((self._reference, reference), (self._policy, policy)):
            for bar, probability in zip(bars, probabilities.tolist(), strict=True):
                bar.set_width(probability)

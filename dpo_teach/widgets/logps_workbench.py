"""From logits to log-probabilities on seven positions, with a switch for each of the usual mistakes."""

import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dpo_teach.plots import CHOSEN, INK, MUTED, REFERENCE, SERIES, new_figure
from dpo_teach.widgets.explorer import Choice
from dpo_teach.widgets.panel import Panel
from dpo_teach.worlds.tiny_text import TinyText, count_logps, tiny_text

__all__ = ["LogpsWorkbench"]

_SHIFTS = {
    "right": "the position before it (right)",
    "none": "its own position",
    "wrong way": "the position after it",
}
_LABELS = {
    "shift": "a word's P comes from",
    "count_prompt": "count the prompt",
    "count_padding": "count the padding",
    "mean": "take the mean",
    "pad_left": "pad on the left",
}


class LogpsWorkbench(Panel):
    """log P(response given prompt) of one tiny text, computed correctly or with mistakes.

    Args:
        shift: "right", "none" or "wrong way": the position whose logits predict a word.
        count_prompt: count the prompt as well.
        count_padding: count the padding as well.
        mean: divide by the number of words counted.
        pad_left: put the padding in front.

    >>> LogpsWorkbench().is_right
    True
    """

    settings = tuple(_LABELS)

    shift = Choice(tuple(_SHIFTS))
    count_prompt = traitlets.Bool(False).tag(sync=True)
    count_padding = traitlets.Bool(False).tag(sync=True)
    mean = traitlets.Bool(False).tag(sync=True)
    pad_left = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, *, shift: str = "right", count_prompt: bool = False, count_padding: bool = False, mean: bool = False,
        pad_left: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            "What a mistake does to log P(response)",
            _LABELS,
            options={"shift": _SHIFTS},
            shift=shift,
            count_prompt=count_prompt,
            count_padding=count_padding,
            mean=mean,
            pad_left=pad_left,
        )

    @property
    def text(self) -> TinyText:
        """The row of the batch, padded on the selected side."""
        return tiny_text(padding_side="left" if self.pad_left else "right")

    @property
    def contributions(self) -> Tensor:
        """The contribution of each position, nats."""
        return count_logps(
            self.text, shift=self.shift, count_prompt=self.count_prompt, count_padding=self.count_padding
        )

    @property
    def result(self) -> float:
        """The resulting number, nats; with `mean`, nats per word."""
        contributions = self.contributions
        return (contributions.sum() / ((contributions != 0).sum() if self.mean else 1)).item()

    @property
    def is_right(self) -> bool:
        """Whether the result is the log-probability of the response."""
        return abs(self.result - count_logps(tiny_text()).sum().item()) < 1e-9

    def describe(self) -> str:
        """The words counted and the result, in one line."""
        counted = ", ".join(
            f"{word} {value:.4f}" for word, value in zip(self.text.words, self.contributions.tolist(), strict=True)
            if value != 0
        )  # fmt: skip
        right = count_logps(tiny_text()).sum().item()
        verdict = "right" if self.is_right else f"but {right:.4f} is right"
        return f"LogpsWorkbench: {counted}; {'mean' if self.mean else 'sum'} {self.result:.4f}, {verdict}"

    def build(self) -> Figure:
        """A bar under each word."""
        figure = new_figure(9.2, 3.7)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.935, "", fontsize=12, fontweight="bold", va="center")
        self._draw_bars(figure.add_axes((0.075, 0.06, 0.905, 0.64)))
        return figure

    def _draw_bars(self, axes: Axes) -> None:
        places = range(7)
        above = axes.get_xaxis_transform()  # words by the height of the axes, whose range follows the bars
        self._bars = axes.bar(places, 0, width=0.62, color=CHOSEN)
        self._axes = axes
        self._numbers = [axes.text(place, 0, "", ha="center", va="top", color=INK) for place in places]
        self._words = [axes.text(place, 1.11, "", ha="center", va="bottom", color=INK, fontsize=11, transform=above)
                       for place in places]  # fmt: skip
        self._parts = [
            axes.text(place, 1.03, "", ha="center", va="bottom", color=MUTED, transform=above) for place in places
        ]
        axes.set_xlim(-0.6, 6.6)
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.set_ylabel("log P that is added, nats")

    def update(self) -> None:
        """Update the words, bars, numbers and the headline."""
        text, contributions = self.text, self.contributions.tolist()
        self._axes.set_ylim(1.25 * min(-1.0, *contributions), 0)  # with space for the number below the deepest bar
        response, real = text.response_mask[0].tolist(), text.real_mask[0].tolist()
        for place, value in enumerate(contributions):
            part = "response" if response[place] else "prompt" if real[place] else "padding"
            self._words[place].set_text(text.words[place])
            self._parts[place].set_text(part)
            self._bars[place].set_height(value)
            self._bars[place].set_color({"response": CHOSEN, "prompt": SERIES[2], "padding": REFERENCE}[part])
            self._numbers[place].set_y(value + 0.02 * self._axes.get_ylim()[0])
            self._numbers[place].set_text(f"{value:.4f}".replace("-", "−") if value else "not counted")
            self._numbers[place].set_color(INK if value else MUTED)
        right = count_logps(tiny_text()).sum().item()
        found = f"{'Mean' if self.mean else 'Sum'} {self.result:.4f}"
        headline = (
            f"{found}: this is log P(response)." if self.is_right else f"{found}, but log P(response) is {right:.4f}."
        )
        self._headline.set_text(headline.replace("-", "−"))

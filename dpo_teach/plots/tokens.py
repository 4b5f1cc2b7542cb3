"""Responses as rows of tokens, each coloured by its share of the implicit reward."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from dpo_teach.plots.style import (
    BACKGROUND,
    CHOSEN,
    INK,
    REJECTED,
    FigureWithAlt,
    new_figure,
    plot_style,
    render_with_alt,
)
from dpo_teach.projector import figure_scale

__all__ = ["plot_token_rewards"]

_MOST_PER_LINE = 11
_COLOURS = LinearSegmentedColormap.from_list("reward", [REJECTED, BACKGROUND, CHOSEN])


def plot_token_rewards(responses: Mapping[str, Sequence[tuple[str, float]]], title: str) -> FigureWithAlt:
    """Plot each response as boxes, wrapped like text: each shows a token and, under it, its share of the reward.

    Args:
        responses: by name ("chosen", "rejected"), the tokens in order with their rewards.
        title: the finding of the figure.

    Returns:
        The figure. Blue tokens raise the reward and orange tokens lower it; the number shows the same without colour.
        The alternative text gives the total of each response and its two tokens with the largest shares.

    Raises:
        ValueError: a response has no tokens.

    >>> plot_token_rewards({"chosen": [(" fun", 0.5), ("<|eos|>", -0.25)]}, "One word did it.")
    One word did it. chosen: total +0.25, largest shares ' fun' +0.50 and '<|eos|>' -0.25.
    """
    for name, tokens in responses.items():
        if not tokens:
            raise ValueError(f"responses[{name!r}]: expected at least one token, found none")
    largest = max(abs(reward) for tokens in responses.values() for _, reward in tokens) or 1.0
    per_line = int(_MOST_PER_LINE * figure_scale())
    lines = sum(1 + (len(tokens) - 1) // per_line for tokens in responses.values())
    figure = new_figure(9.0, 0.6 + 0.62 * lines + 0.38 * len(responses))
    with plot_style():
        axes = figure.subplots()
        axes.set_axis_off()
        height = 0.0
        for name, tokens in responses.items():
            axes.text(0, height, f"{name}: {sum(reward for _, reward in tokens):+.2f}".replace("-", "−"), va="center",
                      fontweight="bold")  # fmt: skip
            height = _draw_tokens(axes, tokens, height - 0.7, largest, per_line) - 0.35
        axes.set_xlim(0, per_line)
        axes.set_ylim(height, 0.4)
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {'; '.join(_described(*item) for item in responses.items())}.")


def _draw_tokens(axes: Axes, tokens: Sequence[tuple[str, float]], top: float, largest: float, per_line: int) -> float:
    """Draw boxes from left to right, wrapped into lines; return the y coordinate below them."""
    for place, (token, reward) in enumerate(tokens):
        line, column = divmod(place, per_line)
        x, y = column + 0.5, top - line
        colour = _COLOURS(0.5 + 0.45 * reward / largest)
        axes.add_patch(Rectangle((x - 0.48, y - 0.4), 0.96, 0.8, facecolor=colour, edgecolor="none"))
        axes.text(x, y + 0.12, token.strip() or "␣", ha="center", va="center", color=INK, fontsize=8.5)
        number = "0.00" if abs(reward) < 0.005 else f"{reward:+.2f}".replace("-", "−")
        axes.text(x, y - 0.2, number, ha="center", va="center", color=INK, fontsize=8)
    return top - (len(tokens) - 1) // per_line - 0.5


def _described(name: str, tokens: Sequence[tuple[str, float]]) -> str:
    total = sum(reward for _, reward in tokens)
    strongest = sorted(tokens, key=lambda token: -abs(token[1]))[:2]
    return f"{name}: total {total:+.2f}, largest shares " + " and ".join(f"{t!r} {r:+.2f}" for t, r in strongest)

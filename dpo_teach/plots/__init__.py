"""Figures and tables, and the colours that all of them share.

A figure is returned as a `FigureWithAlt`: a PNG with alternative text. Every title states the finding of its figure.
"""

from dpo_teach.plots.figures import plot_curves, plot_log_ratios, plot_recovered_reward, plot_tilt
from dpo_teach.plots.style import (
    BACKGROUND,
    CHOSEN,
    FAINT,
    INK,
    MUTED,
    POLICY,
    REFERENCE,
    REJECTED,
    SERIES,
    FigureWithAlt,
    encode_png,
    new_figure,
    plot_style,
    render_png,
    render_with_alt,
)
from dpo_teach.plots.tokens import plot_token_rewards

__all__ = [
    "BACKGROUND",
    "CHOSEN",
    "FAINT",
    "INK",
    "MUTED",
    "POLICY",
    "REFERENCE",
    "REJECTED",
    "SERIES",
    "FigureWithAlt",
    "encode_png",
    "new_figure",
    "plot_curves",
    "plot_log_ratios",
    "plot_recovered_reward",
    "plot_style",
    "plot_tilt",
    "plot_token_rewards",
    "render_png",
    "render_with_alt",
]

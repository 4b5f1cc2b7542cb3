"""The figures, and the one home of the colours.

A figure comes back as a `Picture`: a PNG with its description. Every title states what the figure shows.
"""

from dpo_teach.plots.curves import plot_curves
from dpo_teach.plots.figures import plot_log_ratios, plot_recovered_reward, plot_tilt
from dpo_teach.plots.lettering import SwiftCanvas
from dpo_teach.plots.style import (
    CARD,
    CHOSEN,
    FAINT,
    INK,
    MUTED,
    POLICY,
    REFERENCE,
    REJECTED,
    SERIES,
    Picture,
    card,
    encode_png,
    house_style,
    picture_of,
    render_png,
)
from dpo_teach.plots.tokens import plot_token_rewards
from dpo_teach.plots.training import plot_training_curves

__all__ = [
    "CARD",
    "CHOSEN",
    "FAINT",
    "INK",
    "MUTED",
    "POLICY",
    "REFERENCE",
    "REJECTED",
    "SERIES",
    "Picture",
    "SwiftCanvas",
    "card",
    "encode_png",
    "house_style",
    "picture_of",
    "plot_curves",
    "plot_log_ratios",
    "plot_recovered_reward",
    "plot_tilt",
    "plot_token_rewards",
    "plot_training_curves",
    "render_png",
]

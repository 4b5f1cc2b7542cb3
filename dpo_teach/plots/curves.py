"""Plain curves: functions of one number, side by side."""

from collections.abc import Mapping

from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from dpo_teach.plots.style import (
    CHOSEN,
    INK,
    MUTED,
    POLICY,
    REFERENCE,
    REJECTED,
    SERIES,
    Picture,
    card,
    house_style,
    picture_of,
)

__all__ = ["plot_curves"]

_OWN = {"chosen": CHOSEN, "rejected": REJECTED, "policy": POLICY, "reference": REFERENCE}
_DASHES = ("-", "--", "-.", ":")

Curves = Mapping[str, Float[Tensor, " points"]]


def plot_curves(
    x: Float[Tensor, " points"],
    panels: Mapping[str, Curves],
    xlabel: str,
    title: str,
    *,
    limits: Mapping[str, tuple[float, float]] | None = None,
    dots: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> Picture:
    """One panel or several beside each other, over the same horizontal axis.

    Args:
        x: where the curves are known.
        panels: by the heading of a panel, its curves by name; "chosen", "rejected", "policy" and "reference" have
            their own colours, and each curve of a panel its own dashes.
        xlabel: what runs along the axis, with its unit.
        title: what the figure shows.
        limits: by the heading of a panel, the ends of its vertical axis.
        dots: by the heading of a panel, points to mark by name.

    Returns:
        The picture; its description tells where each curve begins and ends.

    Raises:
        ValueError: there is no panel.

    >>> import torch
    >>> plot_curves(torch.tensor([0.0, 1.0]), {"Up": {"policy": torch.tensor([0.0, 2.0])}}, "x", "It rises.")
    It rises. Up: policy from 0 to 2.
    """
    if not panels:
        raise ValueError("panels is empty: at least one is wanted")
    figure = card(9.0 if len(panels) > 1 else 6.6, 3.3)
    with house_style():
        for axes, (heading, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(),
                                           strict=True):  # fmt: skip
            _draw(axes, x, curves)
            for name, (place, height) in (dots or {}).get(heading, {}).items():
                axes.plot([place], [height], "o", color=INK, markersize=7, zorder=5)
                axes.annotate(name, (place, height), xytext=(6, 6), textcoords="offset points", color=INK)
            axes.set_title(heading)
            axes.set_xlabel(xlabel)
            if limits and heading in limits:
                axes.set_ylim(*limits[heading])
        figure.suptitle(title, x=0.012, ha="left")
    described = "; ".join(f"{heading}: {_ends(curves)}" for heading, curves in panels.items())
    return picture_of(figure, f"{title} {described}.")


def _draw(axes: Axes, x: Tensor, curves: Curves) -> None:
    spare = iter((POLICY, *SERIES))
    for dashes, (name, values) in zip(_DASHES, curves.items(), strict=False):
        colour = _OWN.get(name) or next(spare)
        axes.plot(x.tolist(), values.tolist(), color=colour, linestyle=dashes, label=name)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    if len(curves) > 1:
        axes.legend(loc="best")


def _ends(curves: Curves) -> str:
    ends = {name: (values[0].item() + 0.0, values[-1].item() + 0.0) for name, values in curves.items()}  # no "-0"
    return ", ".join(f"{name} from {first:.2g} to {last:.2g}" for name, (first, last) in ends.items())

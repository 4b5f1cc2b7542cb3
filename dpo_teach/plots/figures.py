"""Figures of the tabular world, of a small batch of pairs, and of functions of one variable."""

from collections.abc import Mapping, Sequence

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
    FigureWithAlt,
    new_figure,
    plot_style,
    render_with_alt,
)

__all__ = ["plot_curves", "plot_log_ratios", "plot_recovered_reward", "plot_tilt"]

_COLOURS = {"chosen": CHOSEN, "rejected": REJECTED, "policy": POLICY, "reference": REFERENCE}
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
) -> FigureWithAlt:
    """Plot curves in one panel or in several side by side, over the same horizontal axis.

    Args:
        x: the points at which the curves are given.
        panels: maps the heading of each panel to its curves by name; "chosen", "rejected", "policy" and "reference"
            have their own colours, and each curve of a panel has its own dashes.
        xlabel: the label of the horizontal axis, with its unit.
        title: a sentence that states the finding.
        limits: maps the heading of a panel to the lower and upper end of its vertical axis.
        dots: maps the heading of a panel to points to mark, by name.

    Returns:
        The figure; its alternative text gives the first and last value of each curve.

    Raises:
        ValueError: panels is empty.

    >>> import torch
    >>> plot_curves(torch.tensor([0.0, 1.0]), {"Up": {"policy": torch.tensor([0.0, 2.0])}}, "x", "It rises.")
    It rises. Up: policy from 0 to 2.
    """
    if not panels:
        raise ValueError("panels: expected at least one panel, found none")
    figure = new_figure(9.0 if len(panels) > 1 else 6.6, 3.3)
    with plot_style():
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
    return render_with_alt(figure, f"{title} {described}.")


def _draw(axes: Axes, x: Tensor, curves: Curves) -> None:
    spare = iter((POLICY, *SERIES))
    for dashes, (name, values) in zip(_DASHES, curves.items(), strict=False):
        colour = _COLOURS.get(name) or next(spare)
        axes.plot(x.tolist(), values.tolist(), color=colour, linestyle=dashes, label=name)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    if len(curves) > 1:
        axes.legend(loc="best")


def _ends(curves: Curves) -> str:
    ends = {name: (values[0].item() + 0.0, values[-1].item() + 0.0) for name, values in curves.items()}  # no "-0"
    return ", ".join(f"{name} from {first:.2g} to {last:.2g}" for name, (first, last) in ends.items())


def plot_tilt(
    responses: Sequence[str],
    policies: Mapping[str, Float[Tensor, " responses"]],
    title: str,
    dots: Mapping[str, Float[Tensor, " responses"]] | None = None,
) -> FigureWithAlt:
    """Plot the probabilities of the responses to one prompt as bars, one group of bars per response.

    Args:
        responses: the texts, top to bottom.
        policies: maps a name to π(y|x) for each set of bars; "reference" is grey, the first other one has the policy's
            colour.
        title: a sentence that states the finding.
        dots: policies drawn as points instead of bars, to compare them with the bars.

    Returns:
        The figure.

    >>> import torch
    >>> plot_tilt(["no", "yes"], {"reference": torch.tensor([0.5, 0.5])}, "Even.")
    Even. Probability of each response; reference: no 50 %, yes 50 %.
    """
    figure = new_figure(8.6, 0.9 + 0.52 * len(responses))
    with plot_style():
        axes = figure.subplots()
        thickness = 0.8 / len(policies)
        colours = iter((POLICY, *SERIES))
        for rank, (name, policy) in enumerate(policies.items()):
            places = [row + (rank - (len(policies) - 1) / 2) * thickness for row in range(len(responses))]
            colour = REFERENCE if name == "reference" else next(colours)
            axes.barh(places, policy.tolist(), height=thickness * 0.92, color=colour, label=name)
        for name, policy in (dots or {}).items():
            axes.plot(policy.tolist(), places, "D", color=INK, markersize=5, label=name)
        axes.set_yticks(range(len(responses)), responses, color=INK, fontsize=9.5)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("probability of the response")
        figure.suptitle(title, x=0.012, ha="left")
        axes.legend(loc="best")
    described = "; ".join(
        f"{name}: "
        + ", ".join(f"{text.rstrip('.')} {100 * p:.0f} %" for text, p in zip(responses, policy, strict=True))
        for name, policy in {**policies, **(dots or {})}.items()
    )
    return render_with_alt(figure, f"{title} Probability of each response; {described}.")


def plot_recovered_reward(
    prompts: Sequence[str],
    reward: Float[Tensor, "prompts responses"],
    implicit_reward: Float[Tensor, "prompts responses"],
    title: str,
) -> FigureWithAlt:
    """Plot the implicit reward against the true one: a line of slope 1 for each prompt, shifted by its own constant.

    Args:
        prompts: one label per line.
        reward: r(x, y).
        implicit_reward: β log(π/π_ref).
        title: a sentence that states the finding.

    Returns:
        The figure.
    """
    figure = new_figure(8.6, 3.4)
    with plot_style():
        axes = figure.subplots()
        axes.axline((0, 0), slope=1, color=REFERENCE, linestyle=":", linewidth=1.5, label="equal")
        for prompt, marker, colour, true, implicit in zip(
            prompts,
            "osD",
            SERIES,
            reward.tolist(),
            implicit_reward.tolist(),
            strict=False,
        ):
            axes.plot(true, implicit, marker=marker, color=colour, linewidth=1.5, label=prompt)
        axes.set_xlabel("true reward r(x, y)")
        axes.set_ylabel("implicit reward β log(π*/π_ref)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        figure.suptitle(title, x=0.012, ha="left")
    constants = ", ".join(f"{c:.2f}" for c in (reward - implicit_reward).mean(dim=-1).tolist())
    return render_with_alt(figure, f"{title} Lines of slope 1, below the true reward by {constants}.")


def plot_log_ratios(chosen: Float[Tensor, " batch"], rejected: Float[Tensor, " batch"], title: str) -> FigureWithAlt:
    """Plot the two log-ratios of each pair on one line; the pair is right if chosen lies to the right of rejected.

    Args:
        chosen: log-ratios of the chosen responses, nats.
        rejected: log-ratios of the rejected responses, nats.
        title: a sentence that states the finding.

    Returns:
        The figure.
    """
    figure = new_figure(8.6, 0.9 + 0.5 * len(chosen))
    with plot_style():
        axes = figure.subplots()
        axes.axvline(0, color=REFERENCE, linewidth=1.5)
        for row, (c, r) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True)):
            axes.annotate(
                "",
                xy=(c, row),
                xytext=(r, row),
                arrowprops={"arrowstyle": "-|>", "color": MUTED, "shrinkA": 6, "shrinkB": 6},
            )
            axes.text((c + r) / 2, row - 0.13, f"{c - r:+.2f}", ha="center", va="bottom", color=INK)
        rows = range(len(chosen))
        axes.plot(chosen.tolist(), rows, "o", color=CHOSEN, markersize=10, label="chosen", linestyle="")
        axes.plot(rejected.tolist(), rows, "X", color=REJECTED, markersize=10, label="rejected", linestyle="")
        axes.set_yticks(rows, [f"example {row + 1}" for row in rows], color=INK)
        axes.set_ylim(len(chosen) - 0.5, -0.65)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("log-ratio, nats (0: the policy equals the reference)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        figure.suptitle(title, x=0.012, ha="left")
    described = "; ".join(
        f"example {row + 1}: chosen {c:+.2f}, rejected {r:+.2f}"
        for row, (c, r) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True))
    )
    return render_with_alt(figure, f"{title} Log-ratios; {described}.")

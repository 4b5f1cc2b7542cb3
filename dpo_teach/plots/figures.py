"""The figures of the tabular world and of a handful of pairs."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
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

__all__ = ["plot_log_ratios", "plot_recovered_reward", "plot_tilt"]


def plot_tilt(
    responses: Sequence[str],
    policies: Mapping[str, Float[Tensor, " responses"]],
    title: str,
    dots: Mapping[str, Float[Tensor, " responses"]] | None = None,
) -> Picture:
    """Bars of probability over the responses to one prompt, a group for each response.

    Args:
        responses: the texts, top to bottom.
        policies: a name and π(y|x) for each set of bars; "reference" is grey, the next is the policy's colour.
        title: what the figure shows.
        dots: policies drawn as points instead, to be seen landing on the bars.

    Returns:
        The picture.

    >>> import torch
    >>> plot_tilt(["no", "yes"], {"reference": torch.tensor([0.5, 0.5])}, "Even.")
    Even. Probability of each response; reference: no 50 %, yes 50 %.
    """
    figure = card(8.6, 0.9 + 0.52 * len(responses))
    with house_style():
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
    return picture_of(figure, f"{title} Probability of each response; {described}.")


def plot_recovered_reward(
    prompts: Sequence[str],
    reward: Float[Tensor, "prompts responses"],
    implicit_reward: Float[Tensor, "prompts responses"],
    title: str,
) -> Picture:
    """The implicit reward against the true one: a line of slope 1 for each prompt, shifted by its own constant.

    Args:
        prompts: one label per line.
        reward: r(x, y).
        implicit_reward: β log(π/π_ref).
        title: what the figure shows.

    Returns:
        The picture.
    """
    figure = card(8.6, 3.4)
    with house_style():
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
    return picture_of(figure, f"{title} Lines of slope 1, below the true reward by {constants}.")


def plot_log_ratios(chosen: Float[Tensor, " batch"], rejected: Float[Tensor, " batch"], title: str) -> Picture:
    """The two log-ratios of each pair on one line: a pair is right where chosen lies to the right of rejected.

    Args:
        chosen: log-ratios of the chosen responses, nats.
        rejected: log-ratios of the rejected responses, nats.
        title: what the figure shows.

    Returns:
        The picture.
    """
    figure = card(8.6, 0.9 + 0.5 * len(chosen))
    with house_style():
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
        axes.set_xlabel("log-ratio, nats (0: the policy agrees with the reference)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
        figure.suptitle(title, x=0.012, ha="left")
    described = "; ".join(
        f"example {row + 1}: chosen {c:+.2f}, rejected {r:+.2f}"
        for row, (c, r) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True))
    )
    return picture_of(figure, f"{title} Log-ratios; {described}.")

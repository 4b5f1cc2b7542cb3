"""Figures and tables of the recorded runs: a long run, an identity that holds for all of them, and rate against β."""

from collections.abc import Callable, Sequence
from statistics import fmean

from dpo_teach.frontier.snapshots import Means, Snapshot, mean_and_error
from dpo_teach.plots.style import (
    INK,
    MUTED,
    POLICY,
    REFERENCE,
    SERIES,
    FigureWithAlt,
    new_figure,
    plot_style,
    render_with_alt,
)
from dpo_teach.plots.tables import Table

__all__ = ["plot_comparisons", "plot_identity", "plot_long_run", "tabulate_comparisons", "tabulate_rates"]

_PANELS: dict[str, Callable[[Snapshot], float]] = {
    "Preference accuracy, held out": lambda one: one.pairs.preference_accuracy,
    "Margin, held out, nats": lambda one: one.pairs.margin,
    "True reward of new samples": lambda one: one.reviews.true_reward,
    "Fluency of new samples": lambda one: one.reviews.fluency,
}
_COMPARED = {
    "true reward": {"true reward": ("DPO", POLICY, "o")},
    "accuracy, held out": {"accuracy": ("DPO", POLICY, "o"), "reward model": ("reward model", SERIES[0], "s")},
}
"""The rows of `plot_comparisons`: of each line, its measure, label, colour and marker."""


def plot_long_run(snapshots: Sequence[Snapshot], title: str) -> FigureWithAlt:
    """What held-out pairs and new samples say during a long run: a thin line for each seed, and their mean.

    Args:
        snapshots: of runs that differ only by their seed, evaluated after the same steps.
        title: what the figure shows.

    Returns:
        The figure; its alternative text has the means at the first and the last step, and the extreme between them.
    """
    steps = sorted({one.step for one in snapshots})
    figure = new_figure(9.0, 4.6)
    described = []
    with plot_style():
        for axes, (name, value) in zip(figure.subplots(2, 2, sharex=True).flat, _PANELS.items(), strict=True):
            for seed in sorted({one.seed for one in snapshots}):
                own = sorted((one.step, value(one)) for one in snapshots if one.seed == seed)
                axes.plot(*zip(*own, strict=True), color=POLICY, alpha=0.35, linewidth=1)
            means = [fmean(value(one) for one in snapshots if one.step == step) for step in steps]
            axes.plot(steps, means, "o-", color=POLICY, markersize=4)
            axes.set_title(name)
            if "accuracy" in name:
                axes.set_ylim(0.5, 0.85)
            best = max(range(len(steps)), key=means.__getitem__)
            described.append(f"{name}: {means[0]:.2f} at step {steps[0]}, at most {means[best]:.2f} at step "
                             f"{steps[best]}, {means[-1]:.2f} at step {steps[-1]}.")  # fmt: skip
        for axes in figure.axes[2:]:
            axes.set_xlabel("step")
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {' '.join(described)}")


def plot_identity(snapshots: Sequence[Snapshot], title: str) -> FigureWithAlt:
    """How far both responses fell, against how far the policy went: a point for each snapshot, on logarithmic axes.

        -(log-ratio chosen + log-ratio rejected) / 2 = KL(π_ref ‖ π)

    Args:
        snapshots: any.
        title: what the figure shows.

    Returns:
        The figure; its alternative text has the range, and the largest distance from the diagonal in nats.
    """
    figure = new_figure(6.4, 4.2)
    with plot_style():
        axes = figure.subplots()
        betas = sorted({one.beta for one in snapshots}, reverse=True)
        for beta, colour, marker in zip(betas, (POLICY, *SERIES), "osD^", strict=False):
            own = [one for one in snapshots if one.beta == beta]
            axes.errorbar([one.reference_kl for one in own], [-one.mean_log_ratio for one in own],
                          xerr=[one.reference_kl_error for one in own], fmt=marker, color=colour, markersize=5,
                          label=f"β = {beta:g}")  # fmt: skip
        ends = [min(one.reference_kl for one in snapshots) / 1.5, max(one.reference_kl for one in snapshots) * 1.5]
        axes.plot(ends, ends, "--", color=REFERENCE, linewidth=1.5, label="equal", zorder=0)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("KL(π_ref ‖ π), from 2,048 new responses of the reference, nats")
        axes.set_ylabel("how far the responses of\nheld-out pairs fell, nats", color=MUTED)
        axes.legend(loc="upper left", labelcolor=INK)
        figure.suptitle(title, x=0.012, ha="left")
    gap = max(abs(one.mean_log_ratio + one.reference_kl) for one in snapshots)
    return render_with_alt(figure, f"{title} {len(snapshots)} points from {ends[0] * 1.5:.2f} to {ends[1] / 1.5:.0f} "
                                   f"nats; at most {gap:.1f} nats from the diagonal.")  # fmt: skip


def tabulate_rates(snapshots: Sequence[Snapshot]) -> Table:
    """KL and fluency after runs of equal length, a row for each β and a column for each learning rate.

    Args:
        snapshots: the last ones of runs with several seeds.

    Returns:
        The table: means over seeds, the KL with the standard error of that mean.
    """
    betas = sorted({one.beta for one in snapshots}, reverse=True)
    rates = sorted({one.learning_rate for one in snapshots})

    def cell(beta: float, rate: float) -> str:
        own = [one.reviews for one in snapshots if (one.beta, one.learning_rate) == (beta, rate)]
        kl, error = mean_and_error([one.kl for one in own])
        return f"KL {kl:.1f} ± {error:.1f}, fluency {fmean(one.fluency for one in own):.2f}"

    rows = [[f"β = {beta:g}", *(cell(beta, rate) for rate in rates)] for beta in betas]
    return Table(["", *(f"rate {rate:g}" for rate in rates)], rows)


def plot_comparisons(means: Means, title: str) -> FigureWithAlt:
    """What the number of pairs and the errors in their labels decide: means over seeds, with standard errors.

    Args:
        means: of settings without flipped labels, which differ by their number of pairs, and of settings with flipped
            labels, whose number of pairs is one of these.
        title: what the figure shows.

    Returns:
        The figure; its alternative text has the mean at every point.
    """
    (count,) = {pairs for pairs, flipped in means if flipped}
    columns = {
        "pairs, none flipped": {f"{pairs:,}": one for (pairs, flipped), one in means.items() if not flipped},
        f"labels flipped, of {count:,} pairs": {
            f"{flipped:.0%}": one for (pairs, flipped), one in means.items() if pairs == count
        },
    }
    figure = new_figure(9.0, 4.6)
    described = []
    with plot_style():
        grid = figure.subplots(2, 2, sharey="row", sharex="col")
        for column, (name, by_setting) in enumerate(columns.items()):
            places = range(len(by_setting))
            for axes, (measure, lines) in zip(grid[:, column], _COMPARED.items(), strict=True):
                for key, (label, colour, marker) in lines.items():
                    points = [one[key] for one in by_setting.values()]
                    values, errors = zip(*points, strict=True)
                    axes.errorbar(places, values, errors, fmt=f"{marker}-", color=colour, label=label, markersize=5,
                                  capsize=3)  # fmt: skip
                    told = ", ".join(f"{mean:.2f} ± {error:.2f}" for mean, error in points)
                    described.append(f"{measure}, {label}, {name}: {told}.")
                axes.set_ylabel("" if column else measure, color=MUTED)
            grid[1, column].set_xticks(places, list(by_setting))
            grid[1, column].set_xlabel(name)
        grid[1, 0].legend(loc="lower right", labelcolor=INK)
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {' '.join(described)}")


def tabulate_comparisons(means: Means) -> Table:
    """The numbers of `plot_comparisons`, with KL and fluency: a row for each setting, means with their standard errors.

    Args:
        means: any, with the same measures.
    """
    rows = [
        [f"{pairs:,}", f"{flipped:.0%}", *(f"{mean:.2f} ± {error:.2f}" for mean, error in one.values())]
        for (pairs, flipped), one in means.items()
    ]
    return Table(["pairs", "flipped", *next(iter(means.values()))], rows)

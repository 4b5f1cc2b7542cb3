"""The frontier: true reward against KL, one line per method, and the closed-form optimum that no policy can exceed."""

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes

from dpo_teach.evaluation import ReviewScores, standard_error
from dpo_teach.frontier.results import Results
from dpo_teach.frontier.settings import METHODS
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

__all__ = ["LEAST_FLUENCY", "METHOD_STYLES", "draw_frontier", "mean_scores", "plot_results", "tabulate_variants"]

METHOD_STYLES: dict[str, tuple[str, str]] = {
    "reference": (REFERENCE, "s"),
    "sft": (MUTED, "X"),
    "dpo": (POLICY, "o"),
    "ppo-learned": (SERIES[0], "D"),
    "ppo-true": (SERIES[2], "^"),
    "best-of-n": (SERIES[1], "v"),
    "optimum": (INK, ""),
}
"""Colour and marker of each method."""

LEAST_FLUENCY = 0.8


def mean_scores(results: Results, method: str) -> list[tuple[float, ReviewScores]]:
    """The settings of a method in ascending order, each with its mean scores over seeds and their standard errors."""
    by_setting: dict[float, list[ReviewScores]] = {}
    for result in results.of(method):
        by_setting.setdefault(result.point.setting, []).append(result.point.scores)
    return [(setting, _mean(scores)) for setting, scores in sorted(by_setting.items())]


def draw_frontier(axes: Axes, results: Results) -> None:
    """Draw all methods and set up the axes; a hollow point marks a fluency below 0.8."""
    for method, (colour, marker) in METHOD_STYLES.items():
        scores = [score for _, score in mean_scores(results, method)]
        if not scores:
            continue
        scores.sort(key=lambda score: score.kl)
        kls, rewards = [score.kl for score in scores], [score.true_reward for score in scores]
        line = "--" if method == "optimum" else "-"
        axes.plot(kls, rewards, line, color=colour, linewidth=2.2 if method == "optimum" else 1.2, alpha=0.9, zorder=2)
        for kl, reward, score in zip(kls, rewards, scores, strict=True):
            fill = colour if score.fluency >= LEAST_FLUENCY else "none"
            axes.plot([kl], [reward], marker, color=colour, markerfacecolor=fill, markersize=7, markeredgewidth=1.6,
                      zorder=3)  # fmt: skip
        axes.plot([], [], line, marker=marker or None, color=colour, markersize=7, label=METHODS[method].description)
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left=-0.05)
    axes.set_xlabel("KL to the reference, nats (hollow: fluency below 0.8)")
    axes.set_ylabel("true reward")


def plot_results(results: Results, title: str) -> FigureWithAlt:
    """Plot the whole frontier; each point is a mean over seeds.

    Args:
        results: the results of a sweep.
        title: the finding that the figure shows.
    """
    figure = new_figure(9.0, 4.6)
    with plot_style():
        axes = figure.subplots()
        draw_frontier(axes, results)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8.5)
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {' '.join(_describe_methods(results))}")


def tabulate_variants(results: Results, methods: Sequence[str]) -> Table:
    """True reward, KL and fluency of several methods with the same settings: a row for each setting.

    Args:
        results: the results of a sweep.
        methods: the columns.

    Returns:
        The table: means over seeds, the true reward with the standard error of that mean.
    """
    scores = {method: dict(mean_scores(results, method)) for method in methods}

    def cell(one: ReviewScores) -> str:
        return f"{one.true_reward:+.2f} ± {one.true_reward_error:.2f}, {one.kl:.1f}, {one.fluency:.2f}"

    rows = [[f"β = {beta:g}", *(cell(scores[method][beta]) for method in methods)]
            for beta in sorted(scores[methods[0]], reverse=True)]  # fmt: skip
    return Table(["true reward, KL, fluency", *(METHODS[method].description for method in methods)], rows)


def _describe_methods(results: Results) -> Sequence[str]:
    parts = []
    for method in METHOD_STYLES:
        scores = [score for _, score in mean_scores(results, method)]
        if scores:
            best = max(scores, key=lambda score: score.true_reward)
            parts.append(f"{METHODS[method].description}: at most {best.true_reward:.1f}, at KL {best.kl:.1f}.")
    return parts


def _mean(scores: Sequence[ReviewScores]) -> ReviewScores:
    """Means over seeds, with the standard error across seeds: runs differ by more than their samples do."""

    def mean(name: str) -> float:
        return fmean(getattr(score, name) for score in scores)

    def error(name: str) -> float:
        if len(scores) == 1:
            return float(getattr(scores[0], f"{name}_error"))
        return standard_error([getattr(score, name) for score in scores])

    return ReviewScores(
        samples=sum(score.samples for score in scores),
        **{name: mean(name) for name in ("true_reward", "kl", "fluency", "mean_tokens")},
        **{f"{name}_error": error(name) for name in ("true_reward", "kl", "fluency", "mean_tokens")},
    )

"""The figures of notebook 04: the annotator's noise, the curves of runs, and true reward against KL."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dpo_teach.evaluation import ReviewScores
from dpo_teach.plots.style import (
    CHOSEN,
    INK,
    MUTED,
    POLICY,
    REFERENCE,
    REJECTED,
    FigureWithAlt,
    new_figure,
    plot_style,
    render_with_alt,
)
from dpo_teach.plots.tables import Table

__all__ = ["plot_annotator", "plot_frontier", "plot_runs", "tabulate_reviews"]

_EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, math.inf)


def plot_annotator(gaps: Sequence[float], title: str) -> FigureWithAlt:
    """Plot how often the annotator chose the better response against how much better it was.

        P(better is chosen) = σ( |r*(chosen) - r*(rejected)| )

    Args:
        gaps: true reward of the chosen minus that of the rejected response, one per pair, nats; pairs of equal reward
            are left out.
        title: the finding that the figure shows.

    Returns:
        The figure.

    Raises:
        ValueError: all gaps are 0.
    """
    decided = [gap for gap in gaps if gap != 0]
    if not decided:
        raise ValueError(f"gaps: expected at least one that is not 0, found {len(gaps)} without")
    bins = [[gap for gap in decided if low < abs(gap) <= high] for low, high in itertools.pairwise(_EDGES)]
    points = [(_mean([abs(gap) for gap in part]), _mean([float(gap > 0) for gap in part]), len(part))
              for part in bins if part]  # fmt: skip
    figure = new_figure(8.6, 3.4)
    with plot_style():
        axes = figure.subplots()
        longest = max(gap for gap, *_ in points)
        steps = [longest * i / 100 for i in range(101)]
        axes.plot(steps, [1 / (1 + math.exp(-gap)) for gap in steps], color=MUTED, label="σ(difference), the rule")
        axes.axhline(0.5, color=REFERENCE, linestyle=":", linewidth=1.5)
        axes.plot([p[0] for p in points], [p[1] for p in points], "o", color=CHOSEN, markersize=8, label="the pairs")
        for gap, _, count in points:
            axes.annotate(f"{count}", (gap, 0.42), ha="center", color=MUTED)
        axes.set_ylim(0.4, 1.04)
        axes.set_xlabel("difference of the two true rewards, nats (at the bottom: the number of pairs per dot)")
        axes.set_ylabel("share of correct choices")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.2))
        figure.suptitle(title, x=0.012, ha="left")
    described = ", ".join(f"{100 * share:.0f} % at {gap:.1f}" for gap, share, _ in points)
    return render_with_alt(figure, f"{title} Share of pairs in which the better response was chosen: {described}.")


def plot_frontier(runs: Mapping[str, ReviewScores], title: str) -> FigureWithAlt:
    """Plot true reward against KL, one point per run: the gain, and how far the policy moved for it.

    Args:
        runs: the scores of each run's samples, by its name. A point is hollow if its fluency is below 0.8 of the
            first run's.
        title: the finding that the figure shows.

    Returns:
        The figure.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("runs is empty: expected at least one run")
    least = 0.8 * next(iter(runs.values())).fluency
    figure = new_figure(8.6, 3.6, crowded=True)
    with plot_style():
        axes = figure.subplots()
        for place, (name, scores) in enumerate(sorted(runs.items(), key=lambda run: run[1].kl)):
            colour = REFERENCE if scores.kl < 1e-3 else POLICY
            fill = colour if scores.fluency >= least else "none"
            axes.errorbar(scores.kl, scores.true_reward, xerr=scores.kl_error, yerr=scores.true_reward_error, fmt="o",
                          color=colour, markersize=9, markerfacecolor=fill, markeredgewidth=2)  # fmt: skip
            side = 1 if place % 2 else -1  # alternate below and above so that neighbouring labels do not overlap
            axes.annotate(f"{name}\nfluency {scores.fluency:.2f}",
                          (scores.kl, scores.true_reward + side * scores.true_reward_error), xytext=(0, 5 * side),
                          textcoords="offset points", ha="center", va="bottom" if side > 0 else "top",
                          color=INK)  # fmt: skip
        furthest = max(scores.kl for scores in runs.values())
        axes.set_xlim(-0.08 * furthest - 0.02, 1.12 * furthest + 0.02)
        if furthest > 20:  # a diverged run is ten times as far away as the others
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(-0.3, 3 * furthest)
            axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(y=0.35)
        axes.set_xlabel("KL to the reference, nats: how far the policy moved (hollow: it lost its fluency)")
        axes.set_ylabel("true reward: what the policy gained")
        figure.suptitle(title, x=0.012, ha="left")
    described = "; ".join(
        f"{name}: true reward {scores.true_reward:.1f}, KL {scores.kl:.1f}, fluency {scores.fluency:.2f}"
        for name, scores in runs.items()
    )
    return render_with_alt(figure, f"{title} {described}.")


def plot_runs(runs: Mapping[str, Sequence[Mapping[str, Any]]], beta: float, title: str) -> FigureWithAlt:
    """Plot the curves of several runs, one row per run: loss, margin, and the log-ratios of both responses.

    Args:
        runs: the rows that the trainer writes to `metrics.jsonl`, by the name of the run.
        beta: the β of all the runs; the log-ratios are the implicit rewards divided by it.
        title: the finding that the figure shows.

    Returns:
        The figure; its alternative text gives the first and last loss and margin of each run.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("runs is empty: expected at least one run")
    figure = new_figure(9.0, 0.5 + 1.65 * len(runs))
    with plot_style():
        panels = figure.subplots(len(runs), 3, squeeze=False)
        for (name, rows), (loss, margin, moved) in zip(runs.items(), panels, strict=True):
            for axes, key, baseline in ((loss, "loss", math.log(2)), (margin, "margin", 0.0)):
                axes.axhline(baseline, color=REFERENCE, linestyle=":", linewidth=1.5)
                _draw_curve(axes, rows, key, POLICY, "training")
                held_out = [(row["step"], row[f"eval_{key}"]) for row in rows if f"eval_{key}" in row]
                axes.plot(*zip(*held_out, strict=True), "D--", color=INK, markersize=4, linewidth=1, label="held out")
                _widen(axes, 0.1)
            for key, colour, dashes in (("chosen", CHOSEN, "-"), ("rejected", REJECTED, "--")):
                log_ratios = [{"step": row["step"], "moved": row[f"{key}_rewards"] / beta} for row in rows]
                _draw_curve(moved, log_ratios, "moved", colour, key, linestyle=dashes)
            _widen(moved, 2.0)
            loss.set_ylabel(f"run {name}", rotation=0, ha="right", va="center", fontsize=12, color=INK, labelpad=12)
        for axes, heading in zip(panels[0], ("Loss, nats", "Margin, nats", "Log-ratio, nats"), strict=True):
            axes.set_title(heading)
        for axes in panels[-1]:
            axes.set_xlabel("step")
        for axes in panels[0][1:]:
            axes.legend(loc="upper left" if axes is panels[0][1] else "lower left", fontsize=8)
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {' '.join(_describe_run(name, rows) for name, rows in runs.items())}")


def _draw_curve(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, colour: str, label: str, **style: Any) -> None:
    """Draw a faint line of every step and a moving mean over it, since single batches are noisy."""
    steps = [row["step"] for row in rows if key in row]
    values = [float(row[key]) for row in rows if key in row]
    window = max(1, len(values) // 20)
    smooth = [sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i - window + 1) : i + 1])]
    if window > 1:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
    axes.plot(steps, smooth, color=colour, label=label, **style)


def _widen(axes: Axes, least: float) -> None:
    """Give the vertical axis at least this height so that a flat curve looks flat."""
    low, high = axes.get_ylim()
    missing = max(0.0, least - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)


def _describe_run(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    first, last = rows[0], rows[-1]
    return (
        f"Run {name}: loss {first['loss']:.2f} to {last['loss']:.2f}, held out {last['eval_loss']:.2f}; "
        f"margin {first['margin']:.2f} to {last['margin']:.2f}, held out {last['eval_margin']:.2f}."
    )


def tabulate_reviews(runs: Mapping[str, ReviewScores], accuracies: Mapping[str, float] | None = None) -> Table:
    """Tabulate the samples of each run: true reward and KL with their standard errors, fluency, length.

    Args:
        runs: the scores of each run's samples, by its name.
        accuracies: the preference accuracy of each run on held-out pairs, for an extra column.

    Returns:
        The table, one row per run.

    >>> tabulate_reviews({"before": ReviewScores(256, -0.31, 0.14, 0.0, 0.0, 0.93, 20.5)})
    run      true reward         KL  fluency  tokens
    before  -0.31 ± 0.14  0.0 ± 0.0     0.93    20.5
    """
    header = ["run", "true reward", "KL", "fluency", "tokens"]
    rows = [
        [
            name,
            f"{scores.true_reward:+.2f} ± {scores.true_reward_error:.2f}",
            f"{scores.kl:.1f} ± {scores.kl_error:.1f}",
            f"{scores.fluency:.2f}",
            f"{scores.mean_tokens:.1f}",
        ]
        for name, scores in runs.items()
    ]
    if accuracies is None:
        return Table(header, rows)
    return Table([*header, "accuracy"], [[*row, f"{accuracies[row[0]]:.2f}"] for row in rows])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

"""The family of losses, measured: a small chart of each member beside DPO, and a table."""

from collections.abc import Mapping, Sequence
from math import isnan, nan, sqrt
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes

from dpo_teach.evaluation import ReviewScores, standard_error
from dpo_teach.frontier.results import Results
from dpo_teach.frontier.settings import METHODS
from dpo_teach.plots.frontier import LEAST_FLUENCY, mean_scores
from dpo_teach.plots.style import INK, MUTED, POLICY, FigureWithAlt, new_figure, plot_style, render_with_alt
from dpo_teach.plots.tables import Table

__all__ = [
    "changes_by_seed",
    "lead_at_same_kl",
    "plot_family",
    "plot_stress",
    "scores_at",
    "tabulate_members",
    "tabulate_methods",
]

_COLUMNS = 4


def plot_family(results: Results, baseline: Results, title: str) -> FigureWithAlt:
    """True reward over KL: one small chart for each member, with DPO and the closed-form optimum for comparison.

    Args:
        results: of the members; each point is a mean over seeds, with its standard error.
        baseline: results of DPO and of the closed-form optimum.
        title: the finding that the figure shows.

    Returns:
        The figure; its alternative text has every member's best true reward and the KL at which it was reached.
    """
    members = results.config["methods"]
    dpo, best = (_by_kl(mean_scores(baseline, name)) for name in ("dpo", "optimum"))
    rows = -(-len(members) // _COLUMNS)
    figure = new_figure(9.6, 1.2 + 1.9 * rows)
    described = []
    with plot_style():
        grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, members, strict=False):
            scores = _by_kl(mean_scores(results, name))
            axes.plot([one.kl for one in best], [one.true_reward for one in best], "--", color=INK, linewidth=1)
            _draw(axes, dpo, MUTED, "s")
            _draw(axes, scores, POLICY, "o")
            axes.set_title(METHODS[name].description, fontsize=9.5)
            highest = max(scores, key=lambda one: one.true_reward)
            described.append(f"{METHODS[name].description}: at most {highest.true_reward:.1f}, at KL {highest.kl:.1f}.")
        for axes in grid.flat[len(members) :]:
            axes.set_axis_off()
        for axes in grid.flat[max(0, len(members) - _COLUMNS) : len(members)]:
            axes.tick_params(labelbottom=True)  # there is no chart below
        first = grid[0, 0]
        first.set_xscale("symlog", linthresh=1)
        first.xaxis.set_major_formatter("{x:g}")
        first.set_xlim(left=-0.05)
        lowest = min(one.true_reward for name in members for _, one in mean_scores(results, name))
        first.set_ylim(max(lowest - 0.5, -4.2), max(one.true_reward for one in best) * 0.75)
        figure.supxlabel("KL to the reference, nats (hollow: fluency below 0.8; grey: DPO; dashed: the optimum)",
                         fontsize=9.5)  # fmt: skip
        figure.supylabel("true reward", fontsize=9.5)
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {' '.join(described)}")


def scores_at(results: Sequence[Results], method: str, setting: float) -> ReviewScores | None:
    """The mean scores of a method at one setting, in the first results that have it; None if none has."""
    for one in results:
        if (found := dict(mean_scores(one, method)).get(setting)) is not None:
            return found
    return None


def plot_stress(clean: Sequence[Results], tests: Mapping[str, Results], title: str) -> FigureWithAlt:
    """The true reward of each loss in stress tests, beside that of the same loss and setting without them.

    Args:
        clean: results without a stress test, in which methods and settings are looked up; some may be missing.
        tests: the results of each test, by its name.
        title: the finding that the figure shows.

    Returns:
        The figure; its alternative text has the true reward of every loss in every test.
    """
    methods = [name for name in METHODS if any(results.of(name) for results in tests.values())]
    figure = new_figure(9.6, 1.4 + 0.27 * len(methods))
    described = []
    with plot_style():
        grid = figure.subplots(1, len(tests), sharex=True, sharey=True, squeeze=False)
        for axes, (test, results) in zip(grid.flat, tests.items(), strict=True):
            for height, name in enumerate(reversed(methods)):
                for setting, scores in mean_scores(results, name):
                    if (before := scores_at(clean, name, setting)) is not None:
                        _draw_reward(axes, before, height, MUTED, "s")
                    _draw_reward(axes, scores, height, POLICY, "o")
                    described.append(f"{test}, {METHODS[name].description}: {scores.true_reward:+.1f}.")
            axes.set_title(test, fontsize=9.5)
            axes.axvline(0, color=MUTED, linewidth=0.8)
        grid[0, 0].set_yticks(range(len(methods)), [METHODS[name].description for name in reversed(methods)])
        figure.supxlabel("true reward (hollow: fluency below 0.8; grey: without the test)", fontsize=9.5)
        figure.suptitle(title, x=0.012, ha="left")
    return render_with_alt(figure, f"{title} {' '.join(described)}")


def lead_at_same_kl(results: Results, member: str, setting: float, *, baseline: Results) -> tuple[float, float]:
    """How much true reward a member has more than DPO at the same KL.

    For each seed, DPO's true reward is interpolated between the runs of that seed whose KLs are next to the member's,
    over √KL: near the reference the reward rises about linearly with it (Gao et al. 2022, arXiv:2210.10760).

    Args:
        results: with the member.
        member: its name.
        setting: the value of its setting.
        baseline: results with DPO at several values of β, and the reference, which has KL 0.

    Returns:
        The mean over seeds, and its standard error; NaN where some seed has no DPO run with as large a KL.
    """
    (start,) = (one.point.scores for one in baseline.of("reference"))
    leads = []
    for run in results.of(member):
        if run.point.setting == setting:
            scores = run.point.scores
            same_seed = [one.point.scores for one in baseline.of("dpo") if one.point.seed == run.point.seed]
            curve = sorted((_root(one.kl), one.true_reward) for one in (start, *same_seed))
            roots, rewards = zip(*curve, strict=True)
            leads.append(scores.true_reward - float(np.interp(_root(scores.kl), roots, rewards, right=np.nan)))
    return (nan, nan) if any(map(isnan, leads)) else (fmean(leads), standard_error(leads))


def changes_by_seed(results: Results, method: str, score: str, than: Sequence[Results], other: str = "") -> list[float]:
    """How much more of a score a method has than in other results, or than another method: a difference per seed.

    Args:
        results: with the method.
        method: its name.
        score: name of a field of `ReviewScores`, such as "true_reward".
        than: the results to compare with; the first run that fits is taken.
        other: the method to compare with, whatever its setting; by default the same method at the same setting.

    Returns:
        One difference for each run that has a run to compare with, in the order of the results.
    """
    changes = []
    for run in results.of(method):
        fits = (one for each in than for one in each.of(other or method)
                if one.run.seed == run.run.seed and (other or one.run.setting == run.run.setting))  # fmt: skip
        if (one := next(fits, None)) is not None:
            changes.append(getattr(run.point.scores, score) - getattr(one.point.scores, score))
    return changes


def tabulate_members(results: Results, baseline: Results) -> Table:
    """Every setting of every member: true reward, KL and fluency, and its lead over DPO at the same KL.

    Args:
        results: of the members.
        baseline: of DPO and the reference.
    """
    rows = []
    for name in results.config["methods"]:
        for setting, scores in mean_scores(results, name):
            lead, error = lead_at_same_kl(results, name, setting, baseline=baseline)
            rows.append([METHODS[name].description, f"{setting:g}",
                         f"{scores.true_reward:+.2f} ± {scores.true_reward_error:.2f}", f"{scores.kl:.1f}",
                         f"{scores.fluency:.2f}", "–" if isnan(lead) else f"{lead:+.2f} ± {error:.2f}"])  # fmt: skip
    return Table(["loss", "setting", "true reward", "KL", "fluency", "ahead of DPO, same KL"], rows)


def tabulate_methods(rows: Mapping[str, tuple[Results, float]]) -> Table:
    """True reward, KL, fluency and responses drawn of several methods, a row for each.

    Args:
        rows: for the name of each method in `METHODS`, the results that have it, and its setting there.
    """
    cells = []
    for name, (results, setting) in rows.items():
        scores = dict(mean_scores(results, name))[setting]
        drawn = next(one.samples_drawn for one in results.of(name) if one.point.setting == setting)
        cells.append([METHODS[name].description, f"{scores.true_reward:+.2f} ± {scores.true_reward_error:.2f}",
                      f"{scores.kl:.1f}", f"{scores.fluency:.2f}", f"{drawn:,}"])  # fmt: skip
    return Table(["method", "true reward", "KL", "fluency", "responses drawn"], cells)


def _draw_reward(axes: Axes, scores: ReviewScores, height: int, colour: str, marker: str) -> None:
    """A true reward with its standard error; hollow if the fluency is low."""
    fill = colour if scores.fluency >= LEAST_FLUENCY else "white"
    axes.errorbar(scores.true_reward, height, xerr=scores.true_reward_error, fmt=marker, color=colour, capsize=2,
                  markerfacecolor=fill, markersize=6)  # fmt: skip


def _root(kl: float) -> float:
    """√KL; an estimate from samples may be a little below 0."""
    return sqrt(max(kl, 0.0))


def _by_kl(points: Sequence[tuple[float, ReviewScores]]) -> list[ReviewScores]:
    return sorted((scores for _, scores in points), key=lambda one: one.kl)


def _draw(axes: Axes, scores: Sequence[ReviewScores], colour: str, marker: str) -> None:
    """A line with error bars in both directions; a hollow point marks a low fluency."""
    kls, rewards = [one.kl for one in scores], [one.true_reward for one in scores]
    axes.errorbar(kls, rewards, [one.true_reward_error for one in scores], [one.kl_error for one in scores], fmt="-",
                  color=colour, linewidth=1.2, capsize=2)  # fmt: skip
    for one in scores:
        fill = colour if one.fluency >= LEAST_FLUENCY else "white"
        axes.plot([one.kl], [one.true_reward], marker, color=colour, markerfacecolor=fill, markersize=5)

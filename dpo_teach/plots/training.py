"""The curves of a training run."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dpo_teach.plots.style import (
    CHOSEN,
    INK,
    MUTED,
    POLICY,
    REFERENCE,
    REJECTED,
    Picture,
    card,
    house_style,
    picture_of,
)

__all__ = ["draw_curve", "plot_training_curves"]


def plot_training_curves(metrics: Sequence[Mapping[str, Any]], title: str | None = None) -> Picture:
    """Four panels of a DPO run: loss, margin, preference accuracy, and both log-probabilities, apart.

    Args:
        metrics: rows as the trainer writes them to `metrics.jsonl`, with `step`, `loss`, `margin`,
            `preference_accuracy`, `chosen_logps` and `rejected_logps`; rows of an evaluation have `eval_loss`,
            `eval_margin` and `eval_preference_accuracy`.
        title: what the figure shows; worked out from the rows when left out.

    Returns:
        The picture. Its description tells directions and no digits, so that it repeats on another machine.

    Raises:
        ValueError: no row has a loss.
    """
    rows = [row for row in metrics if "loss" in row]
    if not rows:
        raise ValueError(f"metrics must have a row with a loss, found {len(metrics)} rows without")
    title = title or _training_finding(rows)
    figure = card(9.0, 5.2)
    with house_style():
        (loss, margin), (accuracy, logps) = figure.subplots(2, 2)
        loss.axhline(0.6931, color=REFERENCE, linestyle=":", linewidth=1.5)
        loss.annotate("ln 2", (1, 0.6931), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=MUTED)
        accuracy.axhline(0.5, color=REFERENCE, linestyle=":", linewidth=1.5)
        margin.axhline(0, color=REFERENCE, linestyle=":", linewidth=1.5)
        accuracy.set_ylim(0, 1.04)
        for axes, key, name in (
            (loss, "loss", "Loss, nats"),
            (margin, "margin", "Margin, nats"),
            (accuracy, "preference_accuracy", "Preference accuracy"),
        ):
            draw_curve(axes, metrics, key, POLICY, "training batches")
            _points(axes, metrics, f"eval_{key}", "held-out pairs")
            axes.set_title(name)
        draw_curve(logps, metrics, "chosen_logps", CHOSEN, "chosen")
        draw_curve(logps, metrics, "rejected_logps", REJECTED, "rejected", linestyle="--")
        logps.set_title("log P(response), nats")
        for axes in (accuracy, logps):
            axes.set_xlabel("step")
        for axes in (loss, logps):
            axes.legend(loc="best")
        figure.suptitle(title, x=0.012, ha="left")
    return picture_of(figure, f"{title} Four panels over the steps: {_directions(rows)}.")


def draw_curve(
    axes: Axes, metrics: Sequence[Mapping[str, Any]], key: str, colour: str, label: str, **style: Any
) -> None:
    """A faint line of every step, and a moving mean on it: one batch says little."""
    steps = [row["step"] for row in metrics if key in row]
    values = [float(row[key]) for row in metrics if key in row]
    window = max(1, len(values) // 20)
    smooth = [sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i - window + 1) : i + 1])]
    if window > 1:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
    axes.plot(steps, smooth, color=colour, label=label, **style)


def _points(axes: Axes, metrics: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    found = [(row["step"], row[key]) for row in metrics if key in row]
    if found:
        axes.plot(*zip(*found, strict=True), "D", color=INK, markersize=5, label=label)


def _change(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """From the first tenth of the rows to the last."""
    values = [float(row[key]) for row in rows if key in row]
    part = max(1, len(values) // 10)
    return sum(values[-part:]) / part - sum(values[:part]) / part


def _training_finding(rows: Sequence[Mapping[str, Any]]) -> str:
    moved = "The margin grew" if _change(rows, "margin") > 0 else "The margin did not grow"
    chosen, rejected = _change(rows, "chosen_logps") > 0, _change(rows, "rejected_logps") > 0
    if chosen == rejected:
        return f"{moved}, and both log-probabilities {'rose' if chosen else 'fell'}."
    return f"{moved}: chosen {'rose' if chosen else 'fell'}, rejected {'rose' if rejected else 'fell'}."


def _directions(rows: Sequence[Mapping[str, Any]]) -> str:
    names = {
        "loss": "loss",
        "margin": "margin",
        "preference_accuracy": "preference accuracy",
        "chosen_logps": "log-probability of chosen",
        "rejected_logps": "log-probability of rejected",
    }
    return ", ".join(f"{name} {'up' if _change(rows, key) > 0 else 'down'}" for key, name in names.items())

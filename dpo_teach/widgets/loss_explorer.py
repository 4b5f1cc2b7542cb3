"""The loss explorer: four log-probabilities and β, and everything that follows from them."""

import math

import ipywidgets as ipw
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from dpo_teach.plots import CARD, CHOSEN, INK, MUTED, POLICY, REFERENCE, REJECTED, card
from dpo_teach.widgets.pair_reading import PRESETS, PairReading, read_pair
from dpo_teach.widgets.panel import Control, Panel, slider_style

__all__ = ["PRESETS", "LossExplorer", "PairReading", "read_pair"]

_LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")

OWN = "your own"
_LOGP_MIN, _LOGP_MAX = -60.0, -40.0
_SPAN, _TALLEST = 20.0, 3.0


class LossExplorer(Panel):
    """One preference pair: move a log-probability or β and see every later number move.

    Args:
        policy_chosen, policy_rejected, reference_chosen, reference_rejected: log-probabilities, nats, -60 to -40.
        beta: 0.01 to 1.
        agreement: the share of annotators who prefer the chosen response, 0.5 to 0.99.
        preset: a name from `PRESETS`, instead of the four log-probabilities.

    >>> LossExplorer(preset="example 1").beta
    0.1
    """

    policy_chosen = Control()
    policy_rejected = Control()
    reference_chosen = Control()
    reference_rejected = Control()
    beta = Control()
    agreement = Control()
    preset = Control()

    def __init__(
        self,
        *,
        policy_chosen: float = -50.0,
        policy_rejected: float = -52.0,
        reference_chosen: float = -51.0,
        reference_rejected: float = -51.0,
        beta: float = 0.1,
        agreement: float = 0.75,
        preset: str | None = None,
    ) -> None:
        logps = (policy_chosen, policy_rejected, reference_chosen, reference_rejected)
        if preset is not None and preset != OWN:
            if preset not in PRESETS:
                raise ValueError(f"preset must be one of {', '.join(PRESETS)}, found {preset!r}")
            logps = PRESETS[preset]
        inputs: dict[str, ipw.Widget] = {
            "preset": ipw.Dropdown(
                options=[*PRESETS, OWN], value=_preset_of(logps), description="a pair to start from", **slider_style()
            ),
            "beta": ipw.FloatLogSlider(
                value=beta, min=-2, max=0, step=0.02, description="β", readout_format=".3f", **slider_style()
            ),
        }
        for name, value in zip(_LOGPS, logps, strict=True):
            model, response = name.split("_")
            inputs[name] = ipw.FloatSlider(
                value=value,
                min=_LOGP_MIN,
                max=_LOGP_MAX,
                step=0.5,
                description=f"{model} log P({response})",
                readout_format=".1f",
                **slider_style(),
            )
        inputs["agreement"] = ipw.FloatSlider(
            value=agreement, min=0.5, max=0.99, step=0.01, description="annotators who agree, p", **slider_style()
        )
        super().__init__(inputs, "One pair, from four log-probabilities to the gradient weight")

    @property
    def values(self) -> PairReading:
        """What the panel shows, as numbers."""
        return read_pair(**{name: self.inputs[name].value for name in _LOGPS}, beta=self.beta, agreement=self.agreement)

    def set(self, **values: object) -> None:
        """As `Panel.set`; a preset sets the four log-probabilities, and they name the preset."""
        preset = values.get("preset")
        if isinstance(preset, str) and preset in PRESETS:
            values = {**dict(zip(_LOGPS, PRESETS[preset], strict=True)), **values}
        elif any(name in values for name in _LOGPS):
            logps = tuple(float(values.get(name, getattr(self, name))) for name in _LOGPS)  # type: ignore[arg-type]
            values = {**values, "preset": _preset_of(logps)}
        super().set(**values)

    def changed(self, name: str) -> None:
        """Keep the preset and the four log-probabilities in step."""
        if name == "preset" and self.preset in PRESETS:
            for logp, value in zip(_LOGPS, PRESETS[self.preset], strict=True):
                self.inputs[logp].value = value
        elif name in _LOGPS:
            self.inputs["preset"].value = _preset_of(tuple(self.inputs[logp].value for logp in _LOGPS))

    def reading(self) -> str:
        """The whole chain in one line."""
        v = self.values
        return (
            f"LossExplorer: log-ratios chosen {v.chosen_log_ratio:+.2f} and rejected {v.rejected_log_ratio:+.2f}, "
            f"difference {v.difference:+.2f}, times beta {self.beta:.3g} gives margin {v.margin:+.3f}, "
            f"probability {v.probability:.4f}, loss {v.loss:.4f}, gradient weight {v.gradient_weight:.4f}; "
            f"with {100 * self.agreement:.0f} % agreement the optimum is a difference of {v.best_difference:.2f} nats"
        )

    def build(self) -> Figure:
        """The chain on top, the loss as a curve below it, and what β does beside the curve."""
        figure = card(9.2, 6.0)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.955, "", fontsize=12, fontweight="bold", va="center")
        self._boxes = _draw_chain(figure.add_axes((0.0, 0.47, 1.0, 0.46)))
        self._draw_curve(figure.add_axes((0.07, 0.09, 0.49, 0.31)))
        figure.text(0.605, 0.405, "β does two things", fontsize=10.5, fontweight="bold", va="top")
        self._here = figure.text(0.605, 0.345, "", va="top", linespacing=1.5, color=INK)
        self._far = figure.text(0.605, 0.195, "", va="top", linespacing=1.5, color=INK)
        self.moving = [*self._boxes.values(), self._headline, self._here, self._far]
        self.moving += [self._legend, self._mean_curve, self._pair_curve, self._best, self._point]
        return figure

    def _draw_curve(self, axes: Axes) -> None:
        axes.set_xlim(-_SPAN, _SPAN)
        axes.set_ylim(0, _TALLEST)  # fixed, so that a steeper curve looks steeper
        axes.set_xlabel("difference of the log-ratios, nats")
        axes.set_title("The loss of this pair, and on average over annotators", pad=11)
        self._differences = torch.linspace(-_SPAN, _SPAN, 241, dtype=torch.float64)
        zeros = self._differences.numpy() * 0
        (self._pair_curve,) = axes.plot(self._differences, zeros, color=POLICY, label="this pair")
        (self._mean_curve,) = axes.plot(self._differences, zeros, color=MUTED, linestyle="--", label="average")
        (self._best,) = axes.plot([0.0], [0.0], "v", color=MUTED, markersize=9)
        # A dot that has left the chart waits hollow at its edge.
        (self._point,) = axes.plot([0.0], [0.0], "o", color=INK, markersize=9, zorder=5, clip_on=False)
        self._legend = axes.legend(loc="upper right")

    def update(self) -> None:
        """Every number, the point on the curve, and the sentence that sums up."""
        v, p = self.values, self.agreement
        for name in _LOGPS:
            self._boxes[name].set_text(_signed(f"{self.inputs[name].value:.1f}"))
        self._boxes["chosen_log_ratio"].set_text(_signed(f"{v.chosen_log_ratio:+.2f}"))
        self._boxes["rejected_log_ratio"].set_text(_signed(f"{v.rejected_log_ratio:+.2f}"))
        self._boxes["difference"].set_text(_signed(f"{v.difference:+.2f}"))
        self._boxes["margin"].set_text(_signed(f"{v.margin:+.3f}"))
        self._boxes["probability"].set_text(f"{v.probability:.4f}")
        self._boxes["loss"].set_text(f"{v.loss:.4f}")
        self._boxes["gradient_weight"].set_text(f"{v.gradient_weight:.4f}")
        self._boxes["times_beta"].set_text(f"× β = {self.beta:.3g}")
        self._headline.set_text(_headline(v))
        self._update_curve(v, p)
        self._here.set_text(
            f"1  It steepens this pair's loss.\n    At the dot the slope is −{v.gradient_weight:.4f},\n"
            f"    and never more than β = {self.beta:.3g}."
        )
        self._far.set_text(
            f"2  It sets how far the optimum moves.\n    If {100 * p:.0f} in 100 annotators agree, the average\n"
            f"    loss is least at log(p/(1−p))/β = {v.best_difference:.2f} nats{self._where(v)}.\n"
            "    Larger β: nearer to the reference."
        )

    def _update_curve(self, v: PairReading, p: float) -> None:
        margins = self.beta * self._differences
        agree, disagree = (-torch.nn.functional.logsigmoid(sign * margins) for sign in (1.0, -1.0))
        self._pair_curve.set_ydata(agree)
        self._mean_curve.set_ydata(p * agree + (1 - p) * disagree)
        self._legend.get_texts()[1].set_text(f"average, {100 * p:.0f} in 100 agree")
        inside = (min(max(v.difference, -_SPAN), _SPAN), min(v.loss, _TALLEST))
        self._point.set_data([inside[0]], [inside[1]])
        self._point.set_markerfacecolor(INK if inside == (v.difference, v.loss) else CARD)
        least = -(p * math.log(p) + (1 - p) * math.log(1 - p))
        self._best.set_data([v.best_difference], [least])

    def _where(self, v: PairReading) -> str:
        return " ▼" if v.best_difference <= _SPAN else ",\n    beyond the chart"


def _preset_of(logps: tuple[float, ...]) -> str:
    return next((name for name, values in PRESETS.items() if values == logps), OWN)


def _signed(number: str) -> str:
    """With a minus sign as wide as the plus."""
    return number.replace("-", "−")


def _headline(v: PairReading) -> str:
    if v.margin == 0:
        return "The policy has not moved: the loss is ln 2, and the gradient is not zero."
    if v.margin < 0:
        return "The policy has moved towards the rejected response: a steep loss."
    if v.chosen_log_ratio < 0 and v.rejected_log_ratio < 0:
        return "Both responses became less likely, the rejected one more so. The loss is content."
    return "The policy has moved towards the chosen response."


def _draw_chain(axes: Axes) -> dict[str, Text]:
    """The way of the data, left to right; returns the texts that will change, by name."""
    axes.set_axis_off()
    axes.set_xlim(0, 920)
    axes.set_ylim(0, 276)
    boxes = {
        "policy_chosen": (75, 208, "policy, chosen", CHOSEN),
        "reference_chosen": (75, 152, "reference, chosen", REFERENCE),
        "policy_rejected": (75, 82, "policy, rejected", REJECTED),
        "reference_rejected": (75, 26, "reference, rejected", REFERENCE),
        "chosen_log_ratio": (245, 180, "log-ratio, chosen", CHOSEN),
        "rejected_log_ratio": (245, 54, "log-ratio, rejected", REJECTED),
        "difference": (400, 117, "difference", INK),
        "margin": (540, 117, "margin", INK),
        "probability": (680, 117, "probability", POLICY),
        "loss": (835, 180, "loss", POLICY),
        "gradient_weight": (835, 54, "gradient weight", POLICY),
    }
    for x, heading in ((75, "log P, nats"), (245, "− reference"), (400, "− rejected"), (680, "σ(margin)")):
        axes.text(x, 262, heading, ha="center", va="center", color=MUTED)
    texts = {"times_beta": axes.text(540, 262, "", ha="center", va="center", color=MUTED)}
    axes.text(757, 168, "−log", ha="right", va="center", color=MUTED)
    axes.text(757, 62, "β (1 − σ)", ha="right", va="center", color=MUTED)
    for name, (x, y, label, colour) in boxes.items():
        axes.text(x, y + 23, label, ha="center", va="center", color=MUTED, fontsize=8.5)
        texts[name] = axes.text(
            x,
            y,
            "",
            ha="center",
            va="center",
            fontsize=12,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": CARD, "edgecolor": colour, "linewidth": 1.8},
        )
    for start, end in (
        ("policy_chosen", "chosen_log_ratio"),
        ("reference_chosen", "chosen_log_ratio"),
        ("policy_rejected", "rejected_log_ratio"),
        ("reference_rejected", "rejected_log_ratio"),
        ("chosen_log_ratio", "difference"),
        ("rejected_log_ratio", "difference"),
        ("difference", "margin"),
        ("margin", "probability"),
        ("probability", "loss"),
        ("probability", "gradient_weight"),
    ):
        (x0, y0), (x1, y1) = boxes[start][:2], boxes[end][:2]
        axes.annotate(
            "",
            xy=(x1 - 44, y1),
            xytext=(x0 + 44, y0),
            arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2},
        )
    return texts

"""The memory calculator: the models that RLHF and DPO hold, in bytes."""

from typing import get_args

import ipywidgets as ipw
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from dpo_teach.memory import Dtype, ModelMemory, Optimizer, PipelineMemory, count_memory
from dpo_teach.plots import INK, MUTED, SERIES, card
from dpo_teach.widgets.panel import Control, Panel, slider_style

__all__ = ["MemoryCalculator"]

_ROWS = (
    ("RLHF", "policy"),
    ("RLHF", "value"),
    ("RLHF", "reward"),
    ("RLHF", "reference"),
    ("DPO", "policy"),
    ("DPO", "reference"),
)
_PARTS = (("weights", SERIES[1]), ("gradients", SERIES[2]), ("optimizer", SERIES[0]))
_OPTIMIZERS = {"weights only": "none", "SGD": "sgd", "AdamW": "adamw"}


class MemoryCalculator(Panel):
    """What each model of RLHF and of DPO takes: weights, gradients, optimizer state.

    Args:
        billions: parameters of one model in units of 10^9, 0.001 to 1000.
        dtype: how weights are held; one of `dpo_teach.memory.Dtype`.
        optimizer: "none" (weights only), "sgd" or "adamw".
        precomputed_reference: the reference's log-probabilities were computed beforehand.
        lora: an adapter is trained instead of the model.

    >>> MemoryCalculator(billions=7.0, dtype="int8", optimizer="none").gigabytes
    (28.0, 14.0)
    """

    billions = Control()
    dtype = Control()
    optimizer = Control()
    precomputed_reference = Control()
    lora = Control()

    def __init__(
        self,
        *,
        billions: float = 7.0,
        dtype: Dtype = "bfloat16",
        optimizer: Optimizer = "adamw",
        precomputed_reference: bool = False,
        lora: bool = False,
    ) -> None:
        style = slider_style(150)
        inputs: dict[str, ipw.Widget] = {
            "billions": ipw.BoundedFloatText(
                value=billions, min=0.001, max=1000, step=1, description="parameters, 10⁹", **style
            ),
            "precomputed_reference": ipw.Checkbox(
                value=precomputed_reference,
                description="reference precomputed",
                indent=False,
                layout=ipw.Layout(width="100%"),
            ),
            "dtype": ipw.Dropdown(options=list(get_args(Dtype)), value=dtype, description="weights held as", **style),
            "lora": ipw.Checkbox(
                value=lora, description="LoRA: train an adapter of 1 %", indent=False, layout=ipw.Layout(width="100%")
            ),
            "optimizer": ipw.Dropdown(
                options=list(_OPTIMIZERS.items()), value=optimizer, description="trained with", **style
            ),
        }
        super().__init__(inputs, "Models in memory, counted")

    @property
    def pipelines(self) -> tuple[PipelineMemory, PipelineMemory]:
        """RLHF and DPO, model by model, bytes."""
        return count_memory(
            self.billions * 1e9,
            self.dtype,
            self.optimizer,
            precomputed_reference=self.precomputed_reference,
            lora=self.lora,
        )

    @property
    def gigabytes(self) -> tuple[float, float]:
        """The two totals, in GB of 10^9 bytes."""
        rlhf, dpo = self.pipelines
        return rlhf.total / 1e9, dpo.total / 1e9

    def reading(self) -> str:
        """The two totals in one line."""
        rlhf, dpo = self.gigabytes
        models = " and ".join(f"{len(p.models)} for {p.name}" for p in self.pipelines)
        return (
            f"MemoryCalculator: {self.billions:g} billion parameters, {self.dtype}, optimizer {self.optimizer}: "
            f"RLHF {rlhf:.4g} GB, DPO {dpo:.4g} GB; models in memory: {models}"
        )

    def build(self) -> Figure:
        """A row for each model, stacked by what the bytes are for."""
        figure = card(9.2, 3.7)
        figure.set_layout_engine("none")
        self._headline = figure.text(0.015, 0.935, "", fontsize=12, fontweight="bold", va="center")
        axes = figure.add_axes((0.15, 0.14, 0.70, 0.64))
        places = [0.0, 1.0, 2.0, 3.0, 4.6, 5.6]
        self._bars: dict[str, list[Rectangle]] = {
            part: list(axes.barh(places, 0, height=0.72, color=colour, label=part)) for part, colour in _PARTS
        }
        self._notes: list[Text] = [axes.text(0, place, "", va="center", color=MUTED) for place in places]
        axes.set_yticks(places, [f"{pipeline}: {role}" for pipeline, role in _ROWS], color=INK)
        axes.set_ylim(6.2, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("GB (10⁹ bytes), activations not counted")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3)
        self._axes: Axes = axes
        return figure

    def update(self) -> None:
        """The bars, the totals and the sentence."""
        models = {(p.name, model.role): model for p in self.pipelines for model in p.models}
        largest = max(model.total for model in models.values()) / 1e9
        for row, key in enumerate(_ROWS):
            self._update_row(row, models.get(key), largest)
        self._axes.set_xlim(0, 1.02 * largest)
        rlhf, dpo = self.gigabytes
        self._headline.set_text(f"RLHF holds {rlhf:.4g} GB, DPO {dpo:.4g} GB: {rlhf / dpo:.1f} times as much.")

    def _update_row(self, row: int, model: ModelMemory | None, largest: float) -> None:
        left = 0.0
        for part, _ in _PARTS:
            width = getattr(model, part) / 1e9 if model else 0.0
            self._bars[part][row].set_x(left)
            self._bars[part][row].set_width(width)
            left += width
        self._notes[row].set_x(left + 0.012 * largest)
        self._notes[row].set_text(f"{left:.4g} GB" if model else self._absent())

    def _absent(self) -> str:
        return "the policy, with its adapter switched off" if self.lora else "read beforehand, and let go"

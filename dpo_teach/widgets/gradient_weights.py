"""The gradient weight: the position of each pair of a batch on the curve, and which pairs drive the step."""

from typing import Any

import torch
import traitlets
from torch import Tensor

from dpo_teach.losses import gradient_weight
from dpo_teach.widgets.explorer import CUSTOM, Explorer, Number, Numbers, check_choice, preset_of

__all__ = ["BATCHES", "GradientWeights"]

BATCHES: dict[str, tuple[float, ...]] = {
    "at the start": (0.0, 0.0, 0.0, 0.0),
    "the four examples": (2.0, 3.0, 3.0, -2.0),
    "one badly wrong": (8.0, 12.0, 10.0, -25.0),
    "nearly learned": (30.0, 38.0, 45.0, 22.0),
}
"""Differences of the log-ratios of four pairs, nats."""


class GradientWeights(Explorer, module="gradient_weights", render="gradientWeights"):
    """Four pairs on the curve of the gradient weight, and the share of each in the step.

    Args:
        batch: a name from `BATCHES`.
        beta: 0.001 to 10.
        moved: shift of the whole batch, nats, -2000 to 2000.
        differences: differences of the log-ratios of the four pairs, nats; given instead of a batch.

    Raises:
        traitlets.TraitError: a value is out of range, or the batch is unknown.

    >>> [round(weight, 3) for weight in GradientWeights(batch="at the start", beta=0.1).weights.tolist()]
    [0.05, 0.05, 0.05, 0.05]
    """

    settings = ("batch", "beta", "moved", "differences")

    beta = Number(0.1, least=0.001, most=10.0)
    moved = Number(0.0, least=-2000.0, most=2000.0)
    differences = Numbers(4, least=-2000.0, most=2000.0)
    presets = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        batch: str = "the four examples",
        beta: float = 0.1,
        moved: float = 0.0,
        differences: list[float] | None = None,
    ) -> None:
        if differences is None:
            differences = list(BATCHES.get(_check_batch(batch), BATCHES["the four examples"]))
        super().__init__(
            presets={name: {"differences": list(values), "moved": 0.0} for name, values in BATCHES.items()},
            differences=differences,
            beta=beta,
            moved=moved,
        )

    @property
    def batch(self) -> str:
        """The name of the batch in `BATCHES`, "your own" for other differences; setting it also resets `moved`."""
        return preset_of(tuple(self.differences), BATCHES)

    @batch.setter
    def batch(self, name: str) -> None:
        self.set(batch=name)

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A batch sets the four differences and moves none of them, unless these settings are given as well."""
        if "batch" in values:
            values = {**self.presets.get(_check_batch(values.pop("batch")), {}), **values}
        return values

    @property
    def margins(self) -> Tensor:
        """β times the difference of the log-ratios, one per pair, nats."""
        return self.beta * (torch.tensor(self.differences, dtype=torch.float64) + self.moved)

    @property
    def weights(self) -> Tensor:
        """β σ(-margin), one per pair."""
        return gradient_weight(self.margins, self.beta)

    def describe(self) -> str:
        """The weight and share of each pair in one line."""
        shares = torch.softmax(torch.nn.functional.logsigmoid(-self.margins), dim=0)
        pairs = ", ".join(
            f"pair {number} margin {m:+.2f} weight {w:.4f} ({100 * share:.0f} %)"
            for number, (m, w, share) in enumerate(zip(self.margins, self.weights, shares, strict=True), start=1)
        )
        return f"GradientWeights: batch {self.batch!r}, beta {self.beta:.3g}: {pairs}"


def _check_batch(name: str) -> str:
    return check_choice("batch", name, [*BATCHES, CUSTOM])

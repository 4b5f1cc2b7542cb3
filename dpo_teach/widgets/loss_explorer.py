"""The loss explorer: four log-probabilities and β, and everything that follows from them."""

from typing import Any

import traitlets

from dpo_teach.widgets.explorer import OWN, Explorer, Number
from dpo_teach.widgets.pair_reading import PRESETS, PairReading, read_pair

__all__ = ["PRESETS", "LossExplorer", "PairReading", "read_pair"]

_LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


class LossExplorer(Explorer, module="loss_explorer", render="lossExplorer"):
    """One preference pair: move a log-probability or β and see every later number move.

    Args:
        policy_chosen, policy_rejected, reference_chosen, reference_rejected: log-probabilities, nats, -2000 to 0.
        beta: 0.001 to 10.
        agreement: the share of annotators who prefer the chosen response, 0.5 to 0.99.
        preset: a name from `PRESETS`, instead of the four log-probabilities.

    Raises:
        traitlets.TraitError: a value out of its range, or no such preset.

    >>> LossExplorer(preset="example 1").values.difference
    2.0
    """

    settings = ("preset", *_LOGPS, "beta", "agreement")

    policy_chosen = Number(-50.0, least=-2000.0, most=0.0)
    policy_rejected = Number(-52.0, least=-2000.0, most=0.0)
    reference_chosen = Number(-51.0, least=-2000.0, most=0.0)
    reference_rejected = Number(-51.0, least=-2000.0, most=0.0)
    beta = Number(0.1, least=0.001, most=10.0)
    agreement = Number(0.75, least=0.5, most=0.99)
    preset = traitlets.Enum([*PRESETS, OWN], "example 1").tag(sync=True)
    presets = traitlets.Dict().tag(sync=True)

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
        super().__init__(
            presets={name: dict(zip(_LOGPS, values, strict=True)) for name, values in PRESETS.items()},
            preset=preset or _preset_of(logps),
            beta=beta,
            agreement=agreement,
            **dict(zip(_LOGPS, PRESETS.get(preset or "", logps), strict=True)),
        )

    @property
    def values(self) -> PairReading:
        """What the explorer shows, as numbers."""
        return read_pair(**{name: getattr(self, name) for name in _LOGPS}, beta=self.beta, agreement=self.agreement)

    def set(self, **values: Any) -> None:
        """As `Explorer.set`; a preset sets the four log-probabilities, and they name the preset."""
        preset = values.get("preset")
        if preset in PRESETS:
            values = {**dict(zip(_LOGPS, PRESETS[preset], strict=True)), **values}
        if any(name in values for name in _LOGPS):
            values["preset"] = _preset_of(tuple(values.get(name, getattr(self, name)) for name in _LOGPS))
        super().set(**values)

    @traitlets.observe("preset", *_LOGPS)
    def _keep_in_step(self, change: Any) -> None:
        """The preset and the four log-probabilities name each other; in the browser, the browser sees to it."""
        if self.as_given:
            return
        if change["name"] != "preset":
            self.preset = _preset_of(tuple(getattr(self, name) for name in _LOGPS))
        elif self.preset in PRESETS:
            with self.hold_sync(), self.hold_trait_notifications():
                for name, value in zip(_LOGPS, PRESETS[self.preset], strict=True):
                    setattr(self, name, value)

    def reading(self) -> str:
        """The whole chain in one line."""
        v = self.values
        return (
            f"LossExplorer: log-ratios chosen {v.chosen_log_ratio:+.2f} and rejected {v.rejected_log_ratio:+.2f}, "
            f"difference {v.difference:+.2f}, times beta {self.beta:.3g} gives margin {v.margin:+.3f}, "
            f"probability {v.probability:.4f}, loss {v.loss:.4f}, gradient weight {v.gradient_weight:.4f}; "
            f"with {100 * self.agreement:.0f} % agreement the optimum is a difference of {v.best_difference:.2f} nats"
        )


def _preset_of(logps: tuple[float, ...]) -> str:
    return next((name for name, values in PRESETS.items() if values == logps), OWN)

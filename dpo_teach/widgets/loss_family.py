"""Any two losses of the family on the same pair: where they pull, where they stop, and what they change against DPO."""

from typing import Any

import traitlets

from dpo_teach.loss_family import LOSSES
from dpo_teach.widgets.explorer import Choice, Explorer, Number
from dpo_teach.widgets.family_numbers import FamilyNumbers, best_difference, read_family

__all__ = ["LossFamily"]

_SPAN = 20.0  # of a log-ratio, nats
_SETTINGS = ("beta", "label_smoothing", "gamma", "sft_weight")


class LossFamily(Explorer, module="loss_family", render="lossFamily"):
    """Two losses of the family on one pair: over the plane of the log-ratios, and along a line through the pair.

    The policy's log-probabilities, on which losses without a reference depend, follow from the log-ratios:
    see `family_numbers.read_family`.

    Args:
        loss: name of a member of `dpo_teach.loss_family.LOSSES`.
        compared: name of another one, or "none". It has the same β, if β has the same unit for both.
        chosen_log_ratio, rejected_log_ratio: log π - log π_ref of the two responses, nats, -20 to 20.
        settings: `beta`, `label_smoothing`, `gamma`, `sft_weight`, `kl` (KTO's z₀), `chosen_length` and
            `rejected_length` (tokens, at least 20); typical ones by default. A loss ignores those that it does not use.

    Raises:
        traitlets.TraitError: a value is out of range.

    >>> family = LossFamily(loss="hinge", beta=0.5)
    >>> family.values.loss, family.best_difference
    (1.0, 2.0)
    """

    settings = ("loss", "compared", "chosen_log_ratio", "rejected_log_ratio", *_SETTINGS, "kl", "chosen_length",
                "rejected_length")  # fmt: skip

    loss = Choice(tuple(LOSSES))
    compared = Choice(("none", *LOSSES))
    chosen_log_ratio = Number(0.0, least=-_SPAN, most=_SPAN)
    rejected_log_ratio = Number(0.0, least=-_SPAN, most=_SPAN)
    beta = Number(0.1, least=0.001, most=10.0)
    label_smoothing = Number(0.0, least=0.0, most=0.4)
    gamma = Number(0.5, least=0.0, most=20.0)
    sft_weight = Number(1.0, least=0.0, most=20.0)
    kl = Number(0.0, least=0.0, most=20.0)
    chosen_length = Number(24.0, least=20.0, most=2000.0)
    rejected_length = Number(24.0, least=20.0, most=2000.0)
    members = traitlets.Dict().tag(sync=True)

    def __init__(self, *, loss: str = "sigmoid", compared: str = "ipo", **settings: float) -> None:
        unknown = settings.keys() - set(self.settings)
        if unknown:
            raise TypeError(f"LossFamily has no setting {min(unknown)!r}; it has {', '.join(self.settings)}")
        members = {
            name: {"label": one.label, "typical": dict(one.typical), "change": one.change, "kl": one.needs_kl,
                   "settings": list(one.settings), "per_token": one.per_token,
                   "lengths": one.per_token or one.needs_lengths}
            for name, one in LOSSES.items()
        }  # fmt: skip
        typical = LOSSES[loss].typical if loss in LOSSES else {}
        super().__init__(members=members, loss=loss, compared=compared, **{**typical, **settings})

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A loss comes with its typical settings, except those that are given as well."""
        return {**LOSSES[values["loss"]].typical, **values} if values.get("loss") in LOSSES else values

    @property
    def _state(self) -> dict[str, Any]:
        return {
            "settings": {name: getattr(self, name) for name in LOSSES[self.loss].settings},
            "lengths": (self.chosen_length, self.rejected_length),
            "kl": self.kl,
        }

    @property
    def values(self) -> FamilyNumbers:
        """The loss, and the pull of one step on each log-ratio."""
        return read_family(self.loss, self.chosen_log_ratio, self.rejected_log_ratio, **self._state)

    @property
    def best_difference(self) -> float | None:
        """Where the loss stops falling if the sum of the log-ratios is held, nats; None if it is off the chart."""
        total = self.chosen_log_ratio + self.rejected_log_ratio
        found = best_difference(self.loss, total, most=2 * _SPAN - abs(total), **self._state)
        return None if found is None else round(found, 9)

    def describe(self) -> str:
        """The pair and both losses in one line."""
        v, best = self.values, self.best_difference
        used = {**self._state["settings"], **({"kl": self.kl} if LOSSES[self.loss].needs_kl else {})}
        settings = ", ".join(f"{name} {value:g}" for name, value in used.items())
        if self.members[self.loss]["lengths"]:
            settings += f", {self.chosen_length:g} and {self.rejected_length:g} tokens"
        end = "does not stop falling" if best is None else f"stops falling at a difference of {best:.2f} nats"
        text = (
            f"LossFamily: {LOSSES[self.loss].label} with {settings}, log-ratios chosen {self.chosen_log_ratio:+.2f} "
            f"and rejected {self.rejected_log_ratio:+.2f}: loss {v.loss:.4f}, pull on chosen {v.chosen_pull:+.4f}, "
            f"on rejected {v.rejected_pull:+.4f}; it {end}"
        )
        return text if self.compared == "none" else f"{text}; compared with {LOSSES[self.compared].label}"

"""Any two losses of the family on the same pair: where they pull, where they stop, and what they change against DPO."""

from typing import Any

import traitlets

from dpo_teach.loss_family import LOSSES
from dpo_teach.widgets.explorer import Choice, Explorer, Number
from dpo_teach.widgets.family_numbers import FamilyNumbers, best_difference, read_family

__all__ = ["MEMBERS", "LossFamily"]

_SPAN = 20.0  # of a log-ratio, nats
_SETTINGS = ("beta", "label_smoothing", "gamma", "sft_weight")

MEMBERS: dict[str, tuple[str, dict[str, float], str]] = {
    "sigmoid": (
        "DPO", {"beta": 0.1},
        "A classifier of the difference: its pull fades as the pair is put in order, and never stops. With label "
        "smoothing ε it stops where the margin is log((1−ε)/ε): conservative DPO.",
    ),
    "robust": (
        "robust DPO", {"beta": 0.1, "label_smoothing": 0.1},
        "Unbiased if a share ε of the labels is flipped: it subtracts the flipped term that label smoothing adds. Its "
        "pull always keeps a part of its strength, so the loss has no lowest point.",
    ),
    "hinge": (
        "hinge (SLiC)", {"beta": 0.1},
        "The full pull until the margin is 1, then none at all: pairs that are in order are left alone.",
    ),
    "ipo": (
        "IPO", {"beta": 0.1},
        "A squared error towards a fixed difference of 1/(2β) nats. Beyond it, the pull turns round.",
    ),
    "ipo_mean": (
        "IPO per token", {"beta": 1.0},
        "What most libraries call IPO: the same squared error, but of mean log-ratios per token.",
    ),
    "sigmoid_norm": (
        "DPO per token", {"beta": 5.0},
        "DPO on mean log-ratios per token: a longer response gains nothing from its length.",
    ),
    "simpo": (
        "SimPO", {"beta": 2.0, "gamma": 0.5},
        "No reference: mean log-probabilities per token, which should differ by more than γ/β. Nothing holds the "
        "policy near its start.",
    ),
    "orpo": (
        "ORPO", {"beta": 0.5},
        "No reference: a supervised term on the chosen response, and β times a classifier of log-odds per token.",
    ),
    "kto": (
        "KTO", {"beta": 0.1},
        "Each response alone, compared with z₀ instead of with the other one. It saturates on both sides: a hopeless "
        "case is given up.",
    ),
    "apo_zero": (
        "APO zero", {"beta": 0.1},
        "Two separate terms: the chosen response should rise above the reference, the rejected one fall below it.",
    ),
    "apo_down": (
        "APO down", {"beta": 0.1},
        "Both responses fall, the rejected one further: for chosen responses worse than what the policy writes.",
    ),
    "rpo": (
        "DPO + SFT (RPO)", {"beta": 0.1, "sft_weight": 1.0},
        "DPO plus a supervised term: the chosen response is kept from falling.",
    ),
}  # fmt: skip
"""By name: a label, typical settings, and what the loss changes against DPO."""

_PER_TOKEN = ("ipo_mean", "sigmoid_norm", "simpo", "orpo")  # β has another unit
_LENGTHS = (*_PER_TOKEN, "rpo")


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

    loss = Choice(tuple(MEMBERS))
    compared = Choice(("none", *MEMBERS))
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
            name: {"label": label, "typical": typical, "change": change, "settings": list(LOSSES[name].settings),
                   "per_token": name in _PER_TOKEN, "lengths": name in _LENGTHS, "kl": LOSSES[name].needs_kl}
            for name, (label, typical, change) in MEMBERS.items()
        }  # fmt: skip
        typical = MEMBERS[loss][1] if loss in MEMBERS else {}
        super().__init__(members=members, loss=loss, compared=compared, **{**typical, **settings})

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A loss comes with its typical settings, except those that are given as well."""
        return {**MEMBERS[values["loss"]][1], **values} if values.get("loss") in MEMBERS else values

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
        if self.loss in _LENGTHS:
            settings += f", {self.chosen_length:g} and {self.rejected_length:g} tokens"
        end = "does not stop falling" if best is None else f"stops falling at a difference of {best:.2f} nats"
        text = (
            f"LossFamily: {MEMBERS[self.loss][0]} with {settings}, log-ratios chosen {self.chosen_log_ratio:+.2f} and "
            f"rejected {self.rejected_log_ratio:+.2f}: loss {v.loss:.4f}, pull on chosen {v.chosen_pull:+.4f}, on "
            f"rejected {v.rejected_pull:+.4f}; it {end}"
        )
        return text if self.compared == "none" else f"{text}; compared with {MEMBERS[self.compared][0]}"

"""The methods of the sweep, and the budget that they share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["METHODS", "SWEEPS", "TRAINING_PAIRS", "Method", "SweepConfig", "SweepRun"]

TRAINING_PAIRS = 2_048
"""Most recorded runs train on this many of the first bundled pairs."""


@dataclass(frozen=True)
class Method:
    """How one method of the sweep is trained, and the setting that varies along its curve.

    Args:
        description: the method in words.
        trainer: what trains the policy; "samples" means that nothing is trained, and the scores come from samples.
        values: the values of the setting (β, n, or 0 for methods without one); None stands for the sweep's betas.
        rate: the peak learning rate.
        length: the number of steps, and therefore of pairs, as a multiple of the sweep's.
        settings: of `DPOConfig`: the loss, and those of its settings that do not vary; or of `OnlineDPOConfig`.
        setting: the name of the one that varies.
        judge: who scores or labels what the policy writes, if it writes at all.
    """

    description: str
    trainer: Literal["none", "sft", "preference", "online", "ppo", "samples"]
    values: tuple[float, ...] | None = None
    rate: float = 5e-4
    length: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    setting: str = "beta"
    judge: Literal["annotator", "reward model", "true reward", ""] = ""


def _member(
    description: str, loss: str, values: tuple[float, ...] = (0.05, 0.2, 1.0), rate: float = 5e-4, **settings: float
) -> Method:
    """A loss of the family, at three values of its β."""
    return Method(description, "preference", values, rate, settings={"loss": loss, **settings})


METHODS: dict[str, Method] = {
    "reference": Method("the reference itself", "none", (0.0,), length=0.0),
    "sft": Method("SFT on the chosen responses", "sft", (0.0,)),
    "dpo": Method("DPO", "preference"),
    "dpo-slow": Method("DPO, lower rate", "preference", rate=2e-4),
    "dpo-long": Method("DPO, more pairs", "preference", length=3.2),
    "dpo-long-slow": Method("DPO, lower rate, more pairs", "preference", rate=2e-4, length=3.2),
    "iterated": Method("iterated DPO, 4 rounds", "online", settings={"rounds": 4}, judge="annotator"),
    "online": Method("online DPO, 20 rounds", "online", settings={"rounds": 20}, judge="annotator"),
    "iterated-learned": Method("iterated DPO, reward model", "online", settings={"rounds": 4}, judge="reward model"),
    "online-learned": Method("online DPO, reward model", "online", settings={"rounds": 20}, judge="reward model"),
    "ppo-learned": Method("PPO on the learned reward", "ppo", judge="reward model"),
    "ppo-true": Method("PPO on the true reward", "ppo", judge="true reward"),
    "best-of-n": Method("the best of n samples, by the true reward", "samples", (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)),
    "optimum": Method(
        "the closed-form optimum, by importance sampling", "samples", (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
    ),
    "smoothed": _member("conservative DPO, ε = 0.1", "sigmoid", label_smoothing=0.1),
    "robust": _member("robust DPO, ε = 0.1", "robust", label_smoothing=0.1),
    "hinge": _member("hinge", "hinge"),
    "ipo": _member("IPO", "ipo"),
    "dpo-per-token": _member("DPO per token", "sigmoid_norm", (1.0, 4.0, 16.0), rate=1e-3),
    "simpo": _member("SimPO, γ = 0.5", "simpo", (1.0, 2.0, 4.0), gamma=0.5),
    "orpo": _member("ORPO", "orpo", (0.25, 1.0, 4.0)),
    "kto": _member("KTO", "kto", rate=1e-3),
    "apo-zero": _member("APO zero", "apo_zero"),
    "rpo": Method(
        "DPO + SFT, β = 0.1",
        "preference",
        (0.1, 0.3, 1.0),
        1e-3,
        settings={"loss": "rpo", "beta": 0.1},
        setting="sft_weight",
    ),
    "smoothed-told": _member("conservative DPO, ε = 0.25", "sigmoid", (0.2,), label_smoothing=0.25),
    "robust-told": _member("robust DPO, ε = 0.25", "robust", (0.2,), label_smoothing=0.25),
}
"""All methods by name."""


@dataclass(frozen=True)
class SweepRun:
    """One run of the sweep: a method, its setting (β, n, or 0 if it has none), and a seed."""

    method: str
    setting: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """The settings of a sweep. Each seed has its own sample of the pairs, the same for all methods.

    Raises:
        ValueError: a value is invalid, or there is no such method.
    """

    methods: tuple[str, ...] = (
        "reference", "sft", "dpo", "dpo-slow", "dpo-long", "dpo-long-slow", "ppo-learned", "ppo-true", "best-of-n",
        "optimum",
    )  # fmt: skip
    """What is compared: names of `METHODS`."""
    betas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    """β of DPO and of PPO on either reward."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trained method is run with each of these seeds."""
    learning_rate: float | None = None
    """Peak step size of all trained methods; by default each has its own."""
    middle_only: bool = False
    """Of the settings that belong to a method, try the middle one only."""
    steps: int = 160
    """Gradient steps of all trained methods."""
    batch_size: int = 32
    """Pairs or rollouts per step."""
    pairs: int | None = None
    """Different pairs; as many as the steps take by default. Fewer are repeated."""
    flipped: float = 0.0
    """The share of the pairs whose label is wrong on purpose, in addition to the annotator's own errors."""
    length_bonus: float = 0.0
    """Nats per sentence by which an annotator who likes long reviews adds to the true reward, if not 0."""
    rollouts: int = 128
    """Responses that PPO draws per iteration; each is used twice."""
    evaluation_samples: int = 512
    """Fresh responses on which a trained policy is evaluated."""
    limit_prompts: int = 32
    """Prompts of the samples from which best-of-n and the optimum are estimated."""
    limit_samples: int = 128
    """Responses to each of these prompts from each sampled policy."""

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise ValueError(f"methods must be some of {', '.join(METHODS)}, found {method!r}")
        if not self.betas or not self.seeds or min(self.betas) <= 0:
            raise ValueError("betas and seeds must not be empty, and every beta must be above 0")
        for name in ("steps", "batch_size", "rollouts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.flipped <= 1:
            raise ValueError(f"flipped must be between 0 and 1, found {self.flipped}")
        if self.pairs is not None and self.pairs < self.batch_size:
            raise ValueError(f"pairs must be at least batch_size, {self.batch_size}, found {self.pairs}")
        if self.steps * self.batch_size % (2 * self.rollouts):
            raise ValueError(f"steps x batch_size must be a multiple of 2 x rollouts, so that PPO's iterations are "
                             f"whole, found {self.steps} x {self.batch_size} and 2 x {self.rollouts}")  # fmt: skip

    @property
    def iterations(self) -> int:
        """PPO's iterations: each takes rollouts x 2 / batch_size gradient steps."""
        return self.steps * self.batch_size // (2 * self.rollouts)

    def runs(self) -> list[SweepRun]:
        """All runs, one seed after another, so that an interrupted sweep covers all methods; the limits come last."""

        def runs_of(seeds: tuple[int, ...], *trainers: str) -> list[SweepRun]:
            return [SweepRun(name, value, seed) for seed in seeds for name in self.methods
                    if METHODS[name].trainer in trainers for value in self._values(name)]  # fmt: skip

        first = self.seeds[:1]
        return (
            runs_of(first, "none")
            + runs_of(self.seeds, "sft", "preference", "online", "ppo")
            + runs_of(first, "samples")
        )

    def _values(self, name: str) -> tuple[float, ...]:
        values = METHODS[name].values
        if values is None:
            return self.betas
        return (values[len(values) // 2],) if self.middle_only else values

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return asdict(self)


_TOLD = ("smoothed-told", "robust-told")
"""Both losses with smoothing, told the share of labels that is flipped in the stress test."""
_MEMBERS = tuple(name for name, method in METHODS.items() if "loss" in method.settings and name not in _TOLD)
_TUNED = ("dpo", "ipo", "dpo-per-token", "simpo", "orpo", "kto", "rpo")
_STRESSED = ("dpo", "hinge", "ipo", "dpo-per-token", "simpo", "kto", "rpo")


def _at_the_middle(*methods: str, **settings: Any) -> SweepConfig:
    """Methods at one setting each: DPO at β = 0.2, the others at the middle one of theirs."""
    return SweepConfig(methods=methods, betas=(0.2,), middle_only=True, **settings)


SWEEPS = {
    "frontier": SweepConfig(),
    **{f"rate-{rate:g}": _at_the_middle(*_TUNED, seeds=(100,), learning_rate=rate) for rate in (2e-4, 5e-4, 1e-3)},
    "family": SweepConfig(methods=_MEMBERS),
    "flipped": _at_the_middle(*_STRESSED, *_TOLD, flipped=0.25),
    "long": _at_the_middle(*_STRESSED, length_bonus=0.5),
    "few": _at_the_middle(*_STRESSED, pairs=1_024),
    "online": SweepConfig(methods=("iterated", "online", "iterated-learned", "online-learned"), betas=(0.1,)),
}
"""What the package ships: notebook 02's methods, the rates tried for each loss, and what notebook 05 compares."""

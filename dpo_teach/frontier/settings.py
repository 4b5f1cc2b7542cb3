"""The methods of the sweep, and the budget that they share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["METHODS", "TRAINING_PAIRS", "Method", "SweepConfig", "SweepRun"]

TRAINING_PAIRS = 2_048
"""Most recorded runs train on this many of the first bundled pairs."""


@dataclass(frozen=True)
class Method:
    """How one method of the sweep is trained, and the setting that varies along its curve.

    Args:
        description: the method in words.
        trainer: what trains the policy; "samples" means that nothing is trained, and the scores come from samples.
        values: the values of the setting (β, n, or 0 for methods without one); None stands for the sweep's betas.
        rate: the learning rate, as a multiple of the sweep's.
        length: the number of steps, and therefore of pairs, as a multiple of the sweep's.
        settings: of `DPOConfig`: the loss, and those of its settings that do not vary.
    """

    description: str
    trainer: Literal["none", "sft", "preference", "ppo", "samples"]
    values: tuple[float, ...] | None = None
    rate: float = 1.0
    length: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)


METHODS: dict[str, Method] = {
    "reference": Method("the reference itself", "none", (0.0,), length=0.0),
    "sft": Method("SFT on the chosen responses", "sft", (0.0,)),
    "dpo": Method("DPO", "preference"),
    "dpo-slow": Method("DPO, 0.4 of the learning rate", "preference", rate=0.4),
    "dpo-long": Method("DPO, 3.2 times the pairs", "preference", length=3.2),
    "dpo-long-slow": Method("DPO, both", "preference", rate=0.4, length=3.2),
    "ppo-learned": Method("PPO on the learned reward", "ppo"),
    "ppo-true": Method("PPO on the true reward", "ppo"),
    "best-of-n": Method("the best of n samples, by the true reward", "samples", (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)),
    "optimum": Method(
        "the closed-form optimum, by importance sampling", "samples", (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
    ),
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
    """The settings of a sweep. Each seed has its own sample of the pairs, and each method sees a pair once.

    Raises:
        ValueError: a value is invalid, or there is no such method.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    """What is compared."""
    betas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    """β of DPO and of PPO on either reward."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trained method is run with each of these seeds."""
    learning_rate: float = 5e-4
    """Peak step size of all trained methods."""
    steps: int = 160
    """Gradient steps of all trained methods."""
    batch_size: int = 32
    """Pairs or rollouts per step."""
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
                    if METHODS[name].trainer in trainers for value in METHODS[name].values or self.betas]  # fmt: skip

        first = self.seeds[:1]
        return runs_of(first, "none") + runs_of(self.seeds, "sft", "preference", "ppo") + runs_of(first, "samples")

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return asdict(self)

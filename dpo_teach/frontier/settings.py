"""The settings of the sweep, and the budget of each method."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["METHODS", "TRAINING_PAIRS", "Method", "SweepConfig", "SweepRun"]

TRAINING_PAIRS = 2_048
"""The sweep, and most recorded runs, train on this many of the first bundled pairs."""

Method = Literal["reference", "sft", "dpo", "ppo-learned", "ppo-true", "best-of-n", "optimum"]

METHODS: dict[str, str] = {
    "reference": "the reference itself",
    "sft": "SFT on the chosen responses",
    "dpo": "DPO",
    "ppo-learned": "PPO on the learned reward",
    "ppo-true": "PPO on the true reward",
    "best-of-n": "the best of n samples, by the true reward",
    "optimum": "the closed-form optimum, by importance sampling",
}
"""A description of each method."""


@dataclass(frozen=True)
class SweepRun:
    """One run of the sweep: a method, its setting (β, n, or 0 if it has none), and a seed."""

    method: Method
    setting: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """The settings of a sweep. All trained methods take the same number of steps at the same peak learning rate."""

    betas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    """β of DPO and of PPO on either reward."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trained method is run with each of these seeds."""
    best_of: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """n of best-of-n, which needs no training: it is computed from samples of the reference."""
    optimum_betas: tuple[float, ...] = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
    """β at which the closed-form optimum is estimated; if there are too few samples, the point is left out."""
    learning_rate: float = 5e-4
    """Peak step size of all trained methods."""
    steps: int = 160
    """Gradient steps of all trained methods, with 32 pairs or 32 rollouts per step."""
    rollouts: int = 128
    """Responses that PPO draws per iteration; each is used twice, so training draws steps × 32 / 2 in all."""
    evaluation_samples: int = 512
    """Fresh responses on which a trained policy is evaluated."""
    limit_prompts: int = 32
    """Prompts of the samples from which best-of-n and the optimum are estimated."""
    limit_samples: int = 128
    """Responses to each of these prompts from each sampled policy."""

    def __post_init__(self) -> None:
        if not self.betas or not self.seeds or min(self.betas) <= 0:
            raise ValueError("betas and seeds must not be empty, and every beta must be above 0")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, found {self.steps}")
        if self.steps * 16 % self.rollouts:
            raise ValueError(
                f"steps must be a multiple of {self.rollouts // 16}, the steps of an iteration, found {self.steps}"
            )

    @property
    def iterations(self) -> int:
        """PPO's iterations: each has rollouts / 32 × 2 gradient steps."""
        return self.steps * 16 // self.rollouts

    def runs(self) -> list[SweepRun]:
        """All runs, one seed after another, so that an interrupted sweep covers all methods; the limits come last."""
        runs = [SweepRun("reference", 0.0, self.seeds[0])]
        for seed in self.seeds:
            runs.append(SweepRun("sft", 0.0, seed))
            for beta in self.betas:
                runs += [SweepRun(method, beta, seed) for method in ("dpo", "ppo-learned", "ppo-true")]
        runs += [SweepRun("best-of-n", float(n), self.seeds[0]) for n in self.best_of]
        return runs + [SweepRun("optimum", beta, self.seeds[0]) for beta in self.optimum_betas]

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return asdict(self)

"""What is swept, and the budget that every method gets."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["METHODS", "Method", "SweepConfig", "SweepRun"]

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
"""Every method in words."""


@dataclass(frozen=True)
class SweepRun:
    """One run of the sweep: a method, its setting (β, or n, or 0 where there is none), and a seed."""

    method: Method
    setting: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What is swept. Whoever trains takes the same number of gradient steps, at the same peak learning rate."""

    betas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    """β of DPO and of both PPOs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each method is run with each of these."""
    best_of: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    """n of best-of-n; not trained, and known from samples of the reference."""
    optimum_betas: tuple[float, ...] = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
    """β at which the closed-form optimum is estimated; where the samples do not suffice, no point is written."""
    learning_rate: float = 5e-4
    """Peak step size of whoever trains."""
    steps: int = 160
    """Gradient steps of whoever trains, of 32 pairs or 32 rollouts each."""
    rollouts: int = 128
    """Responses that PPO draws in an iteration, gone through twice: steps × 32 / 2 responses in all."""
    evaluation_samples: int = 512
    """Fresh responses by which a trained policy is judged."""
    limit_prompts: int = 32
    """Prompts of the samples that best-of-n and the optimum are known from."""
    limit_samples: int = 128
    """Responses to each of those prompts, from each policy that is drawn from."""

    def __post_init__(self) -> None:
        if not self.betas or not self.seeds or min(self.betas) <= 0:
            raise ValueError("betas and seeds must not be empty, and every beta must be above 0")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, found {self.steps}")
        if self.steps * 16 % self.rollouts:
            raise ValueError(
                f"steps={self.steps} must be a multiple of {self.rollouts // 16}, the steps of an iteration"
            )

    @property
    def iterations(self) -> int:
        """PPO's iterations: each has rollouts / 32 × 2 gradient steps."""
        return self.steps * 16 // self.rollouts

    def runs(self) -> list[SweepRun]:
        """Every run, seed by seed, so that a sweep that was stopped early has all methods; the limits come last."""
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

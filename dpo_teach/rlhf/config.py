"""The settings of a PPO run. The docstring of each field is also its help text on the command line."""

import math
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["PPOConfig"]

POSITIVE = ("learning_rate", "value_learning_rate", "iterations", "rollouts", "epochs", "minibatch_size", "clip_range",
            "max_grad_norm", "max_new_tokens")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Proximal Policy Optimization of a language model against a reward.

    The defaults suit the bundled model of a million weights. Papers fine-tune models with billions of weights: they use
    learning rates of 1e-5 and below, but mostly the same clip range and no discount (Ouyang et al. 2022, appendix C.4).

    Raises:
        ValueError: a value is invalid; the message names the field.
    """

    beta: float = 0.1
    """The price of a nat of KL, in units of the reward; the β of DPO. At 0 the policy may go anywhere."""
    learning_rate: float = 3e-4
    """Step size of the policy's AdamW, constant. It suits a toy of a million weights: papers use 1e-6 to 1e-5."""
    value_learning_rate: float = 1e-3
    """Step size of the value model's AdamW, constant."""
    iterations: int = 40
    """Iterations, each of which draws responses and then trains on them."""
    rollouts: int = 128
    """Responses drawn in each iteration."""
    epochs: int = 2
    """Passes over the responses of an iteration before new ones are drawn."""
    minibatch_size: int = 32
    """Responses in one optimizer step."""
    clip_range: float = 0.2
    """ε: how far a token's probability ratio may move from 1 before moving further gains nothing."""
    value_clip_range: float | None = None
    """The same for the value model, in units of the reward; no clipping by default."""
    gamma: float = 1.0
    """γ: the discount per token."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    normalise_advantages: bool = True
    """Give the advantages of each iteration mean 0 and standard deviation 1."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are scaled down to it."""
    max_new_tokens: int = 96
    """Maximum number of tokens in a response."""
    seed: int = 0
    """Seed for the prompts, the responses and the order of the minibatches."""

    def __post_init__(self) -> None:
        optional = () if self.value_clip_range is None else ("value_clip_range",)
        for name in (*POSITIVE, *optional):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, found {value}")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta must be a finite number of at least 0, found {self.beta}")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, found {getattr(self, name)}")
        if self.clip_range >= 1:
            raise ValueError(f"clip_range must be below 1, found {self.clip_range}")

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return asdict(self)

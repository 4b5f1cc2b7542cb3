"""The settings of a training run. Each field's docstring is also its help text on the command line."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["MAY_CHANGE", "DPOConfig", "Precision", "SFTConfig", "TrainingConfig"]

Precision = Literal["auto", "fp32", "bf16"]
MAY_CHANGE = frozenset({"micro_batch_size", "eval_every", "save_every", "precision", "packed", "compile"})
"""Settings that a resumed run may change: they affect memory, time or reporting, but not the optimizer steps."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings shared by all training runs.

    Raises:
        ValueError: a value is invalid; the message names the setting.
    """

    learning_rate: float = 3e-4
    """Peak learning rate of AdamW. The default suits a million weights; papers use 5e-7 to 1e-5 for billions."""
    epochs: int = 1
    """Number of passes over the training examples."""
    max_steps: int | None = None
    """Maximum number of steps. The learning-rate schedule ends there, too. By default, no limit."""
    batch_size: int = 32
    """Examples per optimizer step, counted over all processes and micro-batches."""
    micro_batch_size: int | None = None
    """Examples per forward pass. Smaller values use less memory and give the same step. By default, no splitting."""
    warmup_fraction: float = 0.1
    """Fraction of the steps over which the learning rate rises from 0 to its peak."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: decay to 0 along half a cosine, or stay constant."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = 1.0
    """Maximum norm of the gradient; larger gradients are scaled down to this norm."""
    max_length: int | None = None
    """Maximum tokens of prompt and response together. By default, the model's context length."""
    max_prompt_length: int | None = None
    """Maximum tokens of a prompt; longer prompts lose their beginning. By default, no limit."""
    on_overlong: Literal["error", "drop"] = "error"
    """Stop at an example whose prompt leaves no token for a response, or drop and count such examples."""
    length_window: int = 512
    """Examples are sorted by length within windows of this size before batching, which saves padding."""
    packed: bool = True
    """Compute each prompt once for both responses and pack texts into rows: faster than --no-packed, same result."""
    compile: bool = False
    """Compile the model with torch.compile. Takes about a minute; worthwhile for runs of 1,000 steps or more."""
    precision: Precision = "auto"
    """Precision of the forward pass; weights stay in float32. auto: bf16 on a GPU that supports it, else fp32."""
    eval_every: int = 0
    """Evaluate on the held-out examples every N steps and at the end; 0 evaluates only at the end."""
    save_every: int = 100
    """Save a checkpoint every N steps and at the end; 0 saves only at the end."""
    seed: int = 0
    """Random seed for the order of the examples."""

    def __post_init__(self) -> None:
        positive = {
            "learning_rate": self.learning_rate, "epochs": self.epochs, "batch_size": self.batch_size,
            "max_grad_norm": self.max_grad_norm, "length_window": self.length_window,
        }  # fmt: skip
        optional = {
            "max_steps": self.max_steps, "micro_batch_size": self.micro_batch_size, "max_length": self.max_length,
            "max_prompt_length": self.max_prompt_length,
        }  # fmt: skip
        for name, value in {**positive, **{k: v for k, v in optional.items() if v is not None}}.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, found {value}")
        for name in ("weight_decay", "eval_every", "save_every"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, found {getattr(self, name)}")
        if not 0 <= self.warmup_fraction < 1:
            raise ValueError(f"warmup_fraction must be at least 0 and below 1, found {self.warmup_fraction}")

    def as_dict(self) -> dict[str, Any]:
        """Return all fields by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SFTConfig(TrainingConfig):
    """Settings of supervised fine-tuning. The loss covers only the tokens of the responses."""

    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""


@dataclass(frozen=True, kw_only=True)
class DPOConfig(TrainingConfig):
    """Settings of Direct Preference Optimization."""

    beta: float = 0.1
    """Strength of the pull towards the reference: larger values stay closer. Above 0, typically 0.05 to 0.5."""
    precompute_reference: bool = True
    """Compute reference logps once, before training; --no-precompute-reference keeps two models in memory instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(
                f"beta must be a finite number above 0, found {self.beta}: at 0 the loss is ln 2 for every policy"
            )

"""The settings of a training run. Each field's docstring is also its help on the command line."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["MAY_CHANGE", "DPOConfig", "Precision", "SFTConfig", "TrainingConfig"]

Precision = Literal["auto", "fp32", "bf16"]
MAY_CHANGE = frozenset({"micro_batch_size", "eval_every", "save_every", "precision", "packed", "compile"})
"""Settings that a resumed run may change: they affect memory, time or what is reported, not the steps."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The settings that every training run has.

    Raises:
        ValueError: a value is invalid; the message names it.
    """

    learning_rate: float = 3e-4
    """Peak step size of AdamW. A toy of a million weights needs its own: papers use 5e-7 to 5e-6 for billions."""
    epochs: int = 1
    """How often each example is seen."""
    max_steps: int | None = None
    """Stop after this many steps; the learning-rate schedule ends there too."""
    batch_size: int = 32
    """Examples in one optimizer step, over all processes and micro-batches together."""
    micro_batch_size: int | None = None
    """Examples in one forward pass: fewer need less memory, and the step is the same. Default: a process's share."""
    warmup_fraction: float = 0.1
    """The share of the steps over which the learning rate rises from 0 to its peak."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate after the warm-up: fall to 0 along half a cosine, or stay constant."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are scaled down to it."""
    max_length: int | None = None
    """Tokens of prompt and response together; the model's context by default."""
    max_prompt_length: int | None = None
    """Tokens of the prompt that are kept, from its end; all of them by default."""
    on_overlong: Literal["error", "drop"] = "error"
    """What to do with an example whose prompt leaves no token for a response: stop, or drop and count it."""
    length_window: int = 512
    """Batches group examples of similar length out of windows of this many, which saves padding."""
    packed: bool = True
    """Compute a prompt once for both its responses and pack short texts into one row: the same result, faster."""
    compile: bool = False
    """Compile the model with torch.compile: costs about a minute, worthwhile for runs of 1,000 steps or more."""
    precision: Precision = "auto"
    """Arithmetic of the forward pass; weights stay in float32. auto: bf16 on a GPU that has it, else fp32."""
    eval_every: int = 0
    """Evaluate on the held-out examples after every this many steps, and at the end; 0: at the end only."""
    save_every: int = 100
    """Save a checkpoint after every this many steps; 0: only at the end."""
    seed: int = 0
    """Decides the order of the examples."""

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
        """All fields by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SFTConfig(TrainingConfig):
    """Supervised fine-tuning on prompts and responses; only the response's tokens are learned."""

    learning_rate: float = 1e-3
    """Peak step size of AdamW."""


@dataclass(frozen=True, kw_only=True)
class DPOConfig(TrainingConfig):
    """Direct Preference Optimization on (prompt, chosen, rejected)."""

    beta: float = 0.1
    """How strongly the optimum is held to the reference: larger stays closer. Above 0, typically 0.05 to 0.5."""
    precompute_reference: bool = True
    """Compute the reference's logps once, before training: one model in memory instead of two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(
                f"beta must be a finite number above 0, found {self.beta}: at 0 the loss is ln 2 for every policy"
            )

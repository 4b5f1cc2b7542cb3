"""The settings of a training run. Each field's docstring is also its help text on the command line."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["MAY_CHANGE", "DPOConfig", "Loss", "Precision", "SFTConfig", "TrainingConfig"]

Precision = Literal["auto", "fp32", "bf16"]
Loss = Literal["sigmoid", "robust", "hinge", "ipo", "ipo_mean", "sigmoid_norm", "simpo", "orpo", "kto", "apo_zero",
               "apo_down", "rpo"]  # fmt: skip
"""The keys of `dpo_teach.loss_family.LOSSES`, repeated here so that the command line need not import torch."""
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

    loss: Loss = "sigmoid"
    """Loss of a pair. sigmoid is DPO; dpo_teach/loss_family.py has the formula and the settings of each loss."""
    beta: float = 0.1
    """Strength of the pull towards the reference. Above 0, typically 0.05 to 0.5 (sigmoid_norm and simpo: 2 to 10)."""
    label_smoothing: float = 0.0
    """Assumed probability that a label is wrong, for sigmoid (conservative DPO) and robust. Below 0.5."""
    gamma: float = 0.5
    """Target difference between the rewards of a pair, for simpo."""
    sft_weight: float = 1.0
    """Weight of the supervised term on the chosen response, for rpo."""
    precompute_reference: bool = True
    """Compute reference logps once, before training; --no-precompute-reference keeps two models in memory instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.beta) and self.beta > 0):
            because = ": at 0 the loss is ln 2 for every policy" if self.loss == "sigmoid" else ""
            raise ValueError(f"beta must be a finite number above 0, found {self.beta}{because}")
        optional = ("label_smoothing", "gamma", "sft_weight", "precompute_reference")
        changed = {name: getattr(self, name) for name in optional if getattr(self, name) != getattr(DPOConfig, name)}
        if self.loss != "sigmoid" or changed:  # otherwise this module need not import torch
            self._check_loss(changed)

    def _check_loss(self, changed: dict[str, Any]) -> None:
        """Check the name of the loss, and that it uses all settings that differ from their defaults."""
        from dpo_teach.loss_family import check_setting, find_member

        member = find_member(self.loss)
        used = {*member.settings, *(["precompute_reference"] if member.needs_reference else [])}
        for name, value in changed.items():
            if name not in used:
                raise ValueError(f"{name}={value} is not used by loss {self.loss!r}; remove it")
            if name in member.settings:
                check_setting(name, value)
        if member.needs_kl and self.batch_size < 2:
            raise ValueError(f"loss {self.loss!r} needs a batch_size of at least 2, found {self.batch_size}: it pairs "
                             "each prompt with a response of another pair of the step")  # fmt: skip

    def loss_settings(self) -> dict[str, Any]:
        """Return the settings that the loss uses, by name."""
        from dpo_teach.loss_family import find_member

        return {name: getattr(self, name) for name in find_member(self.loss).settings}

"""What is checked before a run can go wrong without a word."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from dpo_teach.models import context_length
from dpo_teach.training.config import TrainingConfig

__all__ = ["check_gradient", "check_loss", "check_settings", "fitting_length"]

FREE = {"micro_batch_size", "eval_every", "save_every", "precision", "packed", "compile"}
"""Settings that change memory, time or what is told, and no step."""


def check_loss(step: int, loss: float, context: Callable[[], str]) -> None:
    """Stop before a loss that is not finite reaches the weights.

    Args:
        step: which step, counted from 0.
        loss: its mean loss over all processes.
        context: asked only in need: the step's rows, the learning rate, the last good checkpoint.

    Raises:
        ValueError: the loss is infinite or no number.
    """
    if not math.isfinite(loss):
        raise ValueError(f"step {step + 1}: the loss is not finite ({loss}); the weights are as they were before this "
                         f"step; {context()}")  # fmt: skip


def check_gradient(step: int, norm: float, context: Callable[[], str]) -> None:
    """Stop before a broken gradient reaches the weights; arguments as `check_loss`, with the gradient's length.

    Raises:
        ValueError: the gradient is not finite, or exactly 0 in the first step.
    """
    if not math.isfinite(norm):
        raise ValueError(f"step {step + 1}: the gradient is not finite ({norm}); the weights are as they were before "
                         f"this step; {context()}")  # fmt: skip
    if step == 0 and norm == 0:
        raise ValueError("step 1: the gradient is exactly 0, so nothing can be learned; is the part of the model that "
                         "predicts frozen, or every response the same?")  # fmt: skip


def fitting_length(config: TrainingConfig, model: nn.Module) -> int:
    """Tokens of prompt and response together: what is set, at most the model's context, or that."""
    context = context_length(model)
    if config.max_length is not None and config.max_length > context:
        raise ValueError(f"max_length={config.max_length} is longer than the model's context of {context} tokens")
    return config.max_length or context


def check_settings(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other settings: the trajectory would be nobody's.

    Raises:
        ValueError: one that decides the numbers differs; the message names all that do.
    """
    changed = [f"{name} was {saved.get(name)!r}, is {value!r}" for name, value in now.items()
               if name not in FREE and saved.get(name) != value]  # fmt: skip
    if changed:
        raise ValueError(f"this run was started with other settings: {'; '.join(changed)}")

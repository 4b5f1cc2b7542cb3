"""What is checked before a run can go wrong without a word."""

import math

from torch import nn

from dpo_teach.models import context_length
from dpo_teach.training.config import TrainingConfig

__all__ = ["check_gradient", "fitting_length"]


def check_gradient(step: int, norm: float, learning_rate: float) -> None:
    """Stop before a broken gradient reaches the weights."""
    if not math.isfinite(norm):
        raise ValueError(f"step {step + 1}: the gradient is not finite; a smaller learning_rate than {learning_rate} "
                         "may help")  # fmt: skip
    if step == 0 and norm == 0:
        raise ValueError("step 1: the gradient is exactly 0, so nothing can be learned; is the part of the model that "
                         "predicts frozen, or every response the same?")  # fmt: skip


def fitting_length(config: TrainingConfig, model: nn.Module) -> int:
    """Tokens of prompt and response together: what is set, at most the model's context, or that."""
    context = context_length(model)
    if config.max_length is not None and config.max_length > context:
        raise ValueError(f"max_length={config.max_length} is longer than the model's context of {context} tokens")
    return config.max_length or context

"""Checks that stop a run before it goes wrong silently."""

import math
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["check_finite", "check_precision", "check_update"]

LABELS = {"loss": "the loss", "grad_norm": "the gradient"}


def check_precision(model: nn.Module) -> None:
    """Refuse to train weights of half precision: most steps are smaller than half a unit in their last place.

    Raises:
        ValueError: a trainable weight is in float16 or bfloat16.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dtype in {torch.float16, torch.bfloat16}:
            raise ValueError(f"model has weights in {str(weight.dtype).removeprefix('torch.')} ({name}), in which "
                             "small steps are lost: load it in float32, as load_model does; precision='bf16' is for "
                             "the arithmetic")  # fmt: skip


def check_update(step: int, means: dict[str, float], grad_norm: float, context: Callable[[], str]) -> None:
    """Stop before a loss or a gradient that is not finite reaches the weights.

    Args:
        step: which step, counted from 1.
        means: its mean loss and other metrics, over all processes. All are checked: an infinite log-probability of a
            rejected response gives a loss of 0.
        grad_norm: the length of its gradient.
        context: called only if something is wrong: the step's rows, the learning rate, the last good checkpoint.

    Raises:
        ValueError: a metric is infinite or NaN, or the gradient is exactly 0 in the first step.
    """
    check_finite(f"step {step}", means | {"grad_norm": grad_norm},
                 lambda: f"the weights are as they were before this step; {context()}")  # fmt: skip
    if step == 1 and grad_norm == 0:
        raise ValueError("step 1: the gradient is exactly 0, so nothing can be learned; is the part of the model that "
                         "predicts frozen, or are all responses the same?")  # fmt: skip


def check_finite(when: str, metrics: dict[str, float], context: Callable[[], str]) -> None:
    """Raise if a metric is infinite or NaN.

    Args:
        when: the step, or after which one.
        metrics: values by name.
        context: called only if something is wrong.

    Raises:
        ValueError: a value is infinite or NaN; the message names it.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"{when}: {LABELS.get(name, name)} is not finite ({value}); {context()}")

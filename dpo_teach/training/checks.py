"""Checks that stop a run instead of letting it fail silently."""

import math
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["check_finite", "check_precision", "check_update"]

LABELS = {"loss": "the loss", "grad_norm": "the gradient"}


def check_precision(model: nn.Module) -> None:
    """Refuse to train half-precision weights: most updates would be lost to rounding.

    Raises:
        ValueError: a trainable weight is in float16 or bfloat16.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dtype in {torch.float16, torch.bfloat16}:
            raise ValueError(f"model has weights in {str(weight.dtype).removeprefix('torch.')} ({name}), which lose "
                             "small updates; load it in float32, as load_model does (precision='bf16' sets only the "
                             "precision of the forward pass)")  # fmt: skip


def check_update(step: int, means: dict[str, float], grad_norm: float, context: Callable[[], str]) -> None:
    """Stop the run before a non-finite loss or gradient changes the weights.

    Args:
        step: number of the step, counted from 1.
        means: mean loss and other metrics of the step, over all processes. All are checked, because a rejected response
            with an infinite log-probability gives a loss of 0.
        grad_norm: norm of the gradient.
        context: returns details for the message (rows, learning rate, last good checkpoint); called only on failure.

    Raises:
        ValueError: a metric is infinite or NaN, or the gradient is exactly 0 in the first step.
    """
    check_finite(f"step {step}", means | {"grad_norm": grad_norm},
                 lambda: f"this step did not change the weights; {context()}")  # fmt: skip
    if step == 1 and grad_norm == 0:
        raise ValueError("step 1: the gradient is exactly 0, so the model cannot learn; check whether the layers that "
                         "produce the logits are frozen, or all responses are the same")  # fmt: skip


def check_finite(when: str, metrics: dict[str, float], context: Callable[[], str]) -> None:
    """Raise an error if a metric is infinite or NaN.

    Args:
        when: the step, for the message, such as "step 3" or "after step 3".
        metrics: values by name.
        context: returns details for the message; called only on failure.

    Raises:
        ValueError: a value is infinite or NaN; the message names it.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"{when}: {LABELS.get(name, name)} is not finite ({value}); {context()}")

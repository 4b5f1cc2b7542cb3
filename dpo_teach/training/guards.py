"""What is checked before a run can go wrong without a word."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["check_gradient", "check_means", "check_precision", "check_result", "check_settings"]

FREE = {"micro_batch_size", "eval_every", "save_every", "precision", "packed", "compile"}
"""Settings that change memory, time or what is told, and no step."""


def check_means(step: int, means: dict[str, float], context: Callable[[], str]) -> None:
    """Stop before a loss that is not finite reaches the weights.

    Args:
        step: which step, counted from 0.
        means: the mean loss and the other metrics of the step, over all processes. An infinite log-probability of a
            rejected response gives a loss of 0: hence all of them.
        context: called only if something is wrong: the step's rows, the learning rate, the last good checkpoint.

    Raises:
        ValueError: the loss or another metric is infinite or NaN.
    """
    for name, value in means.items():
        if not math.isfinite(value):
            raise ValueError(f"step {step + 1}: {'the loss' if name == 'loss' else name} is not finite ({value}); the "
                             f"weights are as they were before this step; {context()}")  # fmt: skip


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


def check_precision(model: nn.Module) -> None:
    """Refuse to train weights of half precision: a step changes a weight by less than such a number can tell.

    Raises:
        ValueError: a weight that is trained is in float16 or bfloat16.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dtype in {torch.float16, torch.bfloat16}:
            raise ValueError(f"model has weights in {str(weight.dtype).removeprefix('torch.')} ({name}), in which "
                             "small steps are lost: load it in float32, as load_model does; precision='bf16' is for "
                             "the arithmetic")  # fmt: skip


def check_result(steps: int, values: dict[str, float], context: Callable[[], str]) -> None:
    """Stop before a model that computes no numbers is called trained.

    Args:
        steps: how many steps were taken.
        values: what the model gave after them, by name.
        context: as for `check_loss`.

    Raises:
        ValueError: a value is infinite or no number.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"after step {steps}: {name} is not finite ({value}), and nothing was saved since; "
                             f"{context()}")  # fmt: skip


def check_settings(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other settings: the trajectory would be nobody's.

    Raises:
        ValueError: one that decides the numbers differs; the message names all that do.
    """
    changed = [f"{name} was {saved.get(name)!r}, is {value!r}" for name, value in now.items()
               if name not in FREE and saved.get(name) != value]  # fmt: skip
    if changed:
        raise ValueError(f"this run was started with other settings: {'; '.join(changed)}")

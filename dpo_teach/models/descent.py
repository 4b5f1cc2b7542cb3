"""One step of gradient descent, for the training loops that are written out: reward model, PPO and online DPO."""

import torch
from torch import Tensor, nn

__all__ = ["adamw", "descend"]


def adamw(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW for the trainable weights of a model, with the settings of this project's trainers."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(weights, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)


def descend(what: str, loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer, max_norm: float) -> float:
    """Take one optimizer step on a loss.

    Args:
        what: the gradient in words, for the error.
        loss: a scalar.
        model: the model that is trained.
        optimizer: its optimizer.
        max_norm: a longer gradient is scaled down to this norm.

    Returns:
        The norm of the gradient before it was scaled down.

    Raises:
        ValueError: the gradient is not finite; the weights have not been changed.
    """
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    if not torch.isfinite(norm):
        raise ValueError(f"{what} is not finite; a smaller learning_rate may help")
    optimizer.step()
    return norm.item()

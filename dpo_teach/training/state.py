"""A model's weights and its optimizer's state, whole, however accelerate has wrapped or sharded them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as distributed

__all__ = ["gather_state", "restore_optimizer", "restore_weights", "weight_names"]

WHOLE = distributed.StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
WRAPPED = "model."
"""What accelerate wraps is `ResponseLogps`, whose `model` is the policy."""


def weight_names(model: nn.Module) -> list[str]:
    """The names of a model's weights and lasting buffers, each tensor once; to be asked before it is wrapped."""
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    parameters = [name for name, _ in model.named_parameters()]
    return parameters + [name for name in model.state_dict() if name not in tied]


def gather_state(
    wrapped: nn.Module, optimizer: torch.optim.Optimizer, names: list[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and the optimizer's state, by the names of the model before it was wrapped.

    Every process must call this, since shards are exchanged; the main process gets the tensors, on the CPU.

    Args:
        wrapped: what accelerate made of the model.
        optimizer: its optimizer.
        names: which weights are wanted (`weight_names`).

    Returns:
        Weights by name, and the optimizer's state by "NAME/exp_avg" and so on; it is empty before the first step.
    """
    weights: Any = distributed.get_model_state_dict(wrapped, options=WHOLE)
    found = {name: weights[WRAPPED + name].contiguous() for name in names if WRAPPED + name in weights}
    if not optimizer.state:
        return found, {}
    whole: Any = distributed.get_optimizer_state_dict(wrapped, optimizer, options=WHOLE)
    flat = {
        f"{name.removeprefix(WRAPPED)}/{key}": value
        for name, entries in whole.get("state", {}).items()
        for key, value in entries.items()
    }
    return found, flat


def restore_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights into a model that is not wrapped yet."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def restore_optimizer(wrapped: nn.Module, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Undo `gather_state` for the optimizer; every process gives the whole state and keeps its own shard."""
    if not flat:
        return
    state: dict[str, Any] = {}
    for flat_name, value in flat.items():
        name, key = flat_name.rsplit("/", 1)
        state.setdefault(WRAPPED + name, {})[key] = value
    settings: Any = distributed.get_optimizer_state_dict(wrapped, optimizer)["param_groups"]  # which are not restored
    distributed.set_optimizer_state_dict(
        wrapped, optimizer, {"state": state, "param_groups": settings},
        options=distributed.StateDictOptions(full_state_dict=True, strict=False),
    )  # fmt: skip

"""Save and restore the weights and the optimizer state, unsharded, and the random states."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as distributed

__all__ = [
    "gather_state",
    "random_state",
    "restore_optimizer",
    "restore_random_state",
    "restore_weights",
    "weight_names",
]

UNSHARDED = distributed.StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
PREFIX = "model."
"""Prefix of weight names: accelerate wraps a `ResponseLogps`, whose attribute `model` is the policy."""


def weight_names(model: nn.Module) -> list[str]:
    """Return the names of a model's weights and persistent buffers, before it is wrapped. Tied weights appear once."""
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    parameters = [name for name, _ in model.named_parameters()]
    return parameters + [name for name in model.state_dict() if name not in tied]


def gather_state(
    wrapped: nn.Module, optimizer: torch.optim.Optimizer, names: list[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights and the optimizer state, with the names of the unwrapped model.

    All processes must call this, because shards are exchanged. The main process receives the tensors, on the CPU.

    Args:
        wrapped: the model, wrapped by accelerate.
        optimizer: its optimizer.
        names: names of the weights to return (see `weight_names`).

    Returns:
        Weights by name, and the optimizer state with keys such as "NAME/exp_avg", which is empty before the first step.
    """
    weights: Any = distributed.get_model_state_dict(wrapped, options=UNSHARDED)
    model_state = {name: weights[PREFIX + name].contiguous() for name in names if PREFIX + name in weights}
    if not optimizer.state:
        return model_state, {}
    optimizer_state: Any = distributed.get_optimizer_state_dict(wrapped, optimizer, options=UNSHARDED)
    flat = {
        f"{name.removeprefix(PREFIX)}/{key}": value
        for name, entries in optimizer_state.get("state", {}).items()
        for key, value in entries.items()
    }
    return model_state, flat


def restore_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights into a model that accelerate has not yet wrapped."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def restore_optimizer(wrapped: nn.Module, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Load the optimizer state of `gather_state`. Every process passes the full state and keeps its own shard."""
    if not flat:
        return
    state: dict[str, Any] = {}
    for flat_name, value in flat.items():
        name, key = flat_name.rsplit("/", 1)
        state.setdefault(PREFIX + name, {})[key] = value
    groups: Any = distributed.get_optimizer_state_dict(wrapped, optimizer)["param_groups"]  # current, not restored
    distributed.set_optimizer_state_dict(
        wrapped, optimizer, {"state": state, "param_groups": groups},
        options=distributed.StateDictOptions(full_state_dict=True, strict=False),
    )  # fmt: skip


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of this process's random generators (Python, NumPy, PyTorch and GPU), ready for JSON.

    Training without dropout draws no random numbers. Surrounding code may do so, and its sequence continues after
    resuming.
    """
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": _numpy_state(),
        "torch": _as_hex(torch.get_rng_state()),
    }
    if device.type == "cuda":
        state["cuda"] = _as_hex(torch.cuda.get_rng_state(device))
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore a state returned by `random_state`. A GPU state is restored only if the run continues on a GPU."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    numpy_state = state["numpy"]
    key = np.asarray(numpy_state["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy_state, "state": {**numpy_state["state"], "key": key}})
    torch.set_rng_state(_from_hex(state["torch"]))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(_from_hex(state["cuda"]), device)


def _numpy_state() -> dict[str, Any]:
    state: Any = np.random.get_state(legacy=False)
    return {**state, "state": {"key": state["state"]["key"].tolist(), "pos": int(state["state"]["pos"])}}


def _as_hex(state: torch.Tensor) -> str:
    return bytes(state.numpy()).hex()


def _from_hex(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)

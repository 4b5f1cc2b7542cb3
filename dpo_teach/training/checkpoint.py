"""Save a run so that a kill at any moment leaves the last whole state, and read it back.

A checkpoint is a folder written under another name and renamed when it is whole. Tensors are in safetensors, the rest
is JSON: nothing is pickled.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dpo_teach.models import no_progress_bar

__all__ = [
    "METRICS",
    "Checkpoint",
    "claim_output",
    "has_checkpoint",
    "optimizer_tensors",
    "read_checkpoint",
    "restore_optimizer",
    "save_pretrained",
    "write_checkpoint",
]

CHECKPOINT = "checkpoint"
METRICS = "metrics.jsonl"
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stood: steps done, and the tensors to go on from."""

    step: int
    settings: dict[str, Any]
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    extra: dict[str, Tensor]


def claim_output(output: Path, *, resume: bool) -> None:
    """Make the output folder, or refuse one that holds something.

    Raises:
        ValueError: it is not empty and this is no resumption, or it cannot be made.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"output {str(output)!r} is a file: a folder is wanted")
    if output.is_dir() and any(output.iterdir()) and not resume:
        raise ValueError(f"output folder {str(output)!r} is not empty: name another, or go on with its run (--resume)")
    if resume and not has_checkpoint(output) and not (output / METRICS).exists():
        raise ValueError(f"output folder {str(output)!r} has no run to resume: no checkpoint and no {METRICS}")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output folder {str(output)!r} cannot be made: {error.strerror}") from None


def has_checkpoint(output: Path) -> bool:
    """Whether a run in this folder got as far as its first checkpoint."""
    return _last_whole(output).is_dir()


def write_checkpoint(output: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside the last one, then put it in its place."""
    unfinished, old = output / f"{CHECKPOINT}{UNFINISHED}", output / f"{CHECKPOINT}.old"
    for leftover in (unfinished, old):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir()
    save_file(checkpoint.model, unfinished / "model.safetensors")
    save_file(checkpoint.optimizer, unfinished / "optimizer.safetensors")
    save_file(checkpoint.extra, unfinished / "extra.safetensors")
    state = {"step": checkpoint.step, "settings": checkpoint.settings}
    (unfinished / "state.json").write_text(json.dumps(state, indent=2) + "\n")
    _sync(unfinished)
    last = output / CHECKPOINT
    if last.exists():
        last.rename(old)
    unfinished.rename(last)
    shutil.rmtree(old, ignore_errors=True)


def read_checkpoint(output: Path) -> Checkpoint:
    """The last whole checkpoint of a run.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    folder = _last_whole(output)
    try:
        state = json.loads((folder / "state.json").read_text())
        tensors = [load_file(folder / f"{name}.safetensors") for name in ("model", "optimizer", "extra")]
    except Exception as error:
        raise ValueError(f"checkpoint {str(folder)!r} cannot be read: {error}") from error
    return Checkpoint(state["step"], state["settings"], *tensors)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter name, flat: "NAME/exp_avg" and so on."""
    return {
        f"{name}/{key}": value.detach().clone()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo `optimizer_tensors`."""
    parameters = dict(model.named_parameters())
    for flat_name, value in tensors.items():
        name, key = flat_name.rsplit("/", 1)
        optimizer.state[parameters[name]][key] = value.to(parameters[name].device)


def save_pretrained(output: Path, model: Any, tokenizer: Any) -> None:
    """Save a model as `transformers` does, each file put in its place whole, the weights last."""
    unfinished = output / f"model{UNFINISHED}"
    shutil.rmtree(unfinished, ignore_errors=True)
    with no_progress_bar():
        model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    _sync(unfinished)
    for file in sorted(unfinished.iterdir(), key=lambda file: file.suffix == ".safetensors"):
        file.replace(output / file.name)
    unfinished.rmdir()


def _last_whole(output: Path) -> Path:
    """The newest checkpoint; a run killed between the two renames has it under its old name."""
    newest, old = output / CHECKPOINT, output / f"{CHECKPOINT}.old"
    return old if old.is_dir() and not newest.is_dir() else newest


def _sync(folder: Path) -> None:
    """Ask the disk to have every file of a folder before it is renamed."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())

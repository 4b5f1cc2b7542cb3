"""Checkpoints: all of a run at one step, written so that a kill at any moment leaves the last whole one.

A checkpoint is a folder. It is written under another name, brought to the disk, and then renamed; the one before it is
kept, too. Tensors are in safetensors, the rest is JSON: nothing is pickled. `state.json` has the size and the SHA-256
of every other file and of itself, so that a file that was cut or changed is recognised, and the one before is taken.
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from dpo_teach.models import no_progress_bar
from dpo_teach.training.durable import reason_of, sha256_of, share, sync, sync_all

__all__ = [
    "DAMAGED",
    "Checkpoint",
    "DamagedError",
    "find_checkpoints",
    "read_newest",
    "save_pretrained",
    "step_of",
    "write_checkpoint",
]

FORMAT = 2
TENSORS = ("model", "optimizer", "extra")
STATE = "state.json"
UNFINISHED = "unfinished"
REPLACED = "replaced"
DAMAGED = "damaged-"


class DamagedError(ValueError):
    """A checkpoint is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run is made of at one step.

    The learning rate and the place in the data are not here by themselves: both are pure functions of the step, the
    settings and the examples' lengths (`plan_steps`, `learning_rate_at`), on any number of processes.

    Args:
        step: optimizer steps done.
        settings: the configuration, and the number of examples.
        fingerprint: what the run was started on, by name: model, reference, tokenizer, data, truncation.
        random: the state of every random generator, one entry for each process.
        row: metrics of the last step that were not written yet, because its evaluation was interrupted.
        model: weights, by name, unsharded.
        optimizer: the optimizer's state, flat: "NAME/exp_avg" and so on, unsharded.
        extra: what was computed once at the start, such as the reference's log-probabilities.
    """

    step: int
    settings: dict[str, Any]
    fingerprint: dict[str, str]
    random: list[dict[str, Any]]
    row: dict[str, Any] | None
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    extra: dict[str, Tensor]


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first, whole or not."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=step_of, reverse=True)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside the others, put it in its place, and keep one before it.

    Raises:
        OSError, SafetensorError: the disk refused; the checkpoints that were there are as they were.
    """
    unfinished, replaced = folder / UNFINISHED, folder / REPLACED
    final = folder / f"step-{checkpoint.step:08d}"
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        _write(unfinished, checkpoint)
        sync_all(unfinished)
        if final.exists():  # of this very step, but damaged, or of a run that was interrupted here before
            final.rename(replaced)
        unfinished.rename(final)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)  # a full disk has better use for the room
        raise
    sync(folder)
    before = [path for path in find_checkpoints(folder) if step_of(path) < checkpoint.step]
    others = set(find_checkpoints(folder)) - {final, *before[:1]}
    for path in (replaced, *others, *folder.glob(f"{DAMAGED}*")):
        shutil.rmtree(path, ignore_errors=True)
    return final


def read_newest(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint that is whole, and why each newer one was not taken.

    Raises:
        ValueError: none is whole; the message says why of each.
    """
    refused: list[str] = []
    for path in find_checkpoints(folder):
        try:
            return _read(path), refused
        except DamagedError as error:
            refused.append(f"{path.name}: {error}")
    raise ValueError(f"no checkpoint in {str(folder)!r} is whole: {'; '.join(refused) or 'there is none'}")


def save_pretrained(output: Path, model: Any, tokenizer: Any, weights: dict[str, Tensor] | None = None) -> None:
    """Save a model as `transformers` does, each file put in its place whole, the weights last.

    Args:
        output: a folder that exists.
        model: a `transformers` model.
        tokenizer: its tokenizer.
        weights: the model's weights, if it does not hold them whole itself.
    """
    unfinished = output / "model.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with no_progress_bar():
            model.save_pretrained(unfinished, state_dict=weights)
        tokenizer.save_pretrained(unfinished)
        share(unfinished, like="config.json")
        sync_all(unfinished)
        for file in sorted(unfinished.iterdir(), key=lambda file: file.suffix == ".safetensors"):
            file.replace(output / file.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    sync(output)


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    for name in TENSORS:
        save_file(getattr(checkpoint, name), folder / f"{name}.safetensors")
    state = {
        "format": FORMAT,
        "step": checkpoint.step,
        "settings": checkpoint.settings,
        "fingerprint": checkpoint.fingerprint,
        "random": checkpoint.random,
        "row": checkpoint.row,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())
        },
    }
    (folder / STATE).write_text(json.dumps({"sha256": _digest(state), "state": state}) + "\n")
    share(folder, like=STATE)


def _read(folder: Path) -> Checkpoint:
    state = _read_state(folder / STATE)
    for name, wanted in state["files"].items():
        _check_file(folder / name, wanted["bytes"], wanted["sha256"])
    try:
        tensors = [load_file(folder / f"{name}.safetensors") for name in TENSORS]
    except Exception as error:
        raise DamagedError(f"its tensors cannot be read: {reason_of(error)}") from error
    told = ("step", "settings", "fingerprint", "random", "row")
    return Checkpoint(*(state[name] for name in told), *tensors)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_text())
        state, digest = whole["state"], whole["sha256"]
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {reason_of(error)}") from None
    except (ValueError, KeyError, TypeError):
        raise DamagedError(f"{path.name} is not what was written: it was cut or changed") from None
    if _digest(state) != digest:
        raise DamagedError(f"{path.name} is not what was written: its checksum differs")
    if state["format"] != FORMAT:
        raise DamagedError(f"{path.name} is in format {state['format']}, and {FORMAT} is wanted")
    return dict(state)


def _check_file(path: Path, size: int, sha256: str) -> None:
    try:
        found = path.stat().st_size
        if found != size:
            raise DamagedError(f"{path.name} has {found} bytes, and {size} were written")
        if sha256_of(path) != sha256:
            raise DamagedError(f"{path.name} is not what was written: its checksum differs")
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {reason_of(error)}") from None


def _digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def step_of(path: Path) -> int:
    """The step of a checkpoint, by its name."""
    return int(path.name.removeprefix("step-"))

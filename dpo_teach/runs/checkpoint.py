"""Checkpoints: everything that a run consists of at one step, written so that a kill never leaves a broken one alone.

A checkpoint is a folder. It is written under another name, brought to the disk, and then renamed; the one before it is
kept, too. Tensors are in safetensors, the rest is JSON: nothing is pickled. `state.json` has the size and the SHA-256
of every other file and of itself: if a file was truncated or changed, the checkpoint before is used.
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

from dpo_teach.models import silence_transformers
from dpo_teach.runs.atomic_io import copy_modes, sha256_of, short_reason, sync, sync_tree

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

FORMAT = 3
TENSORS = ("model", "optimizer", "precomputed")
VALUES = ("step", "settings", "fingerprint", "random_states", "pending")
STATE = "state.json"
UNFINISHED = "unfinished"
REPLACED = "replaced"
DAMAGED = "damaged-"


class DamagedError(ValueError):
    """A file of a checkpoint is missing, truncated or changed."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run consists of at one step.

    The learning rate and the position in the data are not stored: both are pure functions of the step, the settings
    and the examples' lengths (`plan_steps`, `learning_rate_at`), on any number of processes.

    Args:
        step: optimizer steps done.
        settings: the configuration, and the number of examples.
        fingerprint: what the run was started on, by name: model, reference, tokenizer, data, truncation.
        random_states: the state of every random generator, one entry for each process.
        pending: metrics of the last step that are not in the log yet, because its evaluation was interrupted.
        model: weights, by name, unsharded.
        optimizer: the optimizer's state, flat: "NAME/exp_avg" and so on, unsharded.
        precomputed: tensors computed once at the start, such as the reference's log-probabilities.
    """

    step: int
    settings: dict[str, Any]
    fingerprint: dict[str, str]
    random_states: list[dict[str, Any]]
    pending: dict[str, Any] | None
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    precomputed: dict[str, Tensor]


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first, intact or not."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step of a checkpoint, by its name."""
    return int(path.name.removeprefix("step-"))


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside the others, rename it into place, and keep one before it.

    Raises:
        OSError, SafetensorError: the disk is full or broken; existing checkpoints are unchanged.
    """
    unfinished, replaced = folder / UNFINISHED, folder / REPLACED
    final = folder / f"step-{checkpoint.step:08d}"
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        _write(unfinished, checkpoint)
        sync_tree(unfinished)
        if final.exists():  # a damaged one of the same step, or one of an earlier run that was interrupted here
            final.rename(replaced)
        unfinished.rename(final)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)  # free the space on a full disk
        raise
    sync(folder)
    before = [path for path in find_checkpoints(folder) if step_of(path) < checkpoint.step]
    others = set(find_checkpoints(folder)) - {final, *before[:1]}
    for path in (replaced, *others, *folder.glob(f"{DAMAGED}*")):
        shutil.rmtree(path, ignore_errors=True)
    return final


def read_newest(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest intact checkpoint, and what is wrong with each newer one.

    Raises:
        ValueError: none is intact; the message gives the reason for each.
    """
    problems: list[str] = []
    for path in find_checkpoints(folder):
        try:
            return _read(path), problems
        except DamagedError as error:
            problems.append(f"{path.name}: {error}")
    raise ValueError(f"no intact checkpoint in {str(folder)!r}: {'; '.join(problems) or 'found none'}")


def save_pretrained(output: Path, model: Any, tokenizer: Any, weights: dict[str, Tensor] | None = None) -> None:
    """Save a model as `transformers` does, each file renamed into place when it is complete, the weights last.

    Args:
        output: a folder that exists.
        model: a `transformers` model.
        tokenizer: its tokenizer.
        weights: the model's weights, if they are sharded in `model`.
    """
    unfinished = output / "model.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with silence_transformers():
            model.save_pretrained(unfinished, state_dict=weights)
        tokenizer.save_pretrained(unfinished)
        copy_modes(unfinished, like="config.json")
        sync_tree(unfinished)
        for file in sorted(unfinished.iterdir(), key=lambda file: file.suffix == ".safetensors"):
            file.replace(output / file.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    sync(output)


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    for name in TENSORS:
        save_file(getattr(checkpoint, name), folder / f"{name}.safetensors")
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())}
    state = {"format": FORMAT, **{name: getattr(checkpoint, name) for name in VALUES}, "files": files}
    (folder / STATE).write_text(json.dumps({"sha256": _digest(state), "state": state}) + "\n")
    copy_modes(folder, like=STATE)


def _read(folder: Path) -> Checkpoint:
    state = _read_state(folder / STATE)
    for name, expected in state["files"].items():
        _check_file(folder / name, expected["bytes"], expected["sha256"])
    try:
        tensors: dict[str, Any] = {name: load_file(folder / f"{name}.safetensors") for name in TENSORS}
    except Exception as error:
        raise DamagedError(f"its tensors cannot be read: {short_reason(error)}") from error
    return Checkpoint(**{name: state[name] for name in VALUES}, **tensors)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        state, digest = content["state"], content["sha256"]
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {short_reason(error)}") from None
    except (ValueError, KeyError, TypeError):
        raise DamagedError(f"{path.name} was truncated or changed") from None
    if _digest(state) != digest:
        raise DamagedError(f"{path.name} was changed: its checksum differs")
    if state["format"] != FORMAT:
        raise DamagedError(f"{path.name}: expected format {FORMAT}, found {state['format']}")
    return dict(state)


def _check_file(path: Path, size: int, sha256: str) -> None:
    try:
        found = path.stat().st_size
        if found != size:
            raise DamagedError(f"{path.name}: expected {size} bytes, found {found}")
        if sha256_of(path) != sha256:
            raise DamagedError(f"{path.name} was changed: its checksum differs")
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {short_reason(error)}") from None


def _digest(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()

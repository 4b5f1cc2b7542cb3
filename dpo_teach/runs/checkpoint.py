"""Checkpoints: the complete state of a run at one step, written so that an intact one remains after any kill.

A checkpoint is a folder. It is written under a temporary name, synced to disk, and then renamed. The previous
checkpoint is kept, too. Tensors are stored as safetensors and all other values as JSON; nothing is pickled.
`state.json` contains the size and SHA-256 of the other files and its own SHA-256. If a file was truncated or changed,
the previous checkpoint is used.
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
    """A checkpoint file is missing, truncated or changed."""


@dataclass(frozen=True)
class Checkpoint:
    """The complete state of a run at one step.

    The learning rate and the position in the data are not stored. Both are pure functions of the step, the settings and
    the lengths of the examples (`plan_steps`, `learning_rate_at`), for any number of processes.

    Args:
        step: number of completed optimizer steps.
        settings: the configuration and the number of examples.
        fingerprint: inputs of the run, by name: model, reference, tokenizer, data, truncation.
        random_states: states of all random generators, one entry per process.
        pending: metrics of the last step that have not been logged, because its evaluation was interrupted.
        model: unsharded weights, by name.
        optimizer: unsharded optimizer state as a flat dictionary with keys such as "NAME/exp_avg".
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
    """Return all checkpoints in a folder, intact or not, the newest first."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """Return the step of a checkpoint from its name."""
    return int(path.name.removeprefix("step-"))


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, rename it into place, and keep one earlier checkpoint.

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
        if final.exists():  # a damaged checkpoint of this step, or one from an earlier run that was interrupted here
            final.rename(replaced)
        unfinished.rename(final)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)  # to free space on a full disk
        raise
    sync(folder)
    before = [path for path in find_checkpoints(folder) if step_of(path) < checkpoint.step]
    others = set(find_checkpoints(folder)) - {final, *before[:1]}
    for path in (replaced, *others, *folder.glob(f"{DAMAGED}*")):
        shutil.rmtree(path, ignore_errors=True)
    return final


def read_newest(folder: Path) -> tuple[Checkpoint, list[str]]:
    """Return the newest intact checkpoint, and the problem of each newer one.

    Raises:
        ValueError: no checkpoint is intact; the message gives the problem of each.
    """
    problems: list[str] = []
    for path in find_checkpoints(folder):
        try:
            return _read(path), problems
        except DamagedError as error:
            problems.append(f"{path.name}: {error}")
    raise ValueError(f"no intact checkpoint in {str(folder)!r}: {'; '.join(problems) or 'found none'}")


def save_pretrained(output: Path, model: Any, tokenizer: Any, weights: dict[str, Tensor] | None = None) -> None:
    """Save a model in the format of `transformers`. Complete files are renamed into place, the weights last.

    Args:
        output: an existing folder.
        model: a `transformers` model.
        tokenizer: its tokenizer.
        weights: unsharded weights of the model, if those in `model` are sharded.
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
        raise DamagedError(f"the tensors cannot be read: {short_reason(error)}") from error
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

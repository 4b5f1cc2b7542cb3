"""The output folder of a run: lock, metrics, checkpoints and the trained model."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from dpo_teach.runs.atomic_io import DISK_ERRORS, atomic_write, short_reason, sync
from dpo_teach.runs.checkpoint import (
    DAMAGED,
    Checkpoint,
    find_checkpoints,
    read_newest,
    save_pretrained,
    step_of,
    write_checkpoint,
)
from dpo_teach.runs.fingerprint import fingerprint_text

__all__ = ["METRICS", "RunFolder", "read_trained_on"]

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoint"
TRAINED_ON = "trained_on.txt"
LOCK = "lock"


def read_trained_on(path: Path) -> set[str]:
    """Checksums of the prompts and responses that the model in a folder was trained on; empty if there are none."""
    file = path / TRAINED_ON
    return set(file.read_text(encoding="utf-8").split()) if file.is_file() else set()


class RunFolder:
    """The output folder of a run. All processes may read it, but only the main process may write to it.

    Args:
        path: the folder, which does not need to exist yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._metrics = path / METRICS

    @contextmanager
    def locked(self, *, resume: bool) -> Iterator[None]:
        """Lock the folder until the end of the block, so that no other run can use it. Create it for a new run.

        The operating system releases the lock when the process ends for any reason.

        Raises:
            ValueError: the path is a file; the folder is not empty and `resume` is False; there is nothing to resume;
                another run is using the folder; or it cannot be created or written to.
        """
        lock = FileLock(self.checkpoints / LOCK, timeout=0)
        try:
            self._check_usable(resume=resume)
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ValueError(f"output folder {str(self.path)!r} is in use by another run; wait until that run ends, "
                             "or choose another folder") from None  # fmt: skip
        except OSError as error:
            raise ValueError(f"output folder {str(self.path)!r} cannot be written to: {short_reason(error)}") from None
        try:
            if not resume:
                self._check_empty()
            yield
        finally:
            lock.release()

    def last_checkpoint(self) -> Path | None:
        """Return the newest checkpoint according to its name."""
        return next(iter(find_checkpoints(self.checkpoints)), None)

    def read_checkpoint(self) -> tuple[Checkpoint, list[str]] | None:
        """Return the newest intact checkpoint and the problems of newer ones, or None if there is no checkpoint.

        Raises:
            ValueError: there are checkpoints, and none is intact.
        """
        return None if self.last_checkpoint() is None else read_newest(self.checkpoints)

    def set_aside_damaged(self, step: int) -> None:
        """Rename the damaged checkpoints after the step from which the run resumes."""
        for path in find_checkpoints(self.checkpoints):
            if step_of(path) > step:
                path.rename(path.with_name(f"{DAMAGED}{path.name}"))

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Sync the metrics to disk, and then write a checkpoint.

        Raises:
            OSError: the disk is full or broken; the message names the last good checkpoint.
        """
        try:
            if self._metrics.exists():
                sync(self._metrics)
            write_checkpoint(self.checkpoints, checkpoint)
        except DISK_ERRORS as error:
            raise OSError(
                f"the checkpoint of step {checkpoint.step} could not be written to {str(self.checkpoints)!r}: "
                f"{short_reason(error)}; {self.describe_last()}"
            ) from error

    def write_model(
        self, model: Any, tokenizer: Any, weights: dict[str, Tensor], trained_on: Iterable[tuple[str, str]]
    ) -> None:
        """Write the trained model in the format of `transformers`, and checksums of the texts that it was trained on.

        Raises:
            OSError: the disk is full or broken; the weights are in the last checkpoint.
        """
        try:
            atomic_write(self.path / TRAINED_ON, "".join(f"{fingerprint_text(*texts)}\n" for texts in trained_on))
            save_pretrained(self.path, model, tokenizer, weights)
        except DISK_ERRORS as error:
            raise OSError(
                f"the trained model could not be written to {str(self.path)!r}: {short_reason(error)}; "
                f"{self.describe_last()}"
            ) from error

    def describe_last(self) -> str:
        """Describe the checkpoint from which the run would resume, for a message."""
        last = self.last_checkpoint()
        if last is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {str(last)!r}: resume from it with --resume or train(resume=True)"

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Append the metrics of one step as one line.

        Raises:
            OSError: the disk is full or broken.
        """
        try:
            with self._metrics.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OSError(
                f"the metrics of step {row['step']} could not be written to {str(self._metrics)!r}: "
                f"{short_reason(error)}; {self.describe_last()}"
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the rows of all complete lines, in order. A kill may have truncated the last line."""
        rows = []
        for line in self._metrics.read_text(errors="replace").splitlines() if self._metrics.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def replace_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Replace the contents of the metrics file by these rows.

        Raises:
            OSError: the disk is full or broken.
        """
        if not rows and not self._metrics.exists():
            return
        try:
            atomic_write(self._metrics, "".join(json.dumps(row) + "\n" for row in rows))
        except OSError as error:
            raise OSError(f"{str(self._metrics)!r} could not be written: {short_reason(error)}") from error

    def _check_usable(self, *, resume: bool) -> None:
        """Refuse a folder that contains files other than those of a run."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"output {str(self.path)!r}: expected a folder, found a file")
        started = (self.checkpoints / LOCK).exists() or find_checkpoints(self.checkpoints) or self._metrics.exists()
        if resume and not started:
            raise ValueError(f"output folder {str(self.path)!r} has no run to resume: no checkpoint and no {METRICS}; "
                             "check the path, or start a new run without --resume (resume=False)")  # fmt: skip
        if not started:
            self._check_empty()

    def _check_empty(self) -> None:
        """Refuse a folder that contains more than a lock, which a run killed before its first step leaves behind."""
        found = {path.name for path in self.path.iterdir()} if self.path.exists() else set()
        kept = {path.name for path in self.checkpoints.iterdir()} if self.checkpoints.is_dir() else set()
        if found - {CHECKPOINTS} or kept - {LOCK}:
            raise ValueError(f"output folder {str(self.path)!r} is not empty; choose another folder, or resume the "
                             "run in it with --resume or train(resume=True)")  # fmt: skip

"""A run's folder on the disk: whose it is, its metrics, its checkpoints, and the model at its end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from dpo_teach.training.checkpoint import (
    DAMAGED,
    Checkpoint,
    find_checkpoints,
    read_newest,
    save_pretrained,
    step_of,
    write_checkpoint,
)
from dpo_teach.training.durable import DISK_ERRORS, reason_of, sync

__all__ = ["METRICS", "RunFolder"]

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoint"
LOCK = "lock"


class RunFolder:
    """The output folder of a run. Every process may read; only the main process may write.

    Args:
        path: where it is, or will be.
    """

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._metrics = path / METRICS

    @contextmanager
    def claimed(self, *, resume: bool) -> Iterator[None]:
        """Make the folder, or take up its run; until the end of the block no other run gets in.

        The lock is the system's own: it goes with the process that holds it, however that ends.

        Raises:
            ValueError: it is a file; it is not empty and this is no resumption; there is nothing to resume; another
                run is at work in it; or it cannot be made or written to.
        """
        lock = FileLock(self.checkpoints / LOCK, timeout=0)
        try:
            self._refuse_strangers(resume=resume)
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ValueError(f"output folder {str(self.path)!r} is in use by another run: wait until that has ended, "
                             "or name another folder") from None  # fmt: skip
        except OSError as error:
            raise ValueError(f"output folder {str(self.path)!r} cannot be written to: {reason_of(error)}") from None
        try:
            if not resume:
                self._refuse_contents()
            yield
        finally:
            lock.release()

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint, by its name."""
        return next(iter(find_checkpoints(self.checkpoints)), None)

    def read_checkpoint(self) -> tuple[Checkpoint, list[str]] | None:
        """The newest whole checkpoint and why newer ones were not taken; None if the run did not get so far.

        Raises:
            ValueError: there are checkpoints, and none is whole.
        """
        return None if self.last_checkpoint() is None else read_newest(self.checkpoints)

    def set_aside_damaged(self, step: int) -> None:
        """Rename the checkpoints after a step: they were not whole, and the run goes on from that step."""
        for path in find_checkpoints(self.checkpoints):
            if step_of(path) > step:
                path.rename(path.with_name(f"{DAMAGED}{path.name}"))

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Bring the metrics to the disk, and then a checkpoint.

        Raises:
            OSError: the disk refused; the message names the last good checkpoint.
        """
        try:
            if self._metrics.exists():
                sync(self._metrics)
            write_checkpoint(self.checkpoints, checkpoint)
        except DISK_ERRORS as error:
            raise OSError(
                f"the checkpoint of step {checkpoint.step} could not be written to {str(self.checkpoints)!r}: "
                f"{reason_of(error)}; {self.describe_last()}"
            ) from error

    def write_model(self, model: Any, tokenizer: Any, weights: dict[str, Tensor]) -> None:
        """Write the trained model as `transformers` does.

        Raises:
            OSError: the disk refused; the weights are in the last checkpoint.
        """
        try:
            save_pretrained(self.path, model, tokenizer, weights)
        except DISK_ERRORS as error:
            raise OSError(
                f"the trained model could not be written to {str(self.path)!r}: {reason_of(error)}; "
                f"{self.describe_last()}"
            ) from error

    def describe_last(self) -> str:
        """Which checkpoint a run would go on from, for a message."""
        last = self.last_checkpoint()
        if last is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {str(last)!r}: --resume, or train(resume=True), goes on from it"

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add one step's line.

        Raises:
            OSError: the disk refused.
        """
        try:
            with self._metrics.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OSError(
                f"the metrics of step {row['step']} could not be written to {str(self._metrics)!r}: "
                f"{reason_of(error)}; {self.describe_last()}"
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of all whole lines, in order; a kill may have left the last one torn."""
        rows = []
        for line in self._metrics.read_text(errors="replace").splitlines() if self._metrics.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def replace_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Leave these rows and no others.

        Raises:
            OSError: the disk refused.
        """
        if not rows and not self._metrics.exists():
            return
        unfinished = self._metrics.with_suffix(".unfinished")
        try:
            unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows))
            sync(unfinished)
            unfinished.replace(self._metrics)
        except OSError as error:
            raise OSError(f"{str(self._metrics)!r} could not be written: {reason_of(error)}") from error

    def _refuse_strangers(self, *, resume: bool) -> None:
        """Write nothing into a folder that is no run's."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"output {str(self.path)!r} is a file: a folder is wanted")
        started = (self.checkpoints / LOCK).exists() or find_checkpoints(self.checkpoints) or self._metrics.exists()
        if resume and not started:
            raise ValueError(f"output folder {str(self.path)!r} has no run to resume: no checkpoint and no {METRICS}")
        if not started:
            self._refuse_contents()

    def _refuse_contents(self) -> None:
        """A run that was killed before its first step left a lock, and nothing else."""
        found = {path.name for path in self.path.iterdir()} if self.path.exists() else set()
        kept = {path.name for path in self.checkpoints.iterdir()} if self.checkpoints.is_dir() else set()
        if found - {CHECKPOINTS} or kept - {LOCK}:
            raise ValueError(f"output folder {str(self.path)!r} is not empty: name another, or go on with its run "
                             "(--resume)")  # fmt: skip

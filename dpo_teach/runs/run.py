"""A training run: its progress, and how it is saved, stopped and resumed. Each trainer has one."""

import signal
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from dpo_teach.logps import ResponseLogps
from dpo_teach.runs.atomic_io import short_reason
from dpo_teach.runs.checkpoint import Checkpoint
from dpo_teach.runs.fingerprint import check_settings, describe_changes
from dpo_teach.runs.folder import METRICS, RunFolder
from dpo_teach.runs.signals import StopSignals, log
from dpo_teach.runs.state import (
    gather_state,
    random_state,
    restore_optimizer,
    restore_random_state,
    restore_weights,
    weight_names,
)

__all__ = ["Metrics", "Run"]

Metrics = dict[str, int | float]


class Run:
    """One training run, which survives kills, full disks and Ctrl-C.

    A trainer calls `locked` and `start` at the beginning, `log_metrics` and (if due) `save` after each step,
    `stop_if_requested` between steps, and `finish` at the end. Without an output folder nothing is written, and an
    interrupted run can be continued from memory.

    Args:
        output: folder for metrics, checkpoints and the trained model; None writes nothing to disk.
        accelerator: the processes that train together.

    Attributes:
        started: whether there is a run in memory.
        step: number of optimizer steps that the weights have taken, out of `total_steps`.
        pending: metrics of the last step until they are logged. They remain here if the evaluation after the step is
            interrupted.
        metrics: one row per completed step.
        fingerprint: the inputs of the run.
        signals: requests to stop.
    """

    def __init__(self, output: Path | None, accelerator: Accelerator):
        self.folder = None if output is None else RunFolder(output)
        self.signals = StopSignals(accelerator)
        self._accelerator = accelerator
        self.reset()

    def reset(self) -> None:
        """Discard the run in memory."""
        self.started = False
        self.step = self.total_steps = 0
        self.pending: Metrics | None = None
        self.metrics: list[Metrics] = []
        self.fingerprint: dict[str, str] = {}
        self._saved_step = -1  # step of the last checkpoint; -1 if there is none

    @contextmanager
    def locked(self, *, resume: bool) -> Iterator[None]:
        """Lock the output folder, in the main process, until the end of the block.

        Raises:
            ValueError: see `RunFolder.locked`; also if there is neither a folder nor a run in memory to resume.
        """
        if self.folder is None and resume and not self.started:
            raise ValueError("resume=True needs the output folder of an earlier run, or a trainer whose run was "
                             "interrupted; this trainer has neither")  # fmt: skip
        with ExitStack() as stack:
            if self.folder is not None:
                folder = self.folder
                self._on_main_process(lambda: stack.enter_context(folder.locked(resume=resume)))
            yield

    # Start and resume

    def start(
        self, module: ResponseLogps, optimizer: torch.optim.Optimizer, *, total_steps: int, settings: dict[str, Any],
        fingerprint: dict[str, str], precomputed: dict[str, Tensor], checkpoint: Checkpoint | None,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Start the run at its first step or at a checkpoint.

        Args:
            module: the policy to train.
            optimizer: its optimizer.
            total_steps: total number of steps of the run.
            settings: the configuration and the number of examples.
            fingerprint: checksums of the model, the data and other inputs.
            precomputed: tensors to store in every checkpoint, such as the reference's log-probabilities.
            checkpoint: checkpoint to resume from; None for a new run.

        Returns:
            Module and optimizer, wrapped by accelerate for autocast, several processes or a sharded model.
        """
        self.total_steps, self._settings, self._precomputed = total_steps, settings, precomputed
        self._weight_names = weight_names(module.model)  # before accelerate wraps it
        if checkpoint is not None:
            restore_weights(module.model, checkpoint.model)
        self._module, self._optimizer = self._accelerator.prepare(module, optimizer)
        if checkpoint is None:
            self._replace_metrics([])
        else:
            self._restore(checkpoint)
        self.started, self.fingerprint = True, fingerprint
        return self._module, self._optimizer

    def read_checkpoint(self) -> Checkpoint | None:
        """Return the newest intact checkpoint, or None if there is no checkpoint or the run in memory has more steps.

        Raises:
            ValueError: there are checkpoints, and none is intact.
        """
        found = None if self.folder is None else self.folder.read_checkpoint()
        self._accelerator.wait_for_everyone()  # before the main process changes the folder
        if found is None:
            return None
        checkpoint, self._problems = found
        return None if self.started and checkpoint.step < self.step else checkpoint

    def check_resumable(
        self, checkpoint: Checkpoint, settings: dict[str, Any], fingerprint: dict[str, str], may_change: Container[str]
    ) -> None:
        """Refuse to resume with different settings (except those in `may_change`), a different model or other data.

        Raises:
            ValueError: something differs; the message names it.
        """
        assert self.folder is not None
        check_settings(checkpoint.settings, settings, may_change)
        if changed := describe_changes(checkpoint.fingerprint, fingerprint):
            raise ValueError(f"output folder {str(self.folder.path)!r}: cannot resume, because {changed} changed since "
                             "the run started; restore the original, or start a new run in another folder")  # fmt: skip

    def continue_from_memory(self) -> None:
        """Continue the run in memory, which has more steps than the last checkpoint."""
        self._replace_metrics(self.metrics)

    # During the run

    def log_metrics(self, row: Metrics) -> None:
        """Log the metrics of the step that has just been completed."""
        folder = self.folder
        with self.signals.deferred():
            if folder is not None:
                self._on_main_process(lambda: folder.append_metrics(row))
            self.metrics.append(row)
            self.pending = None

    def save(self) -> dict[str, Tensor]:
        """Write a checkpoint, unless this step is already saved, and return the unsharded weights.

        All processes must call this; the main process receives the tensors and writes. Without a folder, does nothing.

        Raises:
            OSError: the disk is full or broken; existing checkpoints are unchanged.
        """
        if self.folder is None:
            return {}
        folder = self.folder
        with self.signals.deferred():
            weights, optimizer = gather_state(self._module, self._optimizer.optimizer, self._weight_names)
            if self._saved_step != self.step:
                checkpoint = Checkpoint(
                    step=self.step, settings=self._settings, fingerprint=self.fingerprint,
                    random_states=gather_object([random_state(self._accelerator.device)]), pending=self.pending,
                    model=weights, optimizer=optimizer, precomputed=self._precomputed,
                )  # fmt: skip
                self._on_main_process(lambda: folder.write_checkpoint(checkpoint))
                self._saved_step = self.step
        return weights

    def stop_if_requested(self) -> None:
        """Stop all processes together, between two steps, if a signal has requested it.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            SystemExit: another signal was received; the run was saved, and the last step and checkpoint were printed.
        """
        requested = self.signals.poll()
        if requested == signal.SIGINT:
            raise KeyboardInterrupt
        if requested:
            status = self.save_and_describe()
            if self._accelerator.is_main_process:
                log(f"stopped by {signal.Signals(requested).name} {status}")
            raise SystemExit(128 + requested)

    def save_and_describe(self) -> str:
        """Save the run, if it has a folder. Return its progress and how to resume it, for a message."""
        status = f"after step {self.step} of {self.total_steps}"
        if self.folder is None:
            return f"{status}; the run is kept in memory: continue with train(resume=True)"
        alone = self._accelerator.num_processes > 1 and not self.signals.known_to_all
        if not alone:  # otherwise the other processes would not join the save
            try:
                self.save()
            except OSError as error:
                return f"{status}; {short_reason(error)}"
        return f"{status}; {self.folder.describe_last()}"

    def finish(self, model: Any, tokenizer: Any, trained_on: Iterable[tuple[str, str]]) -> None:
        """Save the last checkpoint and the trained model. A run killed before this point does it after resuming.

        Args:
            model: the trained model.
            tokenizer: its tokenizer.
            trained_on: prompt and response of each training example, whose checksums are written beside the model.
        """
        if self.folder is None:
            return
        folder, weights = self.folder, self.save()
        with self.signals.deferred():
            self._on_main_process(lambda: folder.write_model(model, tokenizer, weights, trained_on))
        self.stop_if_requested()

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state in a checkpoint except the weights: optimizer, random states, step and metrics."""
        assert self.folder is not None
        folder = self.folder
        if self._problems and self._accelerator.is_main_process:
            log(f"warning: resuming from step {checkpoint.step}, the newest intact checkpoint; "
                f"{'; '.join(self._problems)}")  # fmt: skip
        self._on_main_process(lambda: folder.set_aside_damaged(checkpoint.step))
        restore_optimizer(self._module, self._optimizer.optimizer, checkpoint.optimizer)
        rank = self._accelerator.process_index
        if rank < len(checkpoint.random_states):  # additional processes keep their current state
            restore_random_state(checkpoint.random_states[rank], self._accelerator.device)
        self.step, self.pending, self._saved_step = checkpoint.step, checkpoint.pending, checkpoint.step
        self._replace_metrics([row for row in folder.read_metrics() if row["step"] <= self._logged_steps])

    @property
    def _logged_steps(self) -> int:
        return self.step - (self.pending is not None)

    def _replace_metrics(self, rows: list[Metrics]) -> None:
        """Keep only the rows of completed steps; later steps are repeated."""
        self.metrics = rows
        folder = self.folder
        if folder is not None:
            self._on_main_process(lambda: folder.replace_metrics(rows))
        if len(rows) != self._logged_steps and self._accelerator.is_main_process:
            log(f"warning: {METRICS} has only {len(rows)} of {self._logged_steps} steps; the run itself is intact")

    def _on_main_process(self, action: Callable[[], Any]) -> None:
        """Run an action on the folder in the main process only. Its errors are raised in all processes."""
        error: list[Exception | None] = [None]
        if self._accelerator.is_main_process:
            try:
                action()
            except (OSError, ValueError) as raised:
                error = [raised]
        if self._accelerator.num_processes > 1:
            broadcast_object_list(error)
        if error[0] is not None:
            raise error[0]

"""What keeps a run through kills, interruptions and full disks: how it begins, is saved, is stopped and ends."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from dpo_teach.logps import ResponseLogps
from dpo_teach.training.checkpoint import Checkpoint
from dpo_teach.training.config import TrainingConfig
from dpo_teach.training.durable import reason_of
from dpo_teach.training.fingerprint import describe_changes, fingerprint_model, fingerprint_tokenizer
from dpo_teach.training.guards import check_settings
from dpo_teach.training.randomness import random_state, restore_random_state
from dpo_teach.training.run_folder import METRICS, RunFolder
from dpo_teach.training.schedule import plan_steps
from dpo_teach.training.state import gather_state, restore_optimizer, restore_weights, weight_names
from dpo_teach.training.stopping import StopRequests, tell

__all__ = ["Metrics", "Run", "RunKeeper"]

Metrics = dict[str, int | float]


@dataclass
class Run:
    """A run as it stands in memory.

    Args:
        plan: the examples of every step.
        fingerprint: what the run was started on.
        extra: what was computed once at the start.
        names: the model's weights, by their names before accelerate wrapped it.
        module: what accelerate made of the model.
        optimizer: what accelerate made of its optimizer.
        done: optimizer steps that the weights have taken.
        row: the last step's metrics until they are told; None at all other times.
        saved: the step of the last checkpoint; -1 for none.
    """

    plan: list[list[int]]
    fingerprint: dict[str, str]
    extra: dict[str, Tensor]
    names: list[str]
    module: Any
    optimizer: Any
    done: int = 0
    row: Metrics | None = None
    saved: int = -1


class RunKeeper(ABC):
    """The half of a trainer that keeps a run. Its attributes are set by `Trainer`."""

    model: Any
    tokenizer: Any
    config: TrainingConfig
    output: Path | None
    folder: RunFolder | None
    max_length: int
    accelerator: Accelerator
    metrics: list[Metrics]
    _run: Run | None

    @property
    @abstractmethod
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""

    @abstractmethod
    def fingerprint_data(self) -> str:
        """A checksum of the token ids of all training and held-out examples."""

    def prepare(self) -> dict[str, Tensor]:
        """What must be computed once at the start of a run and kept through interruptions."""
        return {}

    def restore(self, extra: dict[str, Tensor]) -> None:  # noqa: B027 (there may be nothing to take back)
        """Take back what `prepare` gave, at the start and on resuming; the model has its weights of the start."""

    def plan(self) -> list[list[int]]:
        """The examples of every step of this run: a pure function of the settings and the examples' lengths."""
        config = self.config
        steps = plan_steps(self.lengths, batch_size=config.batch_size, epochs=config.epochs, seed=config.seed,
                           length_window=config.length_window)  # fmt: skip
        return steps[: config.max_steps]

    def fingerprint(self) -> dict[str, str]:
        """What a run is started on, part by part: checksums, and the truncation in words."""
        return {
            "model": fingerprint_model(self.model),
            "tokenizer": fingerprint_tokenizer(self.tokenizer),
            "truncation": f"max_length={self.max_length}, max_prompt_length={self.config.max_prompt_length}",
            "data": self.fingerprint_data(),
        }

    @contextmanager
    def _claimed(self, *, resume: bool) -> Iterator[None]:
        """Hold the output folder, in the main process, for as long as this run is at work."""
        if self.folder is None:
            if resume and self._run is None:
                raise ValueError("resume=True needs the output folder of the run to go on with, or a trainer whose "
                                 "run was interrupted; this one has neither")  # fmt: skip
            yield
            return
        with ExitStack() as held:
            self._in_main(lambda folder: held.enter_context(folder.claimed(resume=resume)))
            yield

    def _begin(self, *, resume: bool) -> Run:
        """The run to go on with: a new one, the one in memory, or that of the last whole checkpoint."""
        self.model.to(self.accelerator.device)
        run = self._run if resume else None
        found = self.folder.read_checkpoint() if resume and self.folder is not None else None
        self.accelerator.wait_for_everyone()
        if run is not None and (found is None or found[0].step < run.done):
            self._keep_metrics(self.metrics, run.done - (run.row is not None))
            return run
        if found is not None:
            return self._go_on(*found, None if run is None else run.fingerprint)
        self._run = None
        self._keep_metrics([], 0)
        fingerprint = self.fingerprint()
        extra = self.prepare()
        self.restore(extra)
        return self._wrapped(fingerprint, extra)

    def _go_on(self, state: Checkpoint, refused: list[str], fingerprint: dict[str, str] | None) -> Run:
        """Take up a checkpoint; a trainer that began the run itself still knows what it was started on."""
        assert self.folder is not None
        check_settings(state.settings, self._settings())
        changed = describe_changes(state.fingerprint, fingerprint or self.fingerprint())
        if changed:
            raise ValueError(f"output folder {str(self.output)!r}: its run was started on something else; what differs "
                             f"is {changed}; give the same again, or start a new run in another folder")  # fmt: skip
        if refused and self.accelerator.is_main_process:
            tell(f"warning: going on from step {state.step}, the last whole checkpoint, because of "
                 f"{'; '.join(refused)}")  # fmt: skip
        self._in_main(lambda folder: folder.set_aside_damaged(state.step))
        if fingerprint is None:
            self.restore(state.extra)
        restore_weights(self.model, state.model)
        run = self._wrapped(state.fingerprint, state.extra)
        restore_optimizer(run.module, run.optimizer.optimizer, state.optimizer)
        rank = self.accelerator.process_index
        if rank < len(state.random):  # with more processes than before, the new ones draw from where they are
            restore_random_state(state.random[rank], self.accelerator.device)
        run.done, run.row, run.saved = state.step, state.row, state.step
        told = state.step - (state.row is not None)
        self._keep_metrics([row for row in self.folder.read_metrics() if row["step"] <= told], told)
        return run

    def _wrapped(self, fingerprint: dict[str, str], extra: dict[str, Tensor]) -> Run:
        """A run at its first step, with model and optimizer as accelerate wants them."""
        names = weight_names(self.model)
        optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=self.config.learning_rate,
            betas=(0.9, 0.99), weight_decay=self.config.weight_decay, fused=True,
        )  # fmt: skip
        module, optimizer = self.accelerator.prepare(ResponseLogps(self.model), optimizer)
        return Run(self.plan(), fingerprint, extra, names, module, optimizer)

    def _save(self, run: Run, requests: StopRequests) -> dict[str, Tensor]:
        """Write a checkpoint of where the run stands, unless the last one is of there; returns the weights.

        All processes take part, and the main one has the tensors and writes.
        """
        with requests.held_off():
            weights, optimizer = gather_state(run.module, run.optimizer.optimizer, run.names)
            if self.folder is not None and run.saved != run.done:
                generators = gather_object([random_state(self.accelerator.device)])
                state = Checkpoint(run.done, self._settings(), run.fingerprint, generators, run.row, weights,
                                   optimizer, run.extra)  # fmt: skip
                self._in_main(lambda folder: folder.write_checkpoint(state))
                run.saved = run.done
        return weights

    def _finish(self, run: Run, requests: StopRequests) -> None:
        """Save the last checkpoint and the model; a run that was killed in between does it on resuming."""
        if self.folder is None:
            return
        weights = self._save(run, requests)
        with requests.held_off():
            self._in_main(lambda folder: folder.write_model(self.model, self.tokenizer, weights))
        self._answer(run, requests)

    def _answer(self, run: Run, requests: StopRequests) -> None:
        """Stop here, between two steps, if a signal asked for it: all processes at once."""
        asked = requests.asked()
        if asked == signal.SIGINT:
            raise KeyboardInterrupt
        if asked:
            told = self._keep(run, requests)
            if self.accelerator.is_main_process:
                tell(f"stopped by {signal.Signals(asked).name} {told}")
            raise SystemExit(128 + asked)

    def _keep(self, run: Run, requests: StopRequests) -> str:
        """Save what is done, where there is a folder; says where the run stands and how to go on."""
        stands = f"after step {run.done} of {len(run.plan)}"
        if self.folder is None:
            return f"{stands}; the run is kept in memory: train(resume=True) goes on"
        if self.accelerator.num_processes > 1 and not requests.asked_all:
            return f"{stands}; {self.folder.describe_last()}"
        try:
            self._save(run, requests)
        except OSError as error:
            return f"{stands}; {reason_of(error)}"
        return f"{stands}; {self.folder.describe_last()}"

    def _in_main(self, act: Callable[[RunFolder], Any]) -> None:
        """Do something in the folder, in the main process only; what goes wrong there is raised in all processes."""
        problem: list[Exception | None] = [None]
        if self.accelerator.is_main_process and self.folder is not None:
            try:
                act(self.folder)
            except (OSError, ValueError) as error:
                problem = [error]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(problem)
        if problem[0] is not None:
            raise problem[0]

    def _keep_metrics(self, rows: list[Metrics], steps: int) -> None:
        """The rows of the steps that the run has taken; later ones are taken again."""
        self.metrics = rows
        if self.folder is not None:
            self._in_main(lambda folder: folder.replace_metrics(rows))
        if len(rows) != steps and self.accelerator.is_main_process:
            tell(f"warning: {METRICS} has {len(rows)} of {steps} steps; the run itself is whole, and goes on")

    def _settings(self) -> dict[str, Any]:
        return {**self.config.as_dict(), "examples": len(self.lengths)}

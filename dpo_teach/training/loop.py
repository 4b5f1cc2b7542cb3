"""The training loop that SFT and DPO share: steps, micro-batches, schedule, metrics.

A step is a fixed list of examples. How it is cut into micro-batches and shared among processes changes memory and
time, never the numbers: every micro-batch's summed loss is divided by the weight of the whole step. What keeps a run
through kills, interruptions and full disks is in `keeping.py`.
"""

import os
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor
from torch.distributed.fsdp import MixedPrecisionPolicy
from tqdm.auto import tqdm

from dpo_teach.models import check_embeddings, check_padding, fitting_length, switch_dropout_off, takes_packed
from dpo_teach.training.config import Precision, TrainingConfig
from dpo_teach.training.guards import check_gradient, check_means, check_precision, check_result
from dpo_teach.training.keeping import Metrics, Run, RunKeeper
from dpo_teach.training.run_folder import RunFolder
from dpo_teach.training.schedule import learning_rate_at
from dpo_teach.training.stopping import StopRequests

__all__ = ["Metrics", "Trainer"]

ROWS_NAMED = 4


class Trainer(RunKeeper):
    """One training run of one model. Subclasses say what an example is and what its loss is.

    Args:
        model: the policy; it is trained in place, in eval mode and with dropout off, as `load_model` gives it.
        tokenizer: its tokenizer.
        config: what can be set.
        output: a folder for metrics, checkpoints and the trained model; None keeps nothing on disk.
        on_step: called with each step's metrics, for live curves.
        progress: show a progress bar.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        config: TrainingConfig,
        *,
        output: Path | str | None = None,
        on_step: Callable[[Metrics], None] | None = None,
        progress: bool = False,
    ):
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError("model has no trainable weight: every parameter has requires_grad=False, so the loss "
                             "would stay where it is")  # fmt: skip
        check_embeddings("model", model, tokenizer)
        check_padding(tokenizer)
        check_precision(model)
        # With dropout, policy and reference would differ at the first step, and micro-batches would change the numbers.
        self.model = switch_dropout_off(model).eval()
        self.tokenizer, self.config = tokenizer, config
        self.output = None if output is None else Path(output)
        self.folder = None if self.output is None else RunFolder(self.output)
        self.max_length = fitting_length(config.max_length, model)
        self.packed = config.packed and takes_packed(model)
        self._on_step, self._progress = on_step, progress
        self.accelerator = _accelerator(config.precision)
        self.metrics: list[Metrics] = []
        self._run: Run | None = None

    @abstractmethod
    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """The summed loss of some training examples, and sums of what is reported beside it."""

    @abstractmethod
    def weight(self, indices: Sequence[int]) -> float:
        """What a summed loss over some training examples is divided by to make their mean."""

    @abstractmethod
    def evaluate(self) -> Metrics:
        """Metrics of the held-out examples, named `eval_...`; empty where there are none."""

    def rows(self, indices: Sequence[int]) -> list[str]:
        """Which rows of the data some training examples came from, for messages."""
        return [f"example {index + 1}" for index in indices]

    def train(self, *, resume: bool = False) -> list[Metrics]:
        """Train to the end of the plan; returns one row of metrics per step, which is also in metrics.jsonl.

        Ctrl-C and SIGTERM are answered after the step in hand: the run is saved, if it has an output folder, and can be
        gone on with, in another process or by this very trainer.

        Args:
            resume: go on from the last checkpoint in `output`, or without one from where this trainer stopped.

        Raises:
            ValueError: the output folder is not empty or another run is at work in it, there is nothing to resume
                from, the run was started on something else, or the loss cannot move or is not finite.
            OSError: the disk is full or may not be written to; checkpoints stay as they were.
            KeyboardInterrupt: Ctrl-C; the message says where the run stands.
            SystemExit: SIGTERM, with 143 as the exit status.
        """
        with self._claimed(resume=resume):
            run = self._run = self._begin(resume=resume)
            self._logps, self._optimizer = run.module, run.optimizer
            with StopRequests(self.accelerator) as requests:
                try:
                    self._go(run, requests)
                    self._finish(run, requests)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(f"interrupted {self._keep(run, requests)}") from None
            self.accelerator.wait_for_everyone()
        return self.metrics

    def response_logps(self, batch: Any) -> Tensor:
        """Log-probabilities of a batch under the model in training, in the run's precision; shape (batch,), nats."""
        return self._logps(batch.to(self.accelerator.device))

    def in_micro_batches(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        """Cut a list of examples into what one forward pass takes."""
        size = self.config.micro_batch_size or max(len(indices), 1)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]

    def _go(self, run: Run, requests: StopRequests) -> None:
        """Take the steps that are left. A row that waits is of a step whose evaluation was interrupted."""
        with self._bar(run) as bar:
            while run.row is not None or run.done < len(run.plan):
                self._answer(run, requests)
                if run.row is None:
                    bar.set_description(f"step {run.done + 1} of {len(run.plan)}", refresh=False)
                    self._step(run, requests)
                bar.update(int((run.row or {})["tokens"]))
                self._close_step(run, requests)
            self._answer(run, requests)

    def _bar(self, run: Run) -> tqdm:
        """Progress in tokens: steps of long texts take longer, and the time that is left would jump with each."""
        tokens = [sum(self.lengths[i] for i in step) for step in run.plan]
        shown = self._progress and self.accelerator.is_local_main_process
        done = sum(tokens[: run.done - (run.row is not None)])
        return tqdm(total=sum(tokens), initial=done, unit="tokens", unit_scale=True, disable=not shown)

    def _step(self, run: Run, requests: StopRequests) -> None:
        started, step, indices = time.perf_counter(), run.done, run.plan[run.done]
        rate = learning_rate_at(step, total_steps=len(run.plan), peak=self.config.learning_rate,
                                warmup_fraction=self.config.warmup_fraction, schedule=self.config.schedule)  # fmt: skip
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        try:
            means = self._accumulate(indices)
            check_means(step, means, lambda: self._context(indices))
            norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm))
            check_gradient(step, norm, lambda: self._context(indices))
            with requests.held_off():
                run.optimizer.step()
                run.done, run.row = step + 1, {
                    "step": step + 1, **means, "learning_rate": rate, "grad_norm": norm,
                    "tokens": float(sum(self.lengths[i] for i in indices)),
                    "seconds": time.perf_counter() - started,
                }  # fmt: skip
        finally:
            run.optimizer.zero_grad()  # those of a step that was interrupted, too

    def _accumulate(self, indices: list[int]) -> Metrics:
        """Gradients of the mean loss over one step's examples; returns the means of what is reported."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        scale = 1 / self.weight(indices)
        micro_batches = [(part, scale) for part in self.in_micro_batches(indices[rank::processes])]
        while len(micro_batches) < len(list(self.in_micro_batches(indices[::processes]))):
            micro_batches.append((indices[:1], 0.0))  # a process without work still takes part in every exchange
        sums: dict[str, Tensor] = {}
        for number, (micro_batch, scale) in enumerate(micro_batches):
            with torch.enable_grad(), self._exchange_gradients(number + 1 == len(micro_batches)):
                loss, reported = self.loss(micro_batch)
                # Gradients are averaged over the processes, and a sum over them is wanted.
                self.accelerator.backward(loss * scale * processes)
            for name, value in {"loss": loss, **reported}.items():
                sums[name] = sums.get(name, torch.zeros_like(loss)) + value.detach() * scale
        # One exchange between processes and one copy to the CPU, which waits for the GPU, for all metrics of the step.
        means = self.accelerator.reduce(torch.stack(list(sums.values())), "sum").tolist()
        return dict(zip(sums, means, strict=True))

    def _exchange_gradients(self, last: bool) -> Any:
        return torch.enable_grad() if last else self.accelerator.no_sync(self._logps)

    def _close_step(self, run: Run, requests: StopRequests) -> None:
        """Evaluate, tell and save what is due after a step."""
        last, row = run.done == len(run.plan), dict(run.row or {})
        if last:
            check_result(run.done, {"the loss": self._loss_again(run)}, lambda: self._context(run.plan[-1]))
        if last or (self.config.eval_every and run.done % self.config.eval_every == 0):
            found = self.evaluate()
            check_result(run.done, found, lambda: self._context(run.plan[run.done - 1]))
            row |= found
        with requests.held_off():
            if self.folder is not None:
                self._in_main(lambda folder: folder.append_metrics(row))
            self.metrics.append(row)
            run.row = None
        self._told(row)
        if not last and self.config.save_every and run.done % self.config.save_every == 0:
            self._save(run, requests)

    def _loss_again(self, run: Run) -> float:
        """The summed loss of a few examples of the last step, which no later step will look at.

        Without gradients, as an evaluation; but as in a step where the model is compiled, which without them would be
        compiled once more.
        """
        with torch.set_grad_enabled(self.config.compile):
            loss, _ = self.loss(next(iter(self.in_micro_batches(run.plan[-1]))))
        return float(self.accelerator.reduce(loss.detach(), "sum"))

    def _told(self, row: Metrics) -> None:
        """A step's metrics are written: tell who listens."""
        if self._on_step is not None:
            self._on_step(row)

    def _context(self, indices: Sequence[int]) -> str:
        """What a person wants to know of a step that went wrong."""
        named = "; ".join(self.rows(indices[:ROWS_NAMED]))
        more = f"; and {len(indices) - ROWS_NAMED} more" if len(indices) > ROWS_NAMED else ""
        last = "there is no output folder, so no checkpoint" if self.folder is None else self.folder.describe_last()
        return (f"its rows: {named}{more}; a smaller learning_rate than {self.config.learning_rate} may help; "
                f"{last}")  # fmt: skip


def _accelerator(precision: Precision) -> Accelerator:
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
    AcceleratorState._reset_state()  # runs of different precision may follow each other in one notebook
    return Accelerator(
        mixed_precision="bf16" if use_bf16 else "no", cpu=not torch.accelerator.is_available(),
        fsdp_plugin=_divided_in_bf16() if use_bf16 and os.environ.get("ACCELERATE_USE_FSDP") == "true" else None,
    )  # fmt: skip


def _divided_in_bf16() -> FullyShardedDataParallelPlugin:
    """The launcher's FSDP settings, with log-probabilities left in float32: bfloat16 has three digits for a sum."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)  # outputs stay as they are
    return FullyShardedDataParallelPlugin(mixed_precision_policy=policy)

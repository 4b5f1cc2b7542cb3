"""The training loop that SFT and DPO share: steps, micro-batches, schedule, metrics.

A step is a fixed list of examples. How it is cut into micro-batches and shared among processes changes memory and
time, never the numbers: every micro-batch's summed loss is divided by the size of the whole step. What makes the run
survive kills, interruptions and full disks is in `dpo_teach.runs`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from tqdm.auto import tqdm

from dpo_teach.logps import ResponseLogps
from dpo_teach.models import (
    check_embeddings,
    check_logits,
    check_padding,
    compiled_layers,
    fitting_length,
    switch_dropout_off,
    takes_packed,
)
from dpo_teach.runs.fingerprint import fingerprint_model, fingerprint_tokenizer
from dpo_teach.runs.run import Metrics, Run
from dpo_teach.training.accelerator import make_accelerator
from dpo_teach.training.checks import check_finite, check_precision, check_update
from dpo_teach.training.config import MAY_CHANGE, TrainingConfig
from dpo_teach.training.schedule import learning_rate_at, plan_steps

__all__ = ["Metrics", "Trainer"]

ROWS_IN_MESSAGE = 4


class Trainer(ABC):
    """Trains one model. Subclasses define what an example is and what its loss is.

    Args:
        model: the policy; it is trained in place, in eval mode and with dropout off, as `load_model` returns it.
        tokenizer: its tokenizer.
        config: the settings.
        output: a folder for metrics, checkpoints and the trained model; None keeps nothing on disk.
        on_step: called with each step's metrics, for live curves.
        progress: show a progress bar.

    Attributes:
        run: where the run stands.
        metrics: one row for each step.
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
        check_logits("model", self.model)
        self.tokenizer, self.config = tokenizer, config
        self.max_length = fitting_length(config.max_length, model)
        self.packed = config.packed and takes_packed(model)
        self.on_step, self._progress = on_step, progress
        self.accelerator = make_accelerator(config.precision)
        self.run = Run(None if output is None else Path(output), self.accelerator)

    # What a subclass defines

    @property
    @abstractmethod
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""

    @abstractmethod
    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """The summed loss of some training examples, and sums of other metrics to report."""

    @abstractmethod
    def denominator(self, indices: Sequence[int]) -> float:
        """What a summed loss over some training examples is divided by to give their mean."""

    @abstractmethod
    def evaluate(self) -> Metrics:
        """Metrics of the held-out examples, named `eval_...`; empty if there are none."""

    @abstractmethod
    def rows(self, indices: Sequence[int]) -> list[str]:
        """Which rows of the data some training examples came from, for messages."""

    @abstractmethod
    def texts(self) -> list[tuple[str, str]]:
        """Prompt and response of each training example; of a pair, the chosen response."""

    @abstractmethod
    def fingerprint_data(self) -> str:
        """A checksum of the token ids of all training and held-out examples."""

    def prepare(self) -> dict[str, Tensor]:
        """Compute what is computed once, at the start of a run; checkpoints keep it."""
        return {}

    def use_precomputed(self, precomputed: dict[str, Tensor]) -> None:  # noqa: B027 (not every trainer has any)
        """Receive what `prepare` returned, at the start or from a checkpoint; the model has its initial weights."""

    # The loop

    def train(self, *, resume: bool = False) -> list[Metrics]:
        """Train to the end of the plan; returns one row of metrics per step, which is also in metrics.jsonl.

        Ctrl-C and SIGTERM take effect after the current step: the run is saved, if it has an output folder, and can be
        resumed, in another process or by this trainer.

        Args:
            resume: continue from the last checkpoint in `output`, or without one from where this trainer stopped.

        Raises:
            ValueError: the output folder is not empty or in use by another run, there is nothing to resume, the run
                was started on something else, or the loss cannot move or is not finite.
            OSError: the disk is full or may not be written to; checkpoints are unchanged.
            KeyboardInterrupt: Ctrl-C; the message says where the run stands.
            SystemExit: SIGTERM, with 143 as the exit status.
        """
        run = self.run
        with run.locked(resume=resume), compiled_layers(self.model, on=self.config.compile):
            self._start_or_resume(resume=resume)
            with run.signals:
                try:
                    self._take_steps()
                    run.finish(self.model, self.tokenizer, self.texts())
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(f"interrupted {run.save_and_describe()}") from None
                finally:
                    self._optimizer.zero_grad()  # of a step that was interrupted
            self.accelerator.wait_for_everyone()
        return run.metrics

    def _take_steps(self) -> None:
        """Take the steps that are left."""
        run, config, plan = self.run, self.config, self._plan
        with self._progress_bar() as bar:
            if run.pending is not None:  # the evaluation after the last step was interrupted
                self._complete_step(run.pending)
            for step in range(run.step + 1, len(plan) + 1):
                run.stop_if_requested()
                started, indices = time.perf_counter(), plan[step - 1]
                bar.set_description(f"step {step} of {len(plan)}", refresh=False)
                learning_rate = self._set_learning_rate(step)
                sums = self._accumulate_gradients(indices)
                norm = self.accelerator.clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
                means, grad_norm = self._to_floats(sums, norm)
                check_update(step, means, grad_norm, lambda: self._describe_step(indices))  # noqa: B023 (called at once)
                with run.signals.deferred():  # the weights and the count of steps change together
                    self._optimizer.step()
                    run.step, run.pending = step, {
                        "step": step, **means, "learning_rate": learning_rate, "grad_norm": grad_norm,
                        "tokens": float(sum(self.lengths[i] for i in indices)),
                        "seconds": time.perf_counter() - started,
                    }  # fmt: skip
                self._optimizer.zero_grad()
                bar.update(int(run.pending["tokens"]))
                self._complete_step(run.pending)
        run.stop_if_requested()

    def _complete_step(self, row: Metrics) -> None:
        """Evaluate if due, log the metrics of the step, save if due."""
        run, config, last = self.run, self.config, self.run.step == len(self._plan)
        if last or (config.eval_every and run.step % config.eval_every == 0):
            row = row | self._evaluate_and_check(last=last)
        run.log_metrics(row)
        self._after_step(row)
        if not last and config.save_every and run.step % config.save_every == 0:
            run.save()

    def _set_learning_rate(self, step: int) -> float:
        config = self.config
        rate = learning_rate_at(step - 1, total_steps=len(self._plan), peak=config.learning_rate,
                                warmup_fraction=config.warmup_fraction, schedule=config.schedule)  # fmt: skip
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _accumulate_gradients(self, indices: list[int]) -> dict[str, Tensor]:
        """Compute the gradients of the mean loss of one step; returns this process's part of the means to report."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        scale = 1 / self.denominator(indices)
        micro_batches = [(part, scale) for part in self.micro_batches(indices[rank::processes])]
        while len(micro_batches) < len(list(self.micro_batches(indices[::processes]))):
            micro_batches.append((indices[:1], 0.0))  # a process without work takes part in every exchange, with 0
        sums: dict[str, Tensor] = {}
        for number, (examples, factor) in enumerate(micro_batches, start=1):
            exchange = nullcontext() if number == len(micro_batches) else self.accelerator.no_sync(self._logps)
            with torch.enable_grad(), exchange:
                loss, reported = self.loss(examples)
                # Gradients are averaged over the processes; times their number, that is a sum.
                self.accelerator.backward(loss * factor * processes)
            for name, value in {"loss": loss, **reported}.items():
                sums[name] = sums.get(name, 0) + value.detach() * factor
        return sums

    def _to_floats(self, sums: dict[str, Tensor], norm: Tensor) -> tuple[dict[str, float], float]:
        """The means of a step and its gradient norm: one exchange between the processes, one wait for the GPU."""
        means = self.accelerator.reduce(torch.stack(list(sums.values())), "sum")
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm  # of a sharded model
        *values, grad_norm = torch.cat([means, norm.reshape(1)]).tolist()
        return dict(zip(sums, values, strict=True)), grad_norm

    def _evaluate_and_check(self, *, last: bool) -> Metrics:
        """Metrics of the held-out examples; after the last step, also check that the model still gives finite numbers.

        Raises:
            ValueError: one is not finite.
        """
        loss = {"loss": self._loss_after_last_step()} if last else {}  # no later step would notice
        metrics = self.evaluate()
        check_finite(f"after step {self.run.step}", loss | metrics, lambda: (
            f"nothing was saved since; {self._describe_step(self._plan[self.run.step - 1])}"
        ))  # fmt: skip
        return metrics

    def _loss_after_last_step(self) -> float:
        """The summed loss of a few examples of the last step.

        Without gradients, as in an evaluation; but with them where the model is compiled, which would be compiled once
        more otherwise.
        """
        with torch.set_grad_enabled(self.config.compile):
            loss, _ = self.loss(next(self.micro_batches(self._plan[-1])))
        return float(self.accelerator.reduce(loss.detach(), "sum"))

    def _after_step(self, row: Metrics) -> None:
        """The metrics of a step are logged."""
        if self.on_step is not None:
            self.on_step(row)

    def response_logps(self, batch: Any) -> Tensor:
        """Log-probabilities of a batch under the model in training, in the run's precision; shape (batch,), nats."""
        return self._logps(batch.to(self.accelerator.device))

    def micro_batches(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        """Cut a list of examples into parts for one forward pass each."""
        size = self.config.micro_batch_size or max(len(indices), 1)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]

    # Start and resume

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

    def _start_or_resume(self, *, resume: bool) -> None:
        """Start a new run, or continue from the newest intact checkpoint or from memory, whichever is further."""
        run, settings = self.run, {**self.config.as_dict(), "examples": len(self.lengths)}
        self.model.to(self.accelerator.device)
        checkpoint = run.read_checkpoint() if resume else None
        if checkpoint is None and resume and run.started:
            run.continue_from_memory()
            return
        if checkpoint is None:
            run.reset()
            fingerprint, precomputed = self.fingerprint(), self.prepare()
        else:
            fingerprint, precomputed = run.fingerprint or self.fingerprint(), checkpoint.precomputed
            run.check_resumable(checkpoint, settings, fingerprint, MAY_CHANGE)
        if not run.started:  # else the reference is there already, and the policy has left its initial weights
            self.use_precomputed(precomputed)
        self._plan = self.plan()
        self._logps, self._optimizer = run.start(
            ResponseLogps(self.model), self._make_optimizer(), total_steps=len(self._plan), settings=settings,
            fingerprint=fingerprint, precomputed=precomputed, checkpoint=checkpoint,
        )  # fmt: skip

    def _make_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=self.config.learning_rate,
            betas=(0.9, 0.99), weight_decay=self.config.weight_decay, fused=True,
        )  # fmt: skip

    @property
    def metrics(self) -> list[Metrics]:
        """One row for each step that is complete."""
        return self.run.metrics

    def _progress_bar(self) -> tqdm:
        """Progress in tokens: steps of long texts take longer, and an estimate by steps would jump."""
        tokens = [sum(self.lengths[i] for i in step) for step in self._plan]
        shown = self._progress and self.accelerator.is_local_main_process
        return tqdm(total=sum(tokens), initial=sum(tokens[: self.run.step]), unit="tokens", unit_scale=True,
                    disable=not shown)  # fmt: skip

    def _describe_step(self, indices: Sequence[int]) -> str:
        """What helps to find out why a step went wrong."""
        named = "; ".join(self.rows(indices[:ROWS_IN_MESSAGE]))
        more = f"; and {len(indices) - ROWS_IN_MESSAGE} more" if len(indices) > ROWS_IN_MESSAGE else ""
        folder = self.run.folder
        last = "there is no output folder, so no checkpoint" if folder is None else folder.describe_last()
        return (f"its rows: {named}{more}; a smaller learning_rate than {self.config.learning_rate} may help; "
                f"{last}")  # fmt: skip

"""The training loop shared by SFT and DPO: steps, micro-batches, schedule, metrics.

A step is a fixed list of examples. Its division into micro-batches and among processes affects memory and time, but not
the numbers, because the summed loss of every micro-batch is divided by the size of the whole step. The code that lets a
run survive kills, interruptions and full disks is in `dpo_teach.runs`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from tqdm import tqdm

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
from dpo_teach.progress_bar import progress_bar
from dpo_teach.runs.fingerprint import fingerprint_model, fingerprint_tokenizer
from dpo_teach.runs.run import Metrics, Run
from dpo_teach.training.accelerator import make_accelerator
from dpo_teach.training.checks import check_finite, check_precision, check_update
from dpo_teach.training.config import MAY_CHANGE, TrainingConfig
from dpo_teach.training.schedule import learning_rate_at, plan_steps

__all__ = ["Metrics", "Trainer"]

ROWS_IN_MESSAGE = 4


class Trainer(ABC):
    """Train one model. Subclasses define the examples and their loss.

    Args:
        model: the policy. It is trained in place, in eval mode and without dropout, as `load_model` returns it.
        tokenizer: its tokenizer.
        config: the settings.
        output: folder for metrics, checkpoints and the trained model; None writes nothing to disk.
        on_step: called with the metrics of each step, for example to plot them.
        progress: show a progress bar.

    Attributes:
        run: the state of the run.
        metrics: one row per step.
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
            raise ValueError("model has no trainable weight, so the loss cannot change: every parameter has "
                             "requires_grad=False; set it to True for the parameters to train")  # fmt: skip
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

    # Defined by subclasses

    @property
    @abstractmethod
    def lengths(self) -> Sequence[int]:
        """Number of tokens of each training example."""

    @abstractmethod
    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the summed loss of some training examples, and the sums of other metrics to report."""

    @abstractmethod
    def denominator(self, indices: Sequence[int]) -> float:
        """Return the number by which the summed loss of some training examples is divided to give their mean."""

    @abstractmethod
    def evaluate(self) -> Metrics:
        """Return metrics of the held-out examples, named `eval_...`; empty if there are none."""

    @abstractmethod
    def rows(self, indices: Sequence[int]) -> list[str]:
        """Return the source and row of some training examples, for messages."""

    @abstractmethod
    def texts(self) -> list[tuple[str, str]]:
        """Prompt and response of each training example; of a pair, the chosen response."""

    @abstractmethod
    def fingerprint_data(self) -> str:
        """Return a checksum of the token ids of all training and held-out examples."""

    def prepare(self) -> dict[str, Tensor]:
        """Compute tensors that are needed once, at the start of a run, and saved in every checkpoint."""
        return {}

    def use_precomputed(self, precomputed: dict[str, Tensor]) -> None:  # noqa: B027 (optional for subclasses)
        """Use the tensors of `prepare`, new or from a checkpoint. The model still has its initial weights."""

    def prepare_step(self, indices: Sequence[int]) -> None:  # noqa: B027 (optional for subclasses)
        """Compute what the loss of every micro-batch of a step needs to know about the whole step."""

    # The loop

    def train(self, *, resume: bool = False) -> list[Metrics]:
        """Take all planned steps and return one row of metrics per step. The rows are also written to metrics.jsonl.

        Ctrl-C and SIGTERM take effect after the current step. The run is then saved, if it has an output folder, and
        can be resumed by this trainer or in another process.

        Args:
            resume: continue from the last checkpoint in `output` or, if there is none, from the state of this trainer.

        Raises:
            ValueError: the output folder is not empty or is used by another run, there is nothing to resume, the run
                was started with different inputs or settings, or the loss is not finite or cannot change.
            OSError: the disk is full or not writable; checkpoints are unchanged.
            KeyboardInterrupt: Ctrl-C; the message gives the last step and the last checkpoint.
            SystemExit: SIGTERM, with exit status 143.
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
                    self._optimizer.zero_grad()  # discard the gradients of an interrupted step
            self.accelerator.wait_for_everyone()
        return run.metrics

    def _take_steps(self) -> None:
        """Take the remaining steps."""
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
                check_update(step, means, grad_norm, lambda: self._describe_step(indices))  # noqa: B023 (called immediately)
                with run.signals.deferred():  # weights and step count must change together
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
        """Evaluate if due, log the metrics of the step, and save a checkpoint if due."""
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
        """Compute the gradient of the mean loss of one step, and return this process's part of the reported means."""
        processes = self.accelerator.num_processes
        scale = 1 / self.denominator(indices)
        micro_batches = self.own_micro_batches(indices)
        self.prepare_step(indices)
        sums: dict[str, Tensor] = {}
        for number, (examples, weight) in enumerate(micro_batches, start=1):
            factor = weight * scale
            exchange = nullcontext() if number == len(micro_batches) else self.accelerator.no_sync(self._logps)
            with torch.enable_grad(), exchange:
                loss, reported = self.loss(examples)
                # Gradients are averaged over the processes, so multiply by their number to get a sum.
                self.accelerator.backward(loss * factor * processes)
            for name, value in {"loss": loss, **reported}.items():
                sums[name] = sums.get(name, 0) + value.detach() * factor
        return sums

    def _to_floats(self, sums: dict[str, Tensor], norm: Tensor) -> tuple[dict[str, float], float]:
        """Return the means of a step and its gradient norm, with one exchange between processes and one GPU sync."""
        means = self.accelerator.reduce(torch.stack(list(sums.values())), "sum")
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm  # of a sharded model
        *values, grad_norm = torch.cat([means, norm.reshape(1)]).tolist()
        return dict(zip(sums, values, strict=True)), grad_norm

    def _evaluate_and_check(self, *, last: bool) -> Metrics:
        """Evaluate the held-out examples. After the last step, also check that the model's loss is still finite.

        Raises:
            ValueError: a metric is not finite.
        """
        loss = {"loss": self._loss_after_last_step()} if last else {}  # no later step would detect a broken model
        metrics = self.evaluate()
        check_finite(f"after step {self.run.step}", loss | metrics, lambda: (
            f"this step was not saved; {self._describe_step(self._plan[self.run.step - 1])}"
        ))  # fmt: skip
        return metrics

    def _loss_after_last_step(self) -> float:
        """Return the summed loss of a few examples of the last step.

        Gradients are enabled only if the model is compiled, because it would otherwise be compiled again.
        """
        with torch.set_grad_enabled(self.config.compile):
            loss, _ = self.loss(next(self.micro_batches(self._plan[-1])))
        return float(self.accelerator.reduce(loss.detach(), "sum"))

    def _after_step(self, row: Metrics) -> None:
        """Called after the metrics of a step have been logged."""
        if self.on_step is not None:
            self.on_step(row)

    def response_logps(self, batch: Any) -> Tensor:
        """Return log-probabilities of a batch under the trained model, in the run's precision; shape (batch,), nats."""
        return self._logps(batch.to(self.accelerator.device))

    def micro_batches(self, indices: Sequence[int]) -> Iterator[Sequence[int]]:
        """Split a list of examples into parts for one forward pass each."""
        size = self.config.micro_batch_size or max(len(indices), 1)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]

    def own_micro_batches(self, indices: Sequence[int]) -> list[tuple[Sequence[int], float]]:
        """Return this process's micro-batches of a step, each with weight 1.

        All processes have the same number of them, because each forward pass may exchange tensors. A process with
        fewer examples repeats one with weight 0.
        """
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        parts = [(part, 1.0) for part in self.micro_batches(indices[rank::processes])]
        missing = len(list(self.micro_batches(indices[::processes]))) - len(parts)
        return parts + [(indices[:1], 0.0)] * missing

    # Start and resume

    def plan(self) -> list[list[int]]:
        """Return the examples of every step, which depend only on the settings and the lengths of the examples."""
        config = self.config
        steps = plan_steps(self.lengths, batch_size=config.batch_size, epochs=config.epochs, seed=config.seed,
                           length_window=config.length_window)  # fmt: skip
        return steps[: config.max_steps]

    def fingerprint(self) -> dict[str, str]:
        """Return the inputs of the run by name: checksums, and the truncation limits as text."""
        return {
            "model": fingerprint_model(self.model),
            "tokenizer": fingerprint_tokenizer(self.tokenizer),
            "truncation": f"max_length={self.max_length}, max_prompt_length={self.config.max_prompt_length}",
            "data": self.fingerprint_data(),
        }

    def _start_or_resume(self, *, resume: bool) -> None:
        """Start a new run, or continue from the newest intact checkpoint or from memory, whichever has more steps."""
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
            defaults = type(self.config)().as_dict()  # of settings that did not exist when the run was started
            checkpoint = replace(checkpoint, settings={**defaults, **checkpoint.settings})
            run.check_resumable(checkpoint, settings, fingerprint, MAY_CHANGE)
        if not run.started:  # otherwise the reference already exists, and the policy no longer has its initial weights
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
        """One row per completed step."""
        return self.run.metrics

    def _progress_bar(self) -> tqdm:
        """Show progress in tokens: steps with long texts take longer, and an estimate in steps would jump."""
        tokens = [sum(self.lengths[i] for i in step) for step in self._plan]
        shown = self._progress and self.accelerator.is_local_main_process
        return progress_bar("training", requested=shown, total=sum(tokens), initial=sum(tokens[: self.run.step]),
                            unit="tokens", unit_scale=True)  # fmt: skip

    def _describe_step(self, indices: Sequence[int]) -> str:
        """Describe a step for an error message: its rows, the learning rate, and the last checkpoint."""
        named = "; ".join(self.rows(indices[:ROWS_IN_MESSAGE]))
        more = f"; and {len(indices) - ROWS_IN_MESSAGE} more" if len(indices) > ROWS_IN_MESSAGE else ""
        folder = self.run.folder
        last = (
            "no checkpoint was saved, because there is no output folder" if folder is None else folder.describe_last()
        )
        return (f"rows of this step: {named}{more}; try a learning_rate below {self.config.learning_rate}; "
                f"{last}")  # fmt: skip

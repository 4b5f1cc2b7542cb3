"""The training loop that SFT and DPO share: steps, micro-batches, schedule, metrics, checkpoints.

A step is a fixed list of examples. How it is cut into micro-batches and shared among processes changes memory and
time, never the numbers: every micro-batch's summed loss is divided by the weight of the whole step.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from tqdm.auto import tqdm

from dpo_teach.logps import ResponseLogps
from dpo_teach.models import takes_packed
from dpo_teach.training import checkpoint as saving
from dpo_teach.training.config import Precision, TrainingConfig
from dpo_teach.training.guards import check_gradient, fitting_length
from dpo_teach.training.schedule import learning_rate_at, plan_steps

__all__ = ["Metrics", "Trainer"]

Metrics = dict[str, int | float]


class Trainer(ABC):
    """One training run of one model. Subclasses say what an example is and what its loss is.

    Args:
        model: the policy; it is trained in place.
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
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.output = None if output is None else Path(output)
        self.max_length = fitting_length(config, model)
        self.packed = config.packed and takes_packed(model)
        self._on_step, self._progress = on_step, progress
        self.accelerator = _accelerator(config.precision)
        self.metrics: list[Metrics] = []

    @property
    @abstractmethod
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""

    @abstractmethod
    def loss(self, indices: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """The summed loss of some training examples, and sums of what is reported beside it."""

    @abstractmethod
    def weight(self, indices: Sequence[int]) -> float:
        """What a summed loss over some training examples is divided by to make their mean."""

    @abstractmethod
    def evaluate(self) -> Metrics:
        """Metrics of the held-out examples, named `eval_...`; empty where there are none."""

    def prepare(self) -> dict[str, Tensor]:
        """What must be computed once at the start of a run and kept through interruptions."""
        return {}

    def restore(self, extra: dict[str, Tensor]) -> None:  # noqa: B027 (there may be nothing to take back)
        """Take back what `prepare` gave, at the start and on resuming."""

    def plan(self) -> list[list[int]]:
        """The examples of every step of this run."""
        config = self.config
        steps = plan_steps(self.lengths, batch_size=config.batch_size, epochs=config.epochs, seed=config.seed,
                           length_window=config.length_window)  # fmt: skip
        return steps[: config.max_steps]

    def train(self, *, resume: bool = False) -> list[Metrics]:
        """Train to the end of the plan; returns one row of metrics per step, which is also in metrics.jsonl.

        Args:
            resume: go on from the checkpoint in `output`.

        Raises:
            ValueError: the output folder is not empty, there is nothing to resume from, or the loss cannot move.
        """
        if self.accelerator.is_main_process and self.output is not None:
            saving.claim_output(self.output, resume=resume)
        self.accelerator.wait_for_everyone()
        self.model.to(self.accelerator.device)
        optimizer = torch.optim.AdamW(
            [p for p in self.model.parameters() if p.requires_grad], lr=self.config.learning_rate,
            betas=(0.9, 0.99), weight_decay=self.config.weight_decay, fused=True,
        )  # fmt: skip
        first_step, extra = self._start(optimizer, resume=resume)
        self._logps, self._optimizer = self.accelerator.prepare(self._logps_module(), optimizer)
        plan = self.plan()
        for step in tqdm(range(first_step, len(plan)), initial=first_step, total=len(plan), unit="step",
                         disable=not (self._progress and self.accelerator.is_local_main_process)):  # fmt: skip
            row = self._step(step, plan)
            last = step + 1 == len(plan)
            if last or (self.config.eval_every and (step + 1) % self.config.eval_every == 0):
                row |= self.evaluate()
            self._record(row)
            if not last and self.config.save_every and (step + 1) % self.config.save_every == 0:
                self._save_checkpoint(step + 1, extra)
        if self.output is not None and len(plan) > first_step:
            self._save_checkpoint(len(plan), extra)
            if self.accelerator.is_main_process:
                saving.save_pretrained(self.output, self.model, self.tokenizer)
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

    def _start(self, optimizer: torch.optim.Optimizer, *, resume: bool) -> tuple[int, dict[str, Tensor]]:
        """The step to begin with, and what was prepared for the run: anew, or out of its last checkpoint."""
        self.metrics = []
        if resume and self.output is None:
            raise ValueError("resume=True needs the output folder of the run to go on with")
        if self.output is None or not resume or not saving.has_checkpoint(self.output):
            self._keep_metrics(0)
            extra = self.prepare()
            self.restore(extra)
            return 0, extra
        state = saving.read_checkpoint(self.output)
        self._check_settings(state.settings)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state.model[name])
        saving.restore_optimizer(self.model, optimizer, state.optimizer)
        self.restore(state.extra)
        self._keep_metrics(state.step)
        return state.step, state.extra

    def _logps_module(self) -> torch.nn.Module:
        """What accelerate wraps; compiled, its shapes are free, since no two batches have the same."""
        module = ResponseLogps(self.model)
        if self.config.compile:
            module.compile(dynamic=True)
        return module

    def _step(self, step: int, plan: list[list[int]]) -> Metrics:
        started = time.perf_counter()
        rate = learning_rate_at(step, total_steps=len(plan), peak=self.config.learning_rate,
                                warmup_fraction=self.config.warmup_fraction, schedule=self.config.schedule)  # fmt: skip
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        means = self._accumulate(plan[step])
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        check_gradient(step, float(norm), self.config.learning_rate)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return {"step": step + 1, **means, "learning_rate": rate, "grad_norm": float(norm),
                "tokens": float(sum(self.lengths[i] for i in plan[step])),
                "seconds": time.perf_counter() - started}  # fmt: skip

    def _accumulate(self, indices: list[int]) -> Metrics:
        """Gradients of the mean loss over one step's examples; returns the means of what is reported."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        share = indices[rank::processes] or indices[:1]  # a process without work still takes part in the exchange
        scale = 0.0 if rank >= len(indices) else 1 / self.weight(indices)
        micro_batches = list(self.in_micro_batches(share))
        sums: dict[str, Tensor] = {}
        for number, micro_batch in enumerate(micro_batches):
            with torch.enable_grad(), self._exchange_gradients(number + 1 == len(micro_batches)):
                loss, reported = self.loss(micro_batch)
                # Gradients are averaged over the processes, and a sum over them is wanted.
                self.accelerator.backward(loss * scale * processes)
            for name, value in {"loss": loss, **reported}.items():
                sums[name] = sums.get(name, torch.zeros_like(loss)) + value.detach() * scale
        return {name: float(self.accelerator.reduce(value, "sum")) for name, value in sums.items()}

    def _exchange_gradients(self, last: bool) -> Any:
        return torch.enable_grad() if last else self.accelerator.no_sync(self._logps)

    def _record(self, row: Metrics) -> None:
        self.metrics.append(row)
        if self.accelerator.is_main_process and self.output is not None:
            with (self.output / saving.METRICS).open("a") as file:
                file.write(json.dumps(row) + "\n")
        if self._on_step is not None:
            self._on_step(row)

    def _save_checkpoint(self, step: int, extra: dict[str, Tensor]) -> None:
        if self.output is None or not self.accelerator.is_main_process:
            return
        weights = {name: p.detach().cpu().clone() for name, p in self.model.named_parameters()}
        optimizer = saving.optimizer_tensors(self.model, self._optimizer.optimizer)
        settings = {**self.config.as_dict(), "examples": len(self.lengths)}
        saving.write_checkpoint(self.output, saving.Checkpoint(step, settings, weights, optimizer, extra))

    def _check_settings(self, saved: dict[str, Any]) -> None:
        """Refuse to go on with other settings: the trajectory would be nobody's."""
        now = {**self.config.as_dict(), "examples": len(self.lengths)}
        free = {"micro_batch_size", "eval_every", "save_every", "precision", "packed", "compile"}
        changed = [f"{name} was {saved.get(name)!r}, is {value!r}" for name, value in now.items()
                   if name not in free and saved.get(name) != value]  # fmt: skip
        if changed:
            raise ValueError(f"this run was started with other settings: {'; '.join(changed)}")

    def _keep_metrics(self, steps: int) -> None:
        """Take back the rows of the steps that the checkpoint holds; later ones are done again."""
        path = None if self.output is None else self.output / saving.METRICS
        if path is None or not path.exists():
            return
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        self.metrics = [row for row in rows if row["step"] <= steps]
        if self.accelerator.is_main_process:
            kept = path.with_suffix(".unfinished")
            kept.write_text("".join(json.dumps(row) + "\n" for row in self.metrics))
            kept.replace(path)


def _accelerator(precision: Precision) -> Accelerator:
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
    AcceleratorState._reset_state()  # runs of different precision may follow each other in one notebook
    return Accelerator(mixed_precision="bf16" if use_bf16 else "no")

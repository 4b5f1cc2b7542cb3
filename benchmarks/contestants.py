"""Run one trainer on one case in a separate process: `python -m benchmarks.contestants NAME CASE FOLDER RESULT`.

All trainers train the same model on the same pairs with the same AdamW, learning rate, batch size, precision and number
of steps. The reference's log-probabilities are computed before the timer starts, which runs from the first step to the
last. In a separate process the peak memory belongs to this run alone.
"""

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases import CASES, Case, prepare
from dpo_teach.batches import TokenBatch
from dpo_teach.logps import ResponseLogps, sequence_logps
from dpo_teach.models import load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.training import DPOConfig, DPOTrainer

__all__ = ["CONTESTANTS", "Measurement", "own_trainer"]

LEARNING_RATE = 1e-4
BETA = 0.1


@dataclass(frozen=True)
class Measurement:
    """The result of one run.

    Args:
        contestant, case: the trainer and the case.
        seconds: from the first step to the end of the last.
        pairs, response_tokens: number of pairs and response tokens trained on in that time.
        peak_bytes: peak memory, of the GPU if there is one, otherwise of the process minus that of its imports.
        matmul_flops: floating-point operations of all matrix products and attention; 0 if not counted.
        losses: the loss of each step, in nats.
    """

    contestant: str
    case: str
    seconds: float
    pairs: int
    response_tokens: int
    peak_bytes: int
    matmul_flops: int
    losses: tuple[float, ...]


def dpo_teach(case: Case, folder: Path, **settings: Any) -> Measurement:
    """This package's trainer; `settings` switch optimisations on or off."""
    imported = _resident_bytes()
    trainer = own_trainer(case, folder, **settings)
    prepared = trainer.prepare()
    trainer.prepare = lambda: prepared  # type: ignore[method-assign]  # exclude preparation from the timing
    start, clock = trainer.run.start, {}

    def start_clock(*arguments: Any, **named: Any) -> Any:
        state = start(*arguments, **named)
        clock["started"] = time.perf_counter()
        return state

    def stop_clock(row: dict[str, float]) -> None:
        if row["step"] == case.steps:
            _wait()
            clock["ended"] = time.perf_counter()

    trainer.run.start, trainer.on_step = start_clock, stop_clock  # type: ignore[method-assign]
    losses, flops, peak = _measured(lambda: [row["loss"] for row in trainer.train()], imported)
    tokens = [trainer.pairs[i] for step in trainer.plan() for i in step]
    return Measurement(
        contestant="dpo_teach", case=case.name, seconds=clock["ended"] - clock["started"], pairs=len(tokens),
        response_tokens=sum(len(pair.chosen_ids) + len(pair.rejected_ids) for pair in tokens),
        peak_bytes=peak, matmul_flops=flops, losses=tuple(losses),
    )  # fmt: skip


def trl(case: Case, folder: Path) -> Measurement:
    """TRL's trainer with its own shuffling."""
    return _trl(case, folder, same_batches=False)


def trl_same_batches(case: Case, folder: Path) -> Measurement:
    """TRL's trainer with the same batches as this package's trainer."""
    return _trl(case, folder, same_batches=True)


def logits_everywhere(case: Case, folder: Path) -> Measurement:
    """This package's trainer with textbook log-probabilities: logits at every position of every row."""

    def textbook(module: ResponseLogps, batch: TokenBatch) -> torch.Tensor:
        logits = module.model(**batch.model_inputs(), use_cache=False).logits
        return sequence_logps(logits, batch.input_ids, batch.response_mask)

    ResponseLogps.forward = textbook  # type: ignore[method-assign, assignment]  # only this process is affected
    return dpo_teach(case, folder, packed=False)


def own_trainer(case: Case, folder: Path, *, fuse: bool = True, on_step: Any = None, **settings: Any) -> DPOTrainer:
    """Create this package's trainer for a case."""
    model_folder, pairs_file = prepare(case, folder)
    model, tokenizer = load_model(model_folder, fuse=fuse)
    config = {"learning_rate": LEARNING_RATE, "beta": BETA, "epochs": 99, "max_steps": case.steps,
              "batch_size": case.batch_size, "schedule": "constant", "warmup_fraction": 0.0,
              "precision": case.precision, **settings}  # fmt: skip
    return DPOTrainer(model, tokenizer, load_pairs(pairs_file), DPOConfig(**config), on_step=on_step)


def _trl(case: Case, folder: Path, *, same_batches: bool) -> Measurement:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig as TRLConfig
    from trl import DPOTrainer as TRLTrainer

    imported = _resident_bytes()
    rows, mean_tokens = _rows(case, folder, in_our_order=same_batches)
    config = TRLConfig(
        output_dir=str(folder / "trl"), learning_rate=LEARNING_RATE, beta=BETA, max_steps=case.steps,
        per_device_train_batch_size=case.batch_size, lr_scheduler_type="constant", adam_beta2=0.99,
        train_sampling_strategy="sequential" if same_batches else "random", precompute_ref_log_probs=True,
        max_length=None, gradient_checkpointing=False, bf16=case.precision == "bf16", fp16=False, report_to="none",
        logging_steps=1, save_strategy="no", disable_tqdm=True, dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip
    model_folder = folder / "model"
    trainer = TRLTrainer(AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32), args=config,
                         train_dataset=Dataset.from_list(rows),
                         processing_class=AutoTokenizer.from_pretrained(model_folder))  # fmt: skip

    class Clock(TrainerCallback):
        """Times the steps only, without TRL's work before the first step."""

        started = 0.0
        ended = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 0:
                self.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == case.steps:
                _wait()
                self.ended = time.perf_counter()

    clock = Clock()
    trainer.add_callback(clock)
    _, flops, peak = _measured(trainer.train, imported)
    pairs = case.steps * case.batch_size
    return Measurement(
        contestant="trl" + "-same-batches" * same_batches, case=case.name, seconds=clock.ended - clock.started,
        pairs=pairs, response_tokens=round(mean_tokens * pairs), peak_bytes=peak, matmul_flops=flops,
        losses=tuple(row["loss"] for row in trainer.state.log_history if "loss" in row),
    )  # fmt: skip


def _rows(case: Case, folder: Path, *, in_our_order: bool) -> tuple[list[dict[str, str]], float]:
    """The pairs as rows, in the order of the file or of our plan, and their mean number of response tokens."""
    _, pairs_file = prepare(case, folder)
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    own = own_trainer(case, folder)
    mean_tokens = sum(len(pair.chosen_ids) + len(pair.rejected_ids) for pair in own.pairs) / len(own.pairs)
    return [rows[i] for step in own.plan() for i in step] if in_our_order else rows, mean_tokens


def _measured(run: Callable[[], Any], imported: int) -> tuple[Any, int, int]:
    """The result of a run, its operations (with --count-flops) and its peak memory in bytes."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if "--count-flops" in sys.argv:
        with FlopCounterMode(display=False) as counter:
            found = run()
        flops = counter.get_total_flops()
    else:
        found, flops = run(), 0
    _wait()
    return found, flops, _peak_bytes() - imported


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _resident_bytes() -> int:
    """Memory of the process in bytes; 0 if the GPU's memory is measured instead."""
    return 0 if torch.cuda.is_available() else psutil.Process().memory_info().rss


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


CONTESTANTS: dict[str, Callable[[Case, Path], Measurement]] = {
    "dpo_teach": dpo_teach,
    "trl": trl,
    "trl-same-batches": trl_same_batches,
    "without packing": lambda case, folder: dpo_teach(case, folder, packed=False),
    "without bucketing": lambda case, folder: dpo_teach(case, folder, length_window=1),
    "neither of them": lambda case, folder: dpo_teach(case, folder, packed=False, length_window=1),
    "not packed, logits everywhere": logits_everywhere,
    "activation spelled out": lambda case, folder: dpo_teach(case, folder, fuse=False),
    "compiled": lambda case, folder: dpo_teach(case, folder, compile=True),
}


def main() -> None:
    """Run one contestant and write its measurement as JSON."""
    name, case, folder, result = sys.argv[1:5]
    found = CONTESTANTS[name](CASES[case], Path(folder))
    assert all(map(math.isfinite, found.losses)), "losses: expected finite numbers"
    Path(result).write_text(json.dumps({**asdict(found), "contestant": name}))


if __name__ == "__main__":
    main()

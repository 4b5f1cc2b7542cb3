"""The parts of `python -m benchmarks.gpu`. On a CPU each part runs with tiny sizes, as a rehearsal."""

import contextlib
import dataclasses
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from benchmarks.__main__ import PEERS, describe_machine, summarise
from benchmarks.cases import CASES, Case, prepare
from benchmarks.contestants import CONTESTANTS, own_trainer
from dpo_teach import logps
from dpo_teach.batches import TokenBatch, TokenizedPair, pack_pairs
from dpo_teach.models import load_model, output

__all__ = ["ON_GPU", "PARTS", "ROOT"]

ROOT = Path(__file__).parent.parent
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
ROUNDS = 3 if ON_GPU else 1
STEPS_COMPARED = 14 if ON_GPU else 3
WARM_UP = 4 if ON_GPU else 1
"""Steps of a variant that are not timed, because they include compilation."""
PROFILED = 3 if ON_GPU else 1
HOST_OPERATIONS = 8
Save = Callable[[dict[str, Any]], None]


def check(save: Save) -> None:
    """Run the tests that depend on the device."""
    # Plug-ins for the other tests may be missing on the GPU machine.
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-o", "addopts=", "-p", "no:cacheprovider",
               "-p", "no:random_order", "tests/training/test_devices.py"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR", "SKIPPED"))]
    measured = [line.removeprefix("measured: ") for line in done.stdout.splitlines() if line.startswith("measured: ")]
    save({"tests": lines, "measured": measured, "passed": done.returncode == 0})
    print(done.stdout[-12000:], done.stderr[-2000:])
    sys.exit(done.returncode)


def compare_with_trl(save: Save, *, size: str) -> None:
    """Run this trainer and TRL's in turns in one process; the first round is the warm-up.

    PyTorch keeps the memory of a run for the next one, so only the first run of each trainer pays for allocation.
    """
    case, folder = _case(size)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in range(ROUNDS + 1):
        for name in ("dpo_teach", "trl", *(("trl-same-batches",) if number == ROUNDS else ())):
            found[name].append(dataclasses.asdict(CONTESTANTS[name](case, folder)))
            _forget()
            print(f"{case.name} {name} {found[name][-1]['seconds']:.2f} s", flush=True)
    found["trl-same-batches"] *= 2  # a single run after the warm-up, used for its losses
    flops = needed_flops(case, folder)
    for runs in found.values():
        runs[0]["matmul_flops"] = flops
    first = {name: runs[0]["seconds"] for name, runs in found.items() if name in PEERS}
    save({**summarise(case, describe_machine(), found), "seconds_of_the_first_round": first,
          "flops": "by formula: benchmarks.gpu_parts.needed_flops"})  # fmt: skip


def needed_flops(case: Case, folder: Path) -> float:
    """The minimum number of operations of a case's steps, for forward and backward passes.

    For each pair 3 (2 N t + 2 V d r + 4 d L v): N weights in the layers' matrix products, t tokens of the prompt and
    both responses, V d weights of the output layer, r response tokens, and v (query, key) pairs that attend.
    Padding, prompts computed twice and unused logits are not counted, for either trainer.
    """
    trainer = own_trainer(case, folder)
    config = trainer.model.config
    width, layers = config.n_embd, config.n_layer
    total = 0.0
    for step in trainer.plan():
        for pair in (trainer.pairs[i] for i in step):
            prompt, chosen, rejected = len(pair.prompt_ids), len(pair.chosen_ids), len(pair.rejected_ids)
            responses = chosen + rejected
            seen = sum(own * (own + 1) / 2 for own in (prompt, chosen, rejected)) + prompt * responses
            total += 3 * (2 * 12 * layers * width**2 * (prompt + responses)
                          + 2 * config.vocab_size * width * responses + 4 * width * layers * seen)  # fmt: skip
    return total


def compare_layouts(save: Save) -> None:
    """Compare ways to lay out and attend to a batch, with and without compilation, and profile them."""
    found: dict[str, Any] = {}
    for name, (settings, change) in VARIANTS.items():
        for size in SIZES:
            case, folder = _case(size)
            rows = found.setdefault(case.name, {})
            with change():
                try:
                    rows[name] = _time_variant(dataclasses.replace(case, steps=STEPS_COMPARED), folder, **settings)
                except Exception as error:  # a failing variant is a result too
                    rows[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            torch._dynamo.reset()
            _forget()
            print(case.name, name, rows[name], flush=True)
            save(found)
    save({**found, "kernels": time_kernels()})


def _time_variant(case: Case, folder: Path, **settings: Any) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    profile: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        profiler = torch.profiler.profile(acc_events=True)

        def look(row: dict[str, Any]) -> None:
            """Collect rows, and profile the last steps, which are not timed."""
            rows.append(row)
            if len(rows) == case.steps - PROFILED:
                _wait()
                stack.enter_context(profiler)
                profile["started"] = time.perf_counter()

        if ON_GPU:
            torch.cuda.reset_peak_memory_stats()
        trainer = own_trainer(case, folder, on_step=look, **settings)
        trainer.train()
        _wait()
        profile["seconds"] = time.perf_counter() - profile.pop("started")
    timed = rows[WARM_UP : case.steps - PROFILED]
    seconds = median(row["seconds"] for row in timed)
    return {
        "seconds_per_step": seconds,
        "first_step": rows[0]["seconds"],
        "pairs_per_second": case.batch_size / seconds,
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if ON_GPU else math.nan,
        "losses": [row["loss"] for row in rows[:4]],
        "profile": _seconds_by_kind(profiler, profile["seconds"]),
        "host": _host_operations(profiler),
    }


def _seconds_by_kind(profiler: Any, seconds: float) -> dict[str, float]:
    """GPU seconds per step by kind of kernel, and waiting time; profiling slows the host down."""
    taken: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.key.startswith("Optimizer.step"):
            kind = next((kind for kind, marks in KINDS.items() if any(mark in event.key for mark in marks)), "other")
            taken[kind] += event.self_device_time_total / 1e6 / PROFILED
    waits = seconds / PROFILED - sum(taken.values())
    return {kind: round(value, 5) for kind, value in sorted(taken.items(), key=lambda one: -one[1])} | {
        "waiting": round(waits, 5)
    }


def _host_operations(profiler: Any) -> dict[str, float]:
    """Seconds per step of the host's costliest operations, on which a waiting GPU may wait."""
    events = [event for event in profiler.key_averages() if event.device_type == torch.autograd.DeviceType.CPU]
    costly = sorted(events, key=lambda event: -event.self_cpu_time_total)[:HOST_OPERATIONS]
    return {event.key: round(event.self_cpu_time_total / 1e6 / PROFILED, 5) for event in costly}


KINDS = {
    "attention": ("flash", "fmha", "flex", "attention", "sdpa"),
    "matrix products": ("gemm", "cutlass", "nvjet", "xmma", "cublas"),
    "optimizer and gradient norm": ("multi_tensor", "FusedAdam", "foreach", "lpnorm"),
    "copies": ("Memcpy", "Memset", "copy", "bfloat16_copy"),
    "compiled elementwise": ("triton",),
    "normalisation and softmax": ("layer_norm", "LayerNorm", "GammaBeta", "softmax", "SoftMax", "nll"),
    "elementwise": ("elementwise",),
    "sums": ("reduce",),
}


def _masked_inputs(batch: TokenBatch) -> dict[str, torch.Tensor]:
    """The inputs of a padded batch as most libraries give them, with its padding masked."""
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}


WITH_CUDNN = [SDPBackend.CUDNN_ATTENTION, *logps.ATTENTION]
VARIANTS: dict[str, tuple[dict[str, Any], Callable[[], contextlib.AbstractContextManager[Any]]]] = {
    "packed": ({}, contextlib.nullcontext),
    "packed, cuDNN's attention": ({}, lambda: patch.object(logps, "ATTENTION", WITH_CUDNN)),
    "packed, odd number of logits": ({}, lambda: patch.object(output, "ALIGNMENT", 1)),
    "padded, no mask": ({"packed": False}, contextlib.nullcontext),
    "padded, mask": ({"packed": False}, lambda: patch.object(TokenBatch, "model_inputs", _masked_inputs)),
    "packed, again": ({}, contextlib.nullcontext),  # the first variant also paid for loading kernels
    "packed, compiled": ({"compile": True}, contextlib.nullcontext),
}


def time_kernels() -> dict[str, dict[str, float]]:
    """Milliseconds of attention only, forward and backward in bfloat16, over packed pairs of several lengths.

    FlexAttention (Dong et al. 2024, arXiv:2412.05496) skips the blocks of a row that no query attends to; a
    dense mask computes all blocks.
    """
    shapes = ((512, 16), (1024, 8), (2048, 4), (4096, 2)) if ON_GPU else ((64, 2),)
    compiled = torch.compile(flex_attention, dynamic=True) if ON_GPU else flex_attention
    return {str(width): _time_width(width, pairs, compiled) for width, pairs in shapes}


def _time_width(width: int, pairs: int, attend: Callable[..., Any]) -> dict[str, float]:
    """Time one length, with a quarter of each row as prompt and 20 heads as in GPT-2 large."""
    prompt, chosen = width // 4, (width - width // 4) // 2
    pair = TokenizedPair((1,) * prompt, (1,) * chosen, (1,) * (chosen - 1) + (2,))
    batch = pack_pairs([pair] * pairs, 0).to(DEVICE)
    rows, length = batch.input_ids.shape
    query, key, value = (
        torch.randn(rows, 20, length, 64, device=DEVICE, dtype=torch.bfloat16, requires_grad=ON_GPU) for _ in range(3)
    )
    segments, prompts = batch.segments, batch.prompts

    def blocks() -> Any:
        return create_block_mask(
            lambda row, head, q, k: (q >= k)
            & ((segments[row, q] == segments[row, k]) | (prompts[row, q] == segments[row, k])),
            rows, None, length, length, device=DEVICE,
        )  # fmt: skip

    dense, block_mask = batch.visible().unsqueeze(1), blocks()

    def attention(**named: Any) -> torch.Tensor:
        with sdpa_kernel(logps.ATTENTION):
            return torch.nn.functional.scaled_dot_product_attention(query, key, value, **named)

    return {
        "dense mask": _milliseconds(lambda: attention(attn_mask=dense)),
        "FlexAttention": _milliseconds(lambda: attend(query, key, value, block_mask=block_mask)),
        "causal, no mask": _milliseconds(lambda: attention(is_causal=True)),
        "making the dense mask": _milliseconds(batch.visible),
        "making the block mask": _milliseconds(blocks),
    }


def _milliseconds(act: Callable[[], Any]) -> float:
    """Median of five runs after a warm-up, including the backward pass if there is a gradient."""
    taken = []
    for _ in range(6):
        started = time.perf_counter()
        result = act()
        if isinstance(result, torch.Tensor) and result.requires_grad:
            result.backward(torch.ones_like(result))
        _wait()
        taken.append(time.perf_counter() - started)
    return round(median(taken[1:]) * 1e3, 3)


def launch(save: Save) -> None:
    """Run the launch files with one process, as in README; their losses must match a plain run."""
    found: dict[str, Any] = {}
    files = ROOT / "dpo_teach" / "training" / "launch"
    starts = {"plain": [], "ddp": _accelerate(files / "ddp.yaml"), "fsdp": _accelerate(files / "fsdp.yaml")}
    if not ON_GPU:
        starts = {"plain": [], "ddp": _accelerate(files / "two_cpu_processes.yaml")}
    with tempfile.TemporaryDirectory() as scratch:
        losses: dict[str, list[float]] = {}
        for name, launcher in starts.items():
            output = Path(scratch) / name
            command = [sys.executable, *(launcher or ["-m"]), *(["-m"] if launcher else []), "dpo_teach.cli", "train",
                       "--model", "reviews-gpt2", "--data", "reviews-preferences", "--output", str(output),
                       "--max-steps", "6", "--beta", "0.3"]  # fmt: skip
            started = time.perf_counter()
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False,
                                  env={**os.environ, **({} if ON_GPU else {"ACCELERATE_USE_CPU": "true"})})  # fmt: skip
            rows = output / "metrics.jsonl"
            lines = rows.read_text().splitlines() if rows.exists() else []
            losses[name] = [json.loads(line)["loss"] for line in lines]
            found[name] = {
                "exit_status": done.returncode,
                "seconds": round(time.perf_counter() - started, 1),
                "losses": losses[name],
                "error": done.stderr[-1500:] if done.returncode else "",
                "command": " ".join(command[1:]).replace(f"{ROOT}/", "").replace(scratch, "RUNS"),
            }
            save(found)
    worst = max(abs(a - b) for run in losses.values() for a, b in zip(run, losses["plain"], strict=True))
    save({**found, "largest_loss_difference": worst})
    assert all(run["exit_status"] == 0 for run in found.values()) and worst < 5e-3, found


def _accelerate(file: Path) -> list[str]:
    return ["-m", "accelerate.commands.launch", "--config_file", str(file), "--num_processes", "1"]


def train_reviews(save: Save) -> None:
    """Train and evaluate in the reviews world with notebook 04's settings."""
    from dpo_teach.evaluation import evaluate_pairs, evaluate_reviews
    from dpo_teach.pairs import load_pairs
    from dpo_teach.training import DPOConfig, DPOTrainer

    found: dict[str, Any] = {}
    train, test = (load_pairs("reviews-preferences", split=split) for split in ("train", "test"))
    prompts = [pair.prompt for pair in test][: 256 if ON_GPU else 8]
    for precision in ("auto", "fp32"):
        seconds: dict[str, float] = {}
        clock = time.perf_counter()
        policy, tokenizer = load_model("reviews-gpt2")
        reference, _ = load_model("reviews-gpt2")
        seconds["load two models"] = time.perf_counter() - clock
        config = DPOConfig(beta=0.3, learning_rate=5e-4, batch_size=128, max_steps=None if ON_GPU else 2,
                           precision=precision)  # fmt: skip
        clock = time.perf_counter()
        history = DPOTrainer(policy, tokenizer, train, config).train()
        seconds["train"] = time.perf_counter() - clock
        reference.to(policy.device)
        clock = time.perf_counter()
        pairs = evaluate_pairs(policy, reference, tokenizer, test[: None if ON_GPU else 16], beta=0.3)
        seconds["evaluate on pairs"] = time.perf_counter() - clock
        clock = time.perf_counter()
        scores = evaluate_reviews(policy, reference, tokenizer, prompts, seed=0)
        seconds["sample and score"] = time.perf_counter() - clock
        found[precision] = {
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
            "pairs_per_second": (config.batch_size * len(history[2:])
                                 / max(sum(row["seconds"] for row in history[2:]), 1e-9)),
            "first_step": history[0]["seconds"], "last_loss": history[-1]["loss"],
            "preference_accuracy": pairs.preference_accuracy,
            "reviews": {name: value for name, value in dataclasses.asdict(scores).items() if isinstance(value, float)},
        }  # fmt: skip
        save(found)


SIZES = ("gpt2-gpu", "gpt2-large-gpu")


def _case(name: str) -> tuple[Case, Path]:
    """A case and its folder, which is written if missing; on a CPU with a tiny model and tiny batches."""
    case = CASES[name]
    if not ON_GPU:
        case = dataclasses.replace(case, name=f"{name}-rehearsal", size=(2, 2, 32), batch_size=4, steps=2, pairs=12,
                                   prompt_sentences=(1, 2), response_sentences=(1, 3))  # fmt: skip
    folder = ROOT / "build" / "bench" / case.name
    prepare(case, folder)
    return case, folder


def _wait() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def _forget() -> None:
    """Free reference cycles of the last run, which would count towards the peak memory of the next."""
    gc.collect()
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()


PARTS: dict[str, tuple[Callable[[Save], None], int]] = {
    "checks": (check, 100),
    "speed-124M": (lambda save: compare_with_trl(save, size="gpt2-gpu"), 120),
    "speed-774M": (lambda save: compare_with_trl(save, size="gpt2-large-gpu"), 170),
    "reviews": (train_reviews, 45),
    "launch": (launch, 90),
    "layouts": (compare_layouts, 180),
}
"""The function of each part, and its limit in seconds."""

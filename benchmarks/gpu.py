"""What a GPU is good for, measured in one command of at most eight minutes: `python -m benchmarks.gpu [PART ...]`.

Every part is a process of its own with a time limit, and writes what it has found after every measurement, so that
whatever is done is kept when time runs out. Without a GPU the same parts run on the CPU with tiny sizes: a rehearsal.
Its numbers mean nothing, but whatever it trips over would otherwise be found on a rented machine.
"""

import argparse
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
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.__main__ import RESULTS, describe_machine, summarise
from benchmarks.cases import CASES, Case, prepare
from benchmarks.contestants import CONTESTANTS, own_trainer
from dpo_teach.batches import TokenBatch, packing
from dpo_teach.models import load_model

ROOT = Path(__file__).parent.parent
ON_GPU = torch.cuda.is_available()
SIZES = ("gpt2-gpu", "gpt2-large-gpu")
ROUNDS = 3 if ON_GPU else 1
STEPS_COMPARED = 14 if ON_GPU else 3
WARM_UP = 4 if ON_GPU else 1
"""Steps of a variant that are not timed: they compile."""
PROFILED = 3 if ON_GPU else 1
Save = Callable[[dict[str, Any]], None]


def main() -> None:
    """Run the parts one after the other, or one part in this process (`--inside`, for the command itself)."""
    arguments = _arguments()
    if arguments.inside:
        (part,) = arguments.parts
        PARTS[part][0](lambda found: arguments.output.write_text(json.dumps(found)))
        return
    # The machine's description includes a matrix product, so nothing else may run beside it.
    report: dict[str, Any] = {"machine": describe_machine(), "rehearsal": not ON_GPU, "parts": {}}
    print(f"{report['machine']['processor']}, {report['machine']['matmul_peak_gflops'] / 1e3:.1f} TFLOP/s"
          f"{'' if ON_GPU else ': no GPU, so this is a rehearsal with tiny sizes'}", flush=True)  # fmt: skip
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    ends = time.perf_counter() + arguments.seconds
    for part in arguments.parts or PARTS:
        report["parts"][part] = _run_part(part, min(PARTS[part][1], ends - time.perf_counter()))
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
        _print_part(part, report["parts"][part], report["machine"])
    print(f"written to {arguments.output}")
    if any(part["status"] != "complete" for part in report["parts"].values()):
        raise SystemExit(1)


def _run_part(part: str, limit: float) -> dict[str, Any]:
    """One part in a process of its own, stopped at its limit; what it had found by then comes back."""
    if limit <= 0:
        return {"status": "not started: no time was left", "seconds": 0.0, "found": {}}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "found.json"
        command = [sys.executable, "-m", "benchmarks.gpu", part, "--inside", "--output", str(output)]
        status = "complete"
        log_file = ROOT / "build" / "bench" / f"gpu-{part}.log"
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("w+") as log:
            try:
                subprocess.run(command, check=True, timeout=limit, env=_environment(scratch), cwd=ROOT,
                               stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
            except subprocess.TimeoutExpired:
                status = f"stopped after {limit:.0f} s, its limit"
            except subprocess.CalledProcessError as error:
                status = f"failed with exit status {error.returncode}"
            if status != "complete":
                log.seek(0)
                print(log.read()[-4000:], flush=True)
        found = json.loads(output.read_text()) if output.exists() else {}
    return {"status": status, "seconds": round(time.perf_counter() - started, 1), "found": found}


def _environment(scratch: str) -> dict[str, str]:
    """No network, no progress bars, and no datasets that another run tokenized."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false",
            "HF_DATASETS_CACHE": scratch, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # fmt: skip


def check(save: Save) -> None:
    """Part 1: the tests that have a device in them."""
    # Plug-ins that the other tests use need not be installed where the GPU is.
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-o", "addopts=", "-p", "no:cacheprovider",
               "-p", "no:random_order", "tests/test_devices.py"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR", "SKIPPED"))]
    measured = [line.removeprefix("measured: ") for line in done.stdout.splitlines() if line.startswith("measured: ")]
    save({"tests": lines, "measured": measured, "passed": done.returncode == 0})
    print(done.stdout[-12000:], done.stderr[-2000:])
    sys.exit(done.returncode)


def compare_with_trl(save: Save) -> None:
    """Part 2: this trainer and TRL's in turns, in one process; the first round warms up."""
    reports: dict[str, Any] = {}
    machine = describe_machine()
    for case in _cases():
        folder = ROOT / "build" / "bench" / case.name
        prepare(case, folder)
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number in range(ROUNDS + 1):
            for name in ("dpo_teach", "trl", *(("trl-same-batches",) if number < 2 else ())):
                found[name].append(dataclasses.asdict(CONTESTANTS[name](case, folder)))
                _free_memory()
                print(f"{case.name} {name} {found[name][-1]['seconds']:.2f} s", flush=True)
        flops = needed_flops(case, folder)
        for runs in found.values():
            runs[0]["matmul_flops"] = flops
        reports[case.name] = {**summarise(case, machine, found), "flops": "counted on paper (benchmarks.gpu)"}
        save(reports)


def needed_flops(case: Case, folder: Path) -> float:
    """Operations that the steps of a case need at least, for a forward and a backward pass.

    For each pair 3 (2 N t + 2 V d r + 4 d L v): N weights in the layers' matrix products, t tokens of the prompt and
    both responses, V d weights of the output layer, r response tokens, and v (query, key) places that see each other.
    Padding, a prompt computed twice and logits that nobody reads are not counted, whoever computes them.
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


def compare_attention(save: Save) -> None:
    """Part 3: ways to lay out and attend to a batch, each with and without compiling, and where the time goes."""
    found: dict[str, Any] = {}
    for name, (settings, change) in VARIANTS.items():
        for case in _cases():
            folder = ROOT / "build" / "bench" / case.name
            short = dataclasses.replace(case, steps=STEPS_COMPARED)
            prepare(case, folder)
            rows = found.setdefault(case.name, {})
            with change():
                try:
                    rows[name] = _time_variant(short, folder, **settings)
                except Exception as error:  # one variant that fails is a result, too
                    rows[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            torch._dynamo.reset()
            _free_memory()
            print(case.name, name, {k: v for k, v in rows[name].items() if k != "profile"}, flush=True)
            save(found)


def _time_variant(case: Case, folder: Path, **settings: Any) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    profile: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        profiler = torch.profiler.profile(acc_events=True)

        def look(row: dict[str, Any]) -> None:
            """Profile the last steps, which are not timed."""
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
        "profile": _shares(profiler, profile["seconds"]),
    }


def _shares(profiler: Any, seconds: float) -> dict[str, float]:
    """The share of the wall clock that each kind of kernel takes on the GPU; what is left, it waits."""
    shares: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            kind = next((kind for kind, marks in KINDS.items() if any(mark in event.key for mark in marks)), "other")
            shares[kind] += event.self_device_time_total / 1e6 / seconds
    return {**{kind: round(share, 4) for kind, share in sorted(shares.items(), key=lambda one: -one[1])},
            "waiting": round(1 - sum(shares.values()), 4)}  # fmt: skip


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


@contextlib.contextmanager
def _as_shipped() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _dense_mask() -> Iterator[None]:
    before, packing.uses_block_mask = packing.uses_block_mask, lambda device: False
    try:
        yield
    finally:
        packing.uses_block_mask = before


@contextlib.contextmanager
def _mask_with_padding() -> Iterator[None]:
    before = TokenBatch.model_inputs

    def inputs(batch: TokenBatch) -> dict[str, torch.Tensor]:
        return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}

    TokenBatch.model_inputs = inputs  # type: ignore[method-assign]
    try:
        yield
    finally:
        TokenBatch.model_inputs = before  # type: ignore[method-assign]


VARIANTS: dict[str, tuple[dict[str, Any], Callable[[], contextlib.AbstractContextManager[None]]]] = {
    "packed, block mask": ({}, _as_shipped),
    "packed, dense mask": ({}, _dense_mask),
    "padded, no mask": ({"packed": False}, _as_shipped),
    "padded, mask": ({"packed": False}, _mask_with_padding),
    "packed, block mask, compiled": ({"compile": True}, _as_shipped),
    "packed, dense mask, compiled": ({"compile": True}, _dense_mask),
    "padded, no mask, compiled": ({"packed": False, "compile": True}, _as_shipped),
}


def launch(save: Save) -> None:
    """Part 4: the launch files with one process, as README starts them; the steps must be those of a plain run."""
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
            losses[name] = [json.loads(line)["loss"] for line in rows.read_text().splitlines()] if rows.exists() else []
            found[name] = {"exit_status": done.returncode, "seconds": round(time.perf_counter() - started, 1),
                           "losses": losses[name], "error": done.stderr[-1500:] if done.returncode else "",
                           "command": " ".join(command[1:]).replace(str(ROOT), ".").replace(scratch, "RUNS")}  # fmt: skip
            save(found)
    worst = max(abs(a - b) for run in losses.values() for a, b in zip(run, losses["plain"], strict=True))
    save({**found, "largest_loss_difference": worst})
    assert all(run["exit_status"] == 0 for run in found.values()) and worst < 5e-3, found


def _accelerate(file: Path) -> list[str]:
    return ["-m", "accelerate.commands.launch", "--config_file", str(file), "--num_processes", "1"]


def train_reviews(save: Save) -> None:
    """Part 5: the reviews world end to end, with notebook 04's settings."""
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
        config = DPOConfig(beta=0.3, learning_rate=5e-4, epochs=2, max_steps=96 if ON_GPU else 2, precision=precision)
        clock = time.perf_counter()
        history = DPOTrainer(policy, tokenizer, train, config).train()
        seconds["train"] = time.perf_counter() - clock
        reference.to(policy.device)
        clock = time.perf_counter()
        pairs = evaluate_pairs(policy, reference, tokenizer, test[: None if ON_GPU else 16], beta=0.3)
        seconds["evaluate on pairs"] = time.perf_counter() - clock
        clock = time.perf_counter()
        wrote = evaluate_reviews(policy, reference, tokenizer, prompts, seed=0)
        seconds["sample and judge"] = time.perf_counter() - clock
        found[precision] = {
            "seconds": {name: round(value, 2) for name, value in seconds.items()},
            "pairs_per_second": 32 * len(history[2:]) / max(sum(row["seconds"] for row in history[2:]), 1e-9),
            "first_step": history[0]["seconds"], "last_loss": history[-1]["loss"],
            "preference_accuracy": pairs.preference_accuracy,
            "reviews": {name: value for name, value in dataclasses.asdict(wrote).items() if isinstance(value, float)},
        }  # fmt: skip
        save(found)


def _cases() -> list[Case]:
    """The two sizes, or on a CPU the same two as tiny models with tiny batches."""
    if ON_GPU:
        return [CASES[name] for name in SIZES]
    return [dataclasses.replace(CASES[name], name=f"{name}-rehearsal", size=(layers, 2, 32), batch_size=4, steps=2,
                                pairs=12, prompt_sentences=(1, 2), response_sentences=(1, 3))
            for name, layers in zip(SIZES, (2, 3), strict=True)]  # fmt: skip


def _wait() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def _free_memory() -> None:
    """What a run leaves in reference cycles would count against the next one."""
    gc.collect()
    if ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


PARTS: dict[str, tuple[Callable[[Save], None], int]] = {
    "checks": (check, 120),
    "speed": (compare_with_trl, 210),
    "attention": (compare_attention, 200),
    "launch": (launch, 90),
    "reviews": (train_reviews, 60),
}
"""What each part runs, and its limit in seconds."""


def _print_part(part: str, result: dict[str, Any], machine: dict[str, Any]) -> None:
    found = result["found"]
    print(f"\n{part}: {result['status']}, {result['seconds']:.0f} s")
    if part == "speed":
        for name, report in found.items():
            for who, row in report["results"].items():
                ratios = report["ratios_to_trl"][who]
                print(f"  {name:<16} {who:<18} {row['pairs_per_second']:8.1f} pairs/s {row['peak_mb']:9,.0f} MB "
                      f"{row['matmul_share_of_peak']:6.3f} of peak, {ratios['pairs_per_second']:.2f} x TRL's speed, "
                      f"{ratios['peak_mb']:.2f} of its memory")  # fmt: skip
    elif part == "attention":
        for name, rows in found.items():
            for variant, row in rows.items():
                print(f"  {name:<16} {variant:<30} {row.get('error') or _line_of(row)}")
    else:
        print(json.dumps(found, indent=1)[:6000])
    sys.stdout.flush()


def _line_of(row: dict[str, Any]) -> str:
    shares = ", ".join(f"{kind} {share:.2f}" for kind, share in row["profile"].items())
    return (f"{row['pairs_per_second']:8.1f} pairs/s {row['peak_mb']:9,.0f} MB, first step {row['first_step']:5.1f} s, "
            f"loss {row['losses'][-1]:.4f}; {shares}")  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu.json" if ON_GPU else ROOT / "build" / "gpu.json",
                        help="where results are written")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=480, help="for all parts together")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: expected one of {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    main()

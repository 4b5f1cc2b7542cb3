"""Time this package's trainer against TRL's: `make bench`, or `python -m benchmarks [CASE ...]`.

Each run is a separate process. After a warm-up that counts the matrix products, the trainers take turns, so that other
load on the machine affects both. Read the ratios of medians; the seconds are specific to this machine.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.cases import CASES, Case, prepare
from benchmarks.contestants import CONTESTANTS

RESULTS = Path(__file__).parent / "results"
ROUNDS = 3
PEERS = ("dpo_teach", "trl")
FOR_GPU = "-gpu"
"""The suffix of the cases that `benchmarks.gpu` runs."""


def main() -> None:
    """Run the cases, print a table for each and write the results to `benchmarks/results/`."""
    arguments = _arguments()
    machine = describe_machine()
    print(f"{machine['processor']}; peak of a matrix product {machine['matmul_peak_gflops']:.0f} GFLOP/s", flush=True)
    for name in arguments.cases or [name for name in CASES if not name.endswith(FOR_GPU)]:
        found = measure(CASES[name], Path(arguments.folder) / name, arguments.rounds, levers=arguments.levers)
        report = summarise(CASES[name], machine, found)
        print_report(report)
        path = Path(arguments.output) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
        print(f"written to {path}\n", flush=True)


def measure(case: Case, folder: Path, rounds: int, *, levers: bool) -> dict[str, list[dict[str, Any]]]:
    """The runs of each contestant; the first is the warm-up, which counts operations."""
    prepare(case, folder)
    names = list(CONTESTANTS) if levers else list(PEERS)
    found: dict[str, list[dict[str, Any]]] = {name: [_run(name, case, folder, "--count-flops")] for name in names}
    if not levers:
        found["trl-same-batches"] = [_run("trl-same-batches", case, folder)] * 2
    for _ in range(rounds):
        for name in names:
            found[name].append(_run(name, case, folder))
    return found


def _run(name: str, case: Case, folder: Path, *flags: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        command = [sys.executable, "-m", "benchmarks.contestants", name, case.name, str(folder), str(result), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(scratch))
        if done.returncode:
            raise SystemExit(f"{name} on {case.name} failed:\n{done.stderr[-3000:]}")
        measurement = json.loads(result.read_text())
    print(f"  {name:<18} {measurement['seconds']:7.2f} s {' '.join(flags)}", flush=True)
    return measurement


def _environment(scratch: str) -> dict[str, str]:
    """No network, no progress bars, and a temporary cache of datasets, so that no run reuses another's results."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false",
            "HF_DATASETS_CACHE": scratch}  # fmt: skip


def summarise(case: Case, machine: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds, their ratios to TRL's, and the largest difference of losses on the same batches."""
    peak = machine["matmul_peak_gflops"] * 1e9
    rows = {}
    for name, runs in found.items():
        timed = runs[1:]
        seconds = median(run["seconds"] for run in timed)
        rows[name] = {
            "pairs_per_second": timed[0]["pairs"] / seconds,
            "response_tokens_per_second": timed[0]["response_tokens"] / seconds,
            "peak_mb": median(run["peak_bytes"] for run in timed) / 1e6,
            "matmul_share_of_peak": runs[0]["matmul_flops"] / seconds / peak,
            "seconds": [round(run["seconds"], 3) for run in timed],
        }
    own, same = found["dpo_teach"][-1]["losses"], found["trl-same-batches"][-1]["losses"]
    return {
        "case": case.name,
        "about": case.about,
        "batch_size": case.batch_size,
        "steps": case.steps,
        "precision": case.precision,
        "machine": machine,
        "results": rows,
        "ratios_to_trl": {
            name: {key: row[key] / rows["trl"][key] for key in ("pairs_per_second", "peak_mb")}
            for name, row in rows.items()
        },
        "largest_loss_difference_on_the_same_batches": max(abs(a - b) for a, b in zip(own, same, strict=True)),
        "losses": {"dpo_teach": own, "trl-same-batches": same, "trl": found["trl"][-1]["losses"]},
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the report as a table."""
    print(f"{report['case']}: {report['about']}; {report['steps']} steps of {report['batch_size']} pairs, "
          f"{report['precision']}")  # fmt: skip
    print(f"  {'':<18} {'pairs/s':>8} {'tokens/s':>9} {'peak MB':>8} {'of peak':>8} {'speed':>7} {'memory':>7}")
    for name, row in report["results"].items():
        ratio = report["ratios_to_trl"][name]
        print(f"  {name:<18} {row['pairs_per_second']:8.2f} {row['response_tokens_per_second']:9.0f} "
              f"{row['peak_mb']:8.0f} {row['matmul_share_of_peak']:8.2f} {ratio['pairs_per_second']:6.2f}x "
              f"{ratio['peak_mb']:6.2f}x")  # fmt: skip
    print(f"  loss curves on the same batches: at most "
          f"{report['largest_loss_difference_on_the_same_batches']:.1e} apart")  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Describe the machine and the versions on which the numbers were measured."""
    on_gpu = torch.cuda.is_available()
    return {
        "processor": torch.cuda.get_device_name() if on_gpu else _processor_name(),
        "threads": torch.get_num_threads(),
        "matmul_peak_gflops": round(matmul_peak("cuda" if on_gpu else "cpu") / 1e9, 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "accelerate", "trl")},
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def matmul_peak(device: str) -> float:
    """Floating-point operations per second of a large matrix product: float32 on a CPU, bfloat16 on a GPU."""
    size, dtype = (8192, torch.bfloat16) if device == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def _processor_name() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in (info.read_text().splitlines() if info.exists() else [])
             if line.startswith("model name")]  # fmt: skip
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; the CPU cases by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed runs of each trainer, after a warm-up")
    parser.add_argument("--levers", action="store_true", help="also switch off one optimisation at a time")
    parser.add_argument("--folder", default="build/bench", help="where models and pairs are written")
    parser.add_argument("--output", default=str(RESULTS), help="where results are written")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown or arguments.rounds < 1:
        parser.error(f"CASE: expected one of {', '.join(CASES)}, found {unknown[0]!r}" if unknown
                     else f"--rounds: expected at least 1, found {arguments.rounds}")  # fmt: skip
    return arguments


if __name__ == "__main__":
    main()

"""Measure the trainer on a GPU with one command, in at most eight minutes: `python -m benchmarks.gpu [PART ...]`.

Every part is a separate process with a time limit. It writes its results after every measurement, so that finished
measurements are kept when time runs out. Without a GPU the same parts run on the CPU with tiny sizes, as a rehearsal.
The numbers of a rehearsal mean nothing, but it finds errors that would otherwise appear on a rented machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.__main__ import RESULTS, describe_machine
from benchmarks.gpu_parts import ON_GPU, PARTS, ROOT


def main() -> None:
    """Run the parts one after another, or one part in this process (`--inside`, used internally)."""
    arguments = _arguments()
    if arguments.inside:
        (part,) = arguments.parts
        PARTS[part][0](lambda found: arguments.output.write_text(json.dumps(found)))
        return
    # The description times a matrix product, so nothing else may run at the same time.
    report: dict[str, Any] = {"machine": describe_machine(), "rehearsal": not ON_GPU, "parts": {}}
    print(f"{report['machine']['processor']}, {report['machine']['matmul_peak_gflops'] / 1e3:.1f} TFLOP/s"
          f"{'' if ON_GPU else ': no GPU, so this is a rehearsal with tiny sizes'}", flush=True)  # fmt: skip
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    ends = time.perf_counter() + arguments.seconds
    for part in arguments.parts or PARTS:
        report["parts"][part] = _run_part(part, min(PARTS[part][1], ends - time.perf_counter()))
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
        _print_part(part, report["parts"][part])
    print(f"written to {arguments.output}")
    if any(part["status"] != "complete" for part in report["parts"].values()):
        raise SystemExit(1)


def _run_part(part: str, limit: float) -> dict[str, Any]:
    """Run one part in a separate process, stop it at its limit, and return its results so far."""
    if limit <= 0:
        return {"status": "not started: no time left", "seconds": 0.0, "found": {}}
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
                status = f"stopped at its limit of {limit:.0f} s"
            except subprocess.CalledProcessError as error:
                status = f"failed with exit status {error.returncode}"
            if status != "complete":
                log.seek(0)
                print(log.read()[-4000:], flush=True)
        found = json.loads(output.read_text()) if output.exists() else {}
    return {"status": status, "seconds": round(time.perf_counter() - started, 1), "found": found}


def _environment(scratch: str) -> dict[str, str]:
    """No network, no progress bars, and a temporary cache, so that no run reuses another's tokenized datasets."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false",
            "HF_DATASETS_CACHE": scratch, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # fmt: skip


def _print_part(part: str, result: dict[str, Any]) -> None:
    found = result["found"]
    print(f"\n{part}: {result['status']}, {result['seconds']:.0f} s")
    if part.startswith("speed") and found:
        for who, row in found["results"].items():
            ratios = found["ratios_to_trl"][who]
            print(f"  {who:<18} {row['pairs_per_second']:8.1f} pairs/s {row['peak_mb']:9,.0f} MB "
                      f"{row['matmul_share_of_peak']:6.3f} of peak, {ratios['pairs_per_second']:.2f} x TRL's speed, "
                      f"{ratios['peak_mb']:.2f} of its memory")  # fmt: skip
    elif part == "layouts":
        print(json.dumps(found.pop("kernels", {}), indent=1))
        for name, rows in found.items():
            for variant, row in rows.items():
                print(f"  {name:<16} {variant:<30} {row.get('error') or _line_of(row)}")
    else:
        print(json.dumps(found, indent=1)[:6000])
    sys.stdout.flush()


def _line_of(row: dict[str, Any]) -> str:
    shares = ", ".join(f"{kind} {1e3 * seconds:.0f} ms" for kind, seconds in row["profile"].items())
    return (f"{row['pairs_per_second']:8.1f} pairs/s {row['peak_mb']:9,.0f} MB, first step {row['first_step']:5.1f} s, "
            f"loss {row['losses'][-1]:.4f}; {shares}")  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one or more of {', '.join(PARTS)}; all by default")
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu.json" if ON_GPU else ROOT / "build" / "gpu.json",
                        help="where results are written")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=480, help="time limit for all parts together")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"PART: expected one of {', '.join(PARTS)}, found {unknown[0]!r}")
    return arguments


if __name__ == "__main__":
    main()

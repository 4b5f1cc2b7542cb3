"""Find tests that depend on their order, on hash randomisation or on the number of threads: `make test-random-order`.

Runs the fast tests several times. Each run has its own PYTHONHASHSEED and its own order of the tests (files are
shuffled, and so are the tests within each file, so that module fixtures are set up once). Runs alternate between one
thread and two.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FAST = ["-n", "2", "--dist", "loadfile", "-m", "not slow and not browser"]
COUNTS = re.compile(r"(\d+) (passed|failed|error)")


class Run(NamedTuple):
    """One run of the tests: settings, numbers of passed and failed tests, seconds, and names of failed tests."""

    seed: int
    threads: int
    passed: int
    failed: int
    seconds: float
    names: list[str]


def run_tests(seed: int, threads: int, flags: list[str]) -> Run:
    """Run the tests once, in the order that the seed determines."""
    order = ["--random-order-bucket=module", f"--random-order-seed={seed}"]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--color=no", *FAST, *order, *flags, "tests"]
    settings = {"PYTHONHASHSEED": str(seed), "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | settings)
    seconds = time.perf_counter() - start
    counts = {word: int(number) for number, word in COUNTS.findall(run.stdout.splitlines()[-1])}
    names = re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE)
    failed = counts.get("failed", 0) + counts.get("error", 0)
    assert failed or run.returncode == 0, run.stdout + run.stderr
    return Run(seed, threads, counts.get("passed", 0), failed, seconds, names)


def run_many(first: int, times: int, flags: list[str]) -> Iterator[Run]:
    """Run the tests several times, alternating between one thread and two."""
    for seed in range(first, first + times):
        yield run_tests(seed, 1 + seed % 2, flags)


def main() -> int:
    """Print a table of the runs; return 1 if a test failed in any of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10, help="number of runs")
    parser.add_argument("--first", type=int, default=1, help="seed of the first run")
    parser.add_argument("flags", nargs="*", help="options for pytest")
    options = parser.parse_args()
    failures = 0
    print("| seed of hashes and order | threads | passed | failed | seconds |\n|---|---|---|---|---|", flush=True)
    for run in run_many(options.first, options.times, options.flags):
        print(f"| {run.seed} | {run.threads} | {run.passed} | {run.failed} | {run.seconds:.0f} |", flush=True)
        print(*(f"    {name}\n" for name in run.names), sep="", end="", flush=True)
        failures += run.failed
    print(f"{failures} failures in {options.times} runs")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())

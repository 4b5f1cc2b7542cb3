"""Prove that the checks of the notebooks are strict: plant faults, each alone, and say which check finds which.

`make prove-strict`. Reading the file finds most; the others are run by nbval, as `make test` does it, in copies that
hold only the cells that matter. Every such copy is also run without its fault, and must pass. One fault is planted in
a copy of the package, for no notebook could show it: a widget whose callback raises.

`--measure` asks the opposite question: of all numbers in the prose, changed one at a time by one in the last digit, and
of all asserts, deleted one at a time, how many would reading the file find? `--record` writes down the asserts and
the numbers that the notebooks have now, after one was changed on purpose.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from strictness.checks import CHECKS, NOTEBOOKS
from strictness.measure import changed_numbers, deleted_asserts
from strictness.planted_faults import FAULTS, Fault, Json, copy_with, dump, load, path_of
from strictness.recorded import record

ROOT = Path(__file__).parents[1]
NBVAL = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "notebook_guard", "--nbval", "--nbval-current-env",
         "--tb=no", "-rfE", "--color=no"]  # fmt: skip
RAISING = ("dpo_teach/widgets/beta_roles.py", "    def update(self) -> None:\n",
           "    def update(self) -> None:\n        if self.beta > 5:\n            raise RuntimeError\n")  # fmt: skip


def found_by_reading(fault: Fault, folder: Path) -> str:
    """The first check that finds the fault without running anything, with what it says; empty if none does."""
    original, copy = path_of(fault.notebook), folder / path_of(fault.notebook).name
    copy.write_text(dump(copy_with(fault)), encoding="utf-8")
    for name, check in CHECKS.items():
        for line in check(copy):
            if line.replace(str(copy), "") not in said_without(name, original):
                return f"{name}: {line.replace(f'{copy}: ', '')}"
    return ""


@cache
def said_without(name: str, original: Path) -> set[str]:
    """What a check says of the committed notebook: nothing, unless somebody is at work on it."""
    return {line.replace(str(original), "") for line in CHECKS[name](original)}


def found_by_running(faults: list[Fault], folder: Path) -> dict[str, str]:
    """By the name of each fault, the cell in which nbval found it; one run for all, with a kernel for each copy."""
    copies = {}
    for number, fault in enumerate(faults):
        copies[folder / f"{number}-faulty.ipynb"] = fault.name
        write_part(copy_with(fault), fault.needs, folder / f"{number}-faulty.ipynb")
        write_part(load(fault.notebook), sorted_as_committed(fault), folder / f"{number}-healthy.ipynb")
    run = subprocess.run([sys.executable, *NBVAL, folder], capture_output=True, text=True, check=False, env=quiet())
    healthy_and_red = re.findall(r"^(?:FAILED|ERROR) \S*?(\d+)-healthy\.ipynb::(.*)$", run.stdout, re.MULTILINE)
    assert not healthy_and_red, f"these fail without a fault: {healthy_and_red}\n{run.stdout}"
    cells = dict(
        reversed(re.findall(r"^(?:FAILED|ERROR) \S*?(\d+-faulty\.ipynb)::(Cell \d+)", run.stdout, re.MULTILINE))
    )
    return {name: f"nbval: {cells[path.name]} of the copy" for path, name in copies.items() if path.name in cells}


def write_part(notebook: Json, needs: tuple[str, ...], path: Path) -> None:
    """The code cells that are needed, in the order in which they stand."""
    notebook["cells"] = [cell for cell in notebook["cells"] if cell.get("id") in needs]
    assert len(notebook["cells"]) == len(needs)
    path.write_text(dump(notebook), encoding="utf-8")


def sorted_as_committed(fault: Fault) -> tuple[str, ...]:
    """What the fault needs, in the order of the committed notebook."""
    return tuple(cell["id"] for cell in load(fault.notebook)["cells"] if cell["id"] in fault.needs)


def quiet() -> dict[str, str]:
    """The environment of the notebooks' run in `make test`."""
    paths = os.pathsep.join([str(ROOT / "tests" / "offline"), os.environ.get("PYTHONPATH", "")])
    offline = {"HF_HUB_OFFLINE": "1", "DPO_TEACH_PROGRESS": "off", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths,
               "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
    return os.environ | offline


def raising_callback_is_found(folder: Path) -> str:
    """What the test of every slider says of a package in which moving one widget far raises."""
    for name in ("tests", "notebooks", "pyproject.toml", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "dpo_teach", folder / "dpo_teach", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (folder / "dpo_teach" / "assets").symlink_to(ROOT / "dpo_teach" / "assets")
    file, old, new = RAISING
    source = (folder / file).read_text(encoding="utf-8")
    assert old in source
    (folder / file).write_text(source.replace(old, new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-rf", "--color=no"]
    wanted = ["tests/widgets/test_ranges.py", "-k", "BetaRoles and range"]
    run = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False, cwd=folder, env=quiet())
    assert "1 failed" in run.stdout or "1 passed" in run.stdout, run.stdout + run.stderr
    found = re.search(r"AssertionError: (beta = .*)", run.stdout)
    return f"test_ranges: {found[1]}" if found else ""


def prove() -> Iterator[tuple[str, str]]:
    """Each fault with what found it, or nothing; those that reading finds come first."""
    silent = []
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            found = found_by_reading(fault, Path(folder))
        if found or not fault.needs:
            yield fault.name, found
        else:
            silent.append(fault)
    with tempfile.TemporaryDirectory() as folder:
        by_name = found_by_running(silent, Path(folder))
        yield from ((fault.name, by_name.get(fault.name, "")) for fault in silent)
    with tempfile.TemporaryDirectory() as folder:
        yield "a callback of a widget of the package raises", raising_callback_is_found(Path(folder))


def measure() -> None:
    """Print how many changed numbers and deleted asserts reading finds."""
    for title, trials in (
        ("numbers changed, without the record", changed_numbers),
        ("asserts, deleted", deleted_asserts),
    ):
        for path in NOTEBOOKS:
            found = list(trials(path))
            print(f"{path.stem:24}{title:40}{sum(found):4} of {len(found):3} found by reading")


def main() -> int:
    """Print the table of faults; 1 if one was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", action="store_true", help="change every number and delete every assert instead")
    parser.add_argument("--record", action="store_true", help="write down the claims of the notebooks as they are now")
    options = parser.parse_args()
    if options.measure:
        measure()
        return 0
    if options.record:
        record(NOTEBOOKS)
        return 0
    start, results = time.perf_counter(), []
    for name, found in prove():
        results.append(bool(found))
        print(f"{'found ' if found else 'MISSED'}  {name:64}{found[:110]}", flush=True)
    print(f"{sum(results)} of {len(results)} faults found, in {time.perf_counter() - start:.0f} s")
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())

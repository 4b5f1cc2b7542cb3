"""Show that the notebook checks are strict: plant faults one at a time and report which check finds each of them.

`make prove-strict`. Static checks of the file find most faults. For the others nbval runs copies with only the relevant
cells, as in `make test`; every copy is also run without its fault and must pass. One fault is planted in a copy of the
package, because no notebook can show it: a widget whose callback raises.

`--measure` changes the last digit of each number in the prose by one and deletes each assert, one at a time, and counts
how many of these changes the static checks find. `--record` records the asserts and numbers that the notebooks have
now, after an intended change.
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
    """The first static check that finds the fault, with its message; empty if none does."""
    original, copy = path_of(fault.notebook), folder / path_of(fault.notebook).name
    copy.write_text(dump(copy_with(fault)), encoding="utf-8")
    for name, check in CHECKS.items():
        for line in check(copy):
            if line.replace(str(copy), "") not in reported_without(name, original):
                return f"{name}: {line.replace(f'{copy}: ', '')}"
    return ""


@cache
def reported_without(name: str, original: Path) -> set[str]:
    """What a check reports about the committed notebook: nothing, unless the notebook is being edited."""
    return {line.replace(str(original), "") for line in CHECKS[name](original)}


def found_by_running(faults: list[Fault], folder: Path) -> dict[str, str]:
    """The cell in which nbval found each fault, keyed by the fault's name; one run with a kernel for each copy."""
    copies = {}
    for number, fault in enumerate(faults):
        copies[folder / f"{number}-faulty.ipynb"] = fault.name
        write_part(copy_with(fault), fault.needs, folder / f"{number}-faulty.ipynb")
        write_part(load(fault.notebook), sorted_as_committed(fault), folder / f"{number}-intact.ipynb")
    run = subprocess.run(
        [sys.executable, *NBVAL, folder], capture_output=True, text=True, check=False, env=notebook_env()
    )
    failed_without_fault = re.findall(r"^(?:FAILED|ERROR) \S*?(\d+)-intact\.ipynb::(.*)$", run.stdout, re.MULTILINE)
    assert not failed_without_fault, f"copies without a fault failed: {failed_without_fault}\n{run.stdout}"
    cells = dict(
        reversed(re.findall(r"^(?:FAILED|ERROR) \S*?(\d+-faulty\.ipynb)::(Cell \d+)", run.stdout, re.MULTILINE))
    )
    return {name: f"nbval: {cells[path.name]} of the copy" for path, name in copies.items() if path.name in cells}


def write_part(notebook: Json, needs: tuple[str, ...], path: Path) -> None:
    """Write a notebook with only the needed code cells, in their order."""
    notebook["cells"] = [cell for cell in notebook["cells"] if cell.get("id") in needs]
    assert len(notebook["cells"]) == len(needs)
    path.write_text(dump(notebook), encoding="utf-8")


def sorted_as_committed(fault: Fault) -> tuple[str, ...]:
    """The cells that the fault needs, in the order of the committed notebook."""
    return tuple(cell["id"] for cell in load(fault.notebook)["cells"] if cell["id"] in fault.needs)


def notebook_env() -> dict[str, str]:
    """The environment in which `make test` runs the notebooks."""
    paths = os.pathsep.join([str(ROOT / "tests" / "offline"), os.environ.get("PYTHONPATH", "")])
    offline = {"HF_HUB_OFFLINE": "1", "DPO_TEACH_PROGRESS": "off", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths,
               "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
    return os.environ | offline


def raising_callback_is_found(folder: Path) -> str:
    """What the slider test reports for a package in which a widget's callback raises at one end of its range."""
    for name in ("tests", "notebooks", "pyproject.toml", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "dpo_teach", folder / "dpo_teach", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (folder / "dpo_teach" / "assets").symlink_to(ROOT / "dpo_teach" / "assets")
    file, old, new = RAISING
    source = (folder / file).read_text(encoding="utf-8")
    assert old in source
    (folder / file).write_text(source.replace(old, new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-rf", "--color=no"]
    selected = ["tests/widgets/test_ranges.py", "-k", "BetaRoles and range"]
    run = subprocess.run(
        [*command, *selected], capture_output=True, text=True, check=False, cwd=folder, env=notebook_env()
    )
    assert "1 failed" in run.stdout or "1 passed" in run.stdout, run.stdout + run.stderr
    found = re.search(r"AssertionError: (beta = .*)", run.stdout)
    return f"test_ranges: {found[1]}" if found else ""


def prove() -> Iterator[tuple[str, str]]:
    """Each fault with the check that found it, or an empty string; faults found statically come first."""
    undetected = []
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            found = found_by_reading(fault, Path(folder))
        if found or not fault.needs:
            yield fault.name, found
        else:
            undetected.append(fault)
    with tempfile.TemporaryDirectory() as folder:
        by_name = found_by_running(undetected, Path(folder))
        yield from ((fault.name, by_name.get(fault.name, "")) for fault in undetected)
    with tempfile.TemporaryDirectory() as folder:
        yield "a widget callback in the package raises", raising_callback_is_found(Path(folder))


def measure() -> None:
    """Print how many changed numbers and deleted asserts the static checks find."""
    for title, trials in (
        ("changed numbers, without the record", changed_numbers),
        ("deleted asserts", deleted_asserts),
    ):
        for path in NOTEBOOKS:
            found = list(trials(path))
            print(f"{path.stem:24}{title:40}{sum(found):4} of {len(found):3} found statically")


def main() -> int:
    """Print the table of faults; return 1 if one was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", action="store_true", help="change every number and delete every assert instead")
    parser.add_argument("--record", action="store_true", help="record the current claims of the notebooks")
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

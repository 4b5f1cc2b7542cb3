"""Time a newcomer's start, from `git clone` to the first slider moved: `make bench-start`.

The benchmark clones the last commit into an empty folder, runs `make install` and `make lab` there, opens notebook 01
in a real browser, runs its cells down to the first explorer, and presses an arrow key once. The time that pip takes to
download packages depends on the network.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.lab import TOKEN, Lab, free_port, run_cell, wait_for

ROOT = Path(__file__).parents[1]
NOTEBOOK = "01_introduction.ipynb"
CELLS = (
    "before-and-after",
    "true-reward-before-and-after",
    "count-the-models",
    "memory-when-training",
    "memory-calculator",
)


def main() -> None:
    """Time every step and print its seconds when it ends."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not installed (on Debian: apt-get install chromium)")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        clone = Path(folder) / "dpo_teach"
        with timed("git clone"):
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        with timed("make install"):
            subprocess.run(["make", "install"], cwd=clone, check=True, stdout=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        with lab_of(clone) as lab:
            start(page, lab)
        browser.close()
        print(f"{'from clone to the first slider moved':<44} {time.perf_counter() - began:7.1f} s")


def start(page: Page, lab: Lab) -> None:
    """Open notebook 01, run it down to its first explorer, and move the explorer's slider."""
    with timed("the notebook opens and its kernel starts"):
        lab.open(page, NOTEBOOK)
    for cell in CELLS:
        with timed(f"cell {cell}"):
            output = run_cell(page, NOTEBOOK, cell)
    with timed("the explorer appears and its slider moves"):
        slider = output.locator(".dpo-teach input[type=range]").first
        slider.wait_for()
        before = slider.input_value()
        slider.press("ArrowRight")
        if slider.input_value() == before:
            sys.exit("the slider did not move")


@contextmanager
def lab_of(clone: Path) -> Iterator[Lab]:
    """Start `make lab` in a clone and wait until it answers."""
    port = free_port()
    flags = f"--no-browser --port={port} --IdentityProvider.token={TOKEN} --expose-app-in-browser"
    log = (clone.parent / "log").open("w")
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = ["make", "lab", f"LAB_FLAGS={flags}"]
    with timed("make lab, until it answers"):
        server = subprocess.Popen(command, cwd=clone, env=environment, stdout=log, stderr=log, start_new_session=True)
        lab = Lab(clone.parent, f"http://127.0.0.1:{port}")
        wait_for(lab, server)
    try:
        yield lab
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the seconds of the `with` block."""
    began = time.perf_counter()
    yield
    print(f"{what:<44} {time.perf_counter() - began:7.1f} s", flush=True)


if __name__ == "__main__":
    main()

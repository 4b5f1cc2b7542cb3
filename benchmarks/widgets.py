"""Measure how long explorers take to respond in a real browser: `make bench-widgets`.

The time runs from the key or pointer event, by the browser's own clock, to the changed DOM or, for panels that the
kernel draws, to the loaded new picture. The table also shows the time to the next frame, when the change becomes
visible. The benchmark uses headless Chromium with the playground file and with the real notebooks in JupyterLab.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Locator, Page, sync_playwright

from tests.browser.lab import Lab, run_cell, running_lab
from tools.playground import EXPLORERS, write_playground

MOVES = 100
GOALS = {"browser": 16.0, "kernel": 120.0}
IN_LAB = [
    ("01_introduction.ipynb", "loss-explorer", "browser"),
    ("01_introduction.ipynb", "beta-tilt", "browser"),
    ("03_loss_and_gradients.ipynb", "gradient-weights", "browser"),
    ("01_introduction.ipynb", "memory-calculator", "browser"),
    ("02_dpo_vs_rlhf.ipynb", "frontier-walker", "kernel"),
    ("03_loss_and_gradients.ipynb", "beta-roles", "kernel"),
    ("03_loss_and_gradients.ipynb", "logps-workbench", "kernel"),
]

# Record the time of the latest key or pointer event, and how long after it the first change happens.
WATCH = """(e) => {
    window.answers = [];
    window.frames = [];
    let began = null;
    const event = (happened) => { began = happened.timeStamp; };
    for (const kind of ["keydown", "pointermove", "change"]) addEventListener(kind, event, true);
    const answer = () => {
        if (began === null) return;
        const from = began;
        began = null;
        window.answers.push(performance.now() - from);
        requestAnimationFrame(() => setTimeout(() => window.frames.push(performance.now() - from)));
    };
    const picture = e.querySelector("img.dt-picture");
    if (picture) picture.addEventListener("load", answer);
    else new MutationObserver(answer).observe(e, {
        attributes: true, characterData: true, childList: true, subtree: true,
        attributeFilter: ["d", "cx", "cy", "style", "x", "y"] });
}"""


def main() -> None:
    """Measure every explorer and panel and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=MOVES, help="number of moves by keyboard, and as many by pointer")
    moves = parser.parse_args().moves
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("chromium is not installed (on Debian: apt-get install chromium)")
    print(f"{'':<44} {'changed, ms':>19}   {'drawn, ms':>19}   {'moves':>5}")
    print(f"{'':<44} {'median':>9} {'p95':>9}   {'median':>9} {'p95':>9}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(write_playground(Path(folder) / "playground.html").as_uri())
        for name in EXPLORERS:
            measure(page, page.locator(f'[data-explorer="{name}"]'), f"playground, {name}", "browser", moves)
        with running_lab(Path(folder)) as lab:
            for notebook, cell, kind in IN_LAB:
                measure_in_lab(page, lab, notebook, cell, kind, moves)
        browser.close()


def measure_in_lab(page: Page, lab: Lab, notebook: str, cell: str, kind: str, moves: int) -> None:
    """Measure one explorer of a notebook in JupyterLab."""
    lab.open(page, notebook)
    output = run_cell(page, notebook, cell)
    output.locator(".dpo-teach").first.wait_for(timeout=30_000)
    page.wait_for_timeout(1000)
    measure(page, output, f"JupyterLab, {cell}", kind, moves)
    page.goto("about:blank")
    lab.close_kernels()


def measure(page: Page, root: Locator, name: str, kind: str, moves: int) -> None:
    """Move the first slider back and forth by keyboard and by pointer; print one row for each."""
    root.evaluate(WATCH)
    pause = 60 if kind == "browser" else 260  # the pace of a hand; leaves time for the kernel's picture
    sliders = root.locator("input[type=range]")
    if sliders.count() == 0:
        by_menu(page, root.locator("select").first, moves, pause)
        report(page, f"{name}, by menu", kind)
        return
    slider = sliders.first
    slider.focus()
    for i in range(moves):
        page.keyboard.press("ArrowRight" if i // 4 % 2 == 0 else "ArrowLeft")
        page.wait_for_timeout(pause)
    report(page, f"{name}, by keyboard", kind)
    by_pointer(page, slider, moves, pause)
    report(page, f"{name}, by pointer", kind)


def by_menu(page: Page, menu: Locator, moves: int, pause: int) -> None:
    """Change a menu's selection back and forth."""
    for i in range(moves):
        menu.select_option(index=i % 2)
        page.wait_for_timeout(pause)


def by_pointer(page: Page, slider: Locator, moves: int, pause: int) -> None:
    """Drag a slider's thumb back and forth."""
    slider.scroll_into_view_if_needed()
    box = slider.evaluate("e => e.getBoundingClientRect().toJSON()")
    thumb = slider.evaluate("e => (e.value - e.min) / (e.max - e.min)")
    start = box["x"] + 10 + thumb * (box["width"] - 20)
    height = box["y"] + box["height"] / 2
    page.mouse.move(start, height)
    page.mouse.down()
    for i in range(moves):
        page.mouse.move(box["x"] + box["width"] * (0.3 + 0.4 * (i % 20) / 20), height)
        page.wait_for_timeout(pause)
    page.mouse.up()
    page.wait_for_timeout(pause)


def report(page: Page, name: str, kind: str) -> None:
    """Print a row and clear its measurements."""
    changed, drawn = page.evaluate("() => [window.answers.splice(0), window.frames.splice(0)]")
    numbers = [f"{median(times):9.1f} {quantiles(times, n=20)[-1]:9.1f}" for times in (changed, drawn)]
    verdict = "" if quantiles(changed, n=20)[-1] <= GOALS[kind] else f"  above the goal of {GOALS[kind]:.0f}"
    print(f"{name:<44} {numbers[0]}   {numbers[1]}   {len(changed):>5}{verdict}", flush=True)


if __name__ == "__main__":
    main()

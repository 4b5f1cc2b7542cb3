"""Measure how many learners a machine can serve: `make bench-classroom`.

The benchmark runs a real JupyterHub and its proxy on this machine only. In each round all learners start their servers
at the same time, run a whole notebook, and then move a slider at the pace of a hand. It is the slider of a panel in
notebook 03 that the kernel draws, because the explorers in 01 are drawn by the browser and need no kernel. The last
step is repeated while one learner uses a real browser on the same machine.

Learners share one Unix user here, which costs the same. deploy/jupyterhub/README.md describes the setup for a class.
"""

import argparse
import asyncio
import math
import secrets
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import aiohttp
import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.learner import PACE, Learner, bytes_of, hub_processes, memory_of
from benchmarks.widgets import WATCH
from tests.browser.lab import Lab, run_cell
from tests.jupyterhub_helper import Hub, find_proxy, running_hub, write_handout

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIRST = "01_introduction.ipynb"
CLASS = 30
TIME_LIMIT = 1500  # seconds, for all rounds
MB, GB = 1e6, 1e9


@dataclass
class Round:
    """The measurements of one round.

    Args:
        learners: number of learners.
        starts: seconds until each server answered.
        runs: seconds that each learner's notebook took.
        servers, kernels: bytes of each learner (PSS, which divides shared memory among the processes that share it).
        work: processor seconds of each learner, from start-up to the end of the notebook.
        moving: cores that each learner keeps busy while a slider moves.
        panels: milliseconds from a move to the kernel's new picture, for all learners.
        browser: the same in a browser, for an explorer that the browser draws and for the kernel's panel.
        hub: bytes of hub and proxy.
    """

    learners: int
    starts: list[float]
    runs: list[float]
    servers: list[float]
    kernels: list[float]
    work: list[float]
    moving: list[float]
    panels: list[float]
    browser: tuple[list[float], list[float]]
    hub: float

    @property
    def memory(self) -> float:
        """Bytes of one learner's server and kernels."""
        return median(self.servers) + median(self.kernels)


def main() -> None:
    """Measure each number of learners, and print a table and the requirements of a class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--learners",
        type=_numbers,
        default=[1, 2, 4, 8],
        help="learners in each round, as in 1,2,4,8",
    )
    parser.add_argument("--notebook", type=_notebook, default="01", help="number of the notebook that all learners run")
    parser.add_argument("--moves", type=int, default=40, help="number of moves of each slider")
    parser.add_argument("--no-browser", action="store_true", help="skip the learner in a real browser")
    parser.add_argument("--proxy", default=find_proxy(), help="command of the proxy, if it is not on PATH")
    options = parser.parse_args()
    if options.proxy is None:
        sys.exit("configurable-http-proxy is not installed: install npm's package of that name, or the extra `hub`")
    chromium = None if options.no_browser else shutil.which("chromium") or shutil.which("chromium-browser")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that `timeout` leaves no servers running
    with tempfile.TemporaryDirectory(prefix="classroom-") as name:
        folder, password = Path(name), secrets.token_hex(16)
        environment = {"DPO_TEACH_REHEARSAL": name, "DPO_TEACH_REHEARSAL_PASSWORD": password,
                       "DPO_TEACH_REHEARSAL_LEARNERS": str(max(options.learners)),
                       "DPO_TEACH_HANDOUT": str(folder / "handout")}  # fmt: skip
        write_handout(folder / "handout")
        with running_hub("rehearsal_config.py", folder, proxy=options.proxy, environment=environment) as hub:
            try:
                asyncio.run(asyncio.wait_for(measure_all(hub, password, options, chromium), TIME_LIMIT))
            except TimeoutError:
                sys.exit(f"not finished within {TIME_LIMIT} seconds: try fewer learners")


async def measure_all(hub: Hub, password: str, options: argparse.Namespace, chromium: str | None) -> None:
    """Run the rounds one after another, while memory is sufficient."""
    print(f"proxy: {options.proxy}; {psutil.cpu_count()} cores, {psutil.virtual_memory().total / GB:.0f} GB of memory")
    print(f"browser: {chromium or 'none'}; notebook: {options.notebook.name}\n\n{HEADINGS}")
    last = None
    for number in options.learners:
        if last and number * last.memory > 0.8 * psutil.virtual_memory().available:
            print(f"stopped before {number} learners: there is not enough memory")
            break
        last = await measure(hub, password, number, options.notebook, options.moves, chromium)
        print(row(last), flush=True)
    if last:
        print(f"\n{needs(last)}")


async def measure(hub: Hub, password: str, number: int, notebook: Path, moves: int, chromium: str | None) -> Round:
    """Run one round: all learners start, run the notebook, move a slider and stop."""
    async with aiohttp.ClientSession() as web:
        learners = [Learner(web, hub, f"learner{i + 1}", password) for i in range(number)]
        starts = await asyncio.gather(*(learner.start() for learner in learners))
        runs = await asyncio.gather(*(learner.run(notebook) for learner in learners))
        work = [learner.work() for learner in learners]
        await asyncio.gather(*(learner.open_panel() for learner in learners))
        servers, kernels = zip(*(memory_of(learner) for learner in learners), strict=True)
        hub_bytes = sum(bytes_of(one) for one in hub_processes(hub))
        panels, moving = await move_all(learners, moves)
        browser = await move_beside(learners, password, moves, chromium)
        await asyncio.gather(*(learner.stop() for learner in learners))
    return Round(number, starts, runs, [*servers], [*kernels], work, moving, panels, browser, hub_bytes)


async def move_all(learners: list[Learner], moves: int) -> tuple[list[float], list[float]]:
    """Move every slider; return milliseconds from each move to its picture, and the cores that each learner uses."""
    before, began = [learner.work() for learner in learners], time.perf_counter()
    times = await asyncio.gather(
        *(learner.move_slider(lambda: time.perf_counter() > began + moves * PACE) for learner in learners)
    )
    seconds = time.perf_counter() - began
    busy = [(learner.work() - earlier) / seconds for learner, earlier in zip(learners, before, strict=True)]
    return [one for each in times for one in each], busy


async def move_beside(
    learners: list[Learner], password: str, moves: int, chromium: str | None
) -> tuple[list[float], list[float]]:
    """Do the same while the first learner uses a real browser; return the milliseconds in that browser."""
    if chromium is None:
        return [], []
    at_browser = asyncio.create_task(asyncio.to_thread(use_browser, learners[0], password, moves, chromium))
    try:
        await asyncio.gather(*(learner.move_slider(at_browser.done) for learner in learners[1:]))
    finally:
        browser = await at_browser
    return browser


def use_browser(learner: Learner, password: str, moves: int, chromium: str) -> tuple[list[float], list[float]]:
    """Move an explorer drawn by the browser and a panel drawn by the kernel in a real page; return milliseconds."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            log_in(page, learner, password)
            explorer = move_in(page, learner, FIRST, "loss-explorer", moves, 60)
            panel = move_in(page, learner, "03_loss_and_gradients.ipynb", "beta-roles", moves, 1000 * PACE)
        finally:
            browser.close()
    return explorer, panel


def log_in(page: Page, learner: Learner, password: str) -> None:
    """Log in with name and password, as a learner does."""
    page.goto(f"{learner.hub.url}/hub/login")
    page.fill("#username_input", learner.name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url(f"**/user/{learner.name}/**", timeout=60_000)


def move_in(page: Page, learner: Learner, notebook: str, cell: str, moves: int, pause: float) -> list[float]:
    """Open a notebook, run one of its cells, and move its slider with the keyboard."""
    Lab(learner.hub.folder, f"{learner.hub.url}/user/{learner.name}").open(page, f"notebooks/{notebook}")
    output = run_cell(page, notebook, cell)
    output.locator(".dpo-teach").first.wait_for(timeout=60_000)
    page.wait_for_timeout(1000)
    output.evaluate(WATCH)
    output.locator("input[type=range]").first.focus()
    for i in range(moves):
        page.keyboard.press("ArrowRight" if i // 4 % 2 == 0 else "ArrowLeft")
        page.wait_for_timeout(pause)
    return list(page.evaluate("() => window.answers.splice(0)"))


HEADINGS = (
    f"{'':>8} | {'start-up, s':^13} | {'notebook, s':^14} | {'memory, MB/learner':^22} | "
    f"{'kernel panel, ms':^16} | {'in the browser, ms: explorer, panel':^37}\n"
    f"{'learners':>8} | {'median':>6} {'max':>6} | {'median':>7} {'max':>6} | {'server':>6} {'kernel':>7} {'both':>7} "
    f"| {'median':>8} {'p95':>7} | {'median':>8} {'p95':>8}   {'median':>8} {'p95':>8}"
)


def row(measured: Round) -> str:
    """One row of the table."""
    server, kernel = median(measured.servers) / MB, median(measured.kernels) / MB
    explorer, panel = measured.browser
    return (
        f"{measured.learners:>8} | {median(measured.starts):>6.1f} {max(measured.starts):>6.1f} | "
        f"{median(measured.runs):>7.1f} {max(measured.runs):>6.1f} | {server:>6.0f} {kernel:>7.0f} "
        f"{measured.memory / MB:>7.0f} | {_two(measured.panels, 8, 7)} | {_two(explorer, 8, 8)}   {_two(panel, 8, 8)}"
    )


def needs(measured: Round) -> str:
    """The requirements of a class, from the last round, extrapolated linearly if that had fewer learners."""
    memory = (CLASS * measured.memory + measured.hub) / GB
    work = median(measured.work)
    cores = math.ceil(CLASS * work / 60)
    how = "measured" if measured.learners == CLASS else f"extrapolated linearly from {measured.learners} learners"
    return (
        f"Each learner used {work:.0f} processor seconds from start-up to the end of the notebook, and keeps "
        f"{median(measured.moving):.2f} cores busy while a slider moves. Hub and proxy use {measured.hub / MB:.0f} MB."
        f"\n"
        f"A class of {CLASS} needs {memory:.0f} GB of memory for servers and kernels ({how}). For the notebook to "
        f"finish a minute after all learners start together, these processor seconds require {cores} cores."
    )


def _two(times: list[float], *widths: int) -> str:
    """Median and 95th percentile in columns; dashes if nothing was measured."""
    numbers = (median(times), quantiles(times, n=20)[-1]) if len(times) > 1 else None
    return " ".join(f"{number:>{width}.0f}" if numbers else f"{'-':>{width}}"
                    for number, width in zip(numbers or widths, widths, strict=True))  # fmt: skip


def _notebook(text: str) -> Path:
    found = list(NOTEBOOKS.glob(f"{text}_*.ipynb"))
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"expected the number of a notebook, for example 01, found {text!r}")
    return found[0]


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1 learner, found {min(numbers)}")
    return numbers


if __name__ == "__main__":
    main()

"""How many learners a machine carries: `make bench-classroom`.

A real JupyterHub and its proxy, on this machine alone. All learners of a round start their servers at once, run the
whole of a notebook, and then move a slider at a hand's pace: that of the panel of notebook 03 which the kernel draws,
for the explorers of 01 are drawn by the browser and ask the kernel for nothing. Then once more, while one of them sits
at a real browser, on this same machine.

Learners share a Unix user here, which costs the same; deploy/jupyterhub/README.md says what a class has instead.
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
TIME_LIMIT = 1500  # seconds for all rounds
MB, GB = 1e6, 1e9


@dataclass
class Round:
    """What one number of learners took.

    Args:
        learners: how many.
        starts: seconds until each server answered.
        runs: seconds that each spent in the notebook.
        servers, kernels: bytes of each learner (PSS: what is shared is divided among those who share it).
        work: processor seconds of each learner, from the start to the end of the notebook.
        moving: cores that each learner keeps busy while a slider moves.
        panels: milliseconds from a move to the kernel's new picture, of all learners.
        browser: the same in the browser, for an explorer that the browser draws and for the kernel's panel.
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
        """Bytes for one learner, server and kernel."""
        return median(self.servers) + median(self.kernels)


def main() -> None:
    """Measure each number of learners, print a table, and what a class needs by it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", type=_numbers, default=[1, 2, 4, 8], help="the rounds, as in 1,2,4,8")
    parser.add_argument("--notebook", type=_notebook, default="01", help="which one all of them run: its number")
    parser.add_argument("--moves", type=int, default=40, help="of each slider")
    parser.add_argument("--no-browser", action="store_true", help="nobody sits at a real browser")
    parser.add_argument("--proxy", default=find_proxy(), help="its command, where it is not on PATH")
    options = parser.parse_args()
    if options.proxy is None:
        sys.exit("configurable-http-proxy is not installed: npm's package of that name, or the extra `hub`, brings it")
    chromium = None if options.no_browser else shutil.which("chromium") or shutil.which("chromium-browser")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that `timeout` leaves no server behind
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
                sys.exit(f"not done within {TIME_LIMIT} seconds: ask for fewer learners")


async def measure_all(hub: Hub, password: str, options: argparse.Namespace, chromium: str | None) -> None:
    """One round after the other, as long as the memory holds the next."""
    print(f"proxy: {options.proxy}; {psutil.cpu_count()} cores, {psutil.virtual_memory().total / GB:.0f} GB of memory")
    print(f"browser: {chromium or 'none'}; notebook: {options.notebook.name}\n\n{HEADINGS}")
    last = None
    for number in options.learners:
        if last and number * last.memory > 0.8 * psutil.virtual_memory().available:
            print(f"stopped before {number} learners: the memory would not hold them")
            break
        last = await measure(hub, password, number, options.notebook, options.moves, chromium)
        print(row(last), flush=True)
    if last:
        print(f"\n{needs(last)}")


async def measure(hub: Hub, password: str, number: int, notebook: Path, moves: int, chromium: str | None) -> Round:
    """One round: everybody starts, runs the notebook, moves a slider, and goes."""
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
    """Every slider moves: milliseconds from each move to its picture, and the cores that each learner keeps busy."""
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
    """The same, with the first learner at a real browser: milliseconds of what moves there."""
    if chromium is None:
        return [], []
    at_browser = asyncio.create_task(asyncio.to_thread(sit_at_browser, learners[0], password, moves, chromium))
    try:
        await asyncio.gather(*(learner.move_slider(at_browser.done) for learner in learners[1:]))
    finally:
        browser = await at_browser
    return browser


def sit_at_browser(learner: Learner, password: str, moves: int, chromium: str) -> tuple[list[float], list[float]]:
    """A real page: milliseconds of an explorer that the browser draws, and of the panel that the kernel draws."""
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
    """As a learner does, with name and password."""
    page.goto(f"{learner.hub.url}/hub/login")
    page.fill("#username_input", learner.name)
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url(f"**/user/{learner.name}/**", timeout=60_000)


def move_in(page: Page, learner: Learner, notebook: str, cell: str, moves: int, pause: float) -> list[float]:
    """Open a notebook, run one of its cells, and move its slider by the keyboard."""
    Lab(learner.hub.folder, f"{learner.hub.url}/user/{learner.name}").open(page, f"notebooks/{notebook}")
    output = run_cell(page, notebook, cell)
    output.locator(".dpo-teach, img.dt-picture").first.wait_for(timeout=60_000)
    page.wait_for_timeout(1000)
    output.evaluate(WATCH)
    output.locator("input[type=range], .noUi-handle").first.focus()
    for i in range(moves):
        page.keyboard.press("ArrowRight" if i // 4 % 2 == 0 else "ArrowLeft")
        page.wait_for_timeout(pause)
    return list(page.evaluate("() => window.answers.splice(0)"))


HEADINGS = (
    f"{'':>8} | {'start-up, s':^13} | {'notebook, s':^14} | {'memory, MB a learner':^22} | "
    f"{'kernel panel, ms':^16} | {'in the browser, ms: explorer, panel':^37}\n"
    f"{'learners':>8} | {'median':>6} {'max':>6} | {'median':>7} {'max':>6} | {'server':>6} {'kernel':>7} {'both':>7} "
    f"| {'median':>8} {'p95':>7} | {'median':>8} {'p95':>8}   {'median':>8} {'p95':>8}"
)


def row(measured: Round) -> str:
    """A line of the table."""
    server, kernel = median(measured.servers) / MB, median(measured.kernels) / MB
    explorer, panel = measured.browser
    return (
        f"{measured.learners:>8} | {median(measured.starts):>6.1f} {max(measured.starts):>6.1f} | "
        f"{median(measured.runs):>7.1f} {max(measured.runs):>6.1f} | {server:>6.0f} {kernel:>7.0f} "
        f"{measured.memory / MB:>7.0f} | {_two(measured.panels, 8, 7)} | {_two(explorer, 8, 8)}   {_two(panel, 8, 8)}"
    )


def needs(measured: Round) -> str:
    """What a class needs, by the last round: a straight line through it where that was smaller than a class."""
    memory = (CLASS * measured.memory + measured.hub) / GB
    work = median(measured.work)
    cores = math.ceil(CLASS * work / 60)
    how = "measured" if measured.learners == CLASS else f"by a straight line through {measured.learners}, not measured"
    return (
        f"Each learner took {work:.0f} processor seconds from the start to the end of the notebook, and keeps "
        f"{median(measured.moving):.2f} of a core busy while a slider moves; hub and proxy {measured.hub / MB:.0f} MB."
        f"\n"
        f"A class of {CLASS} takes {memory:.0f} GB of memory for servers and kernels ({how}). By those processor "
        f"seconds it wants {cores} cores to have the notebook run a minute after all press the button together."
    )


def _two(times: list[float], *widths: int) -> str:
    """Median and 95th percentile, in columns; dashes where nothing was measured."""
    numbers = (median(times), quantiles(times, n=20)[-1]) if len(times) > 1 else None
    return " ".join(f"{number:>{width}.0f}" if numbers else f"{'-':>{width}}"
                    for number, width in zip(numbers or widths, widths, strict=True))  # fmt: skip


def _notebook(text: str) -> Path:
    found = list(NOTEBOOKS.glob(f"{text}_*.ipynb"))
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"a notebook's number is wanted, as in 01, found {text!r}")
    return found[0]


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"the number of learners is at least 1, found {min(numbers)}")
    return numbers


if __name__ == "__main__":
    main()

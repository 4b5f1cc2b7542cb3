"""The widgets of a notebook that was saved, left and reopened, in a real JupyterLab."""

import json
from collections.abc import Callable, Iterator

import pytest
from lab import NOTEBOOKS, Lab, run_cell_at
from playwright.sync_api import Browser, Page, expect

NAME = "return.ipynb"
SOURCES = {
    "loss-explorer": "from dpo_teach.widgets import LossExplorer\nLossExplorer(preset='example 1', beta=0.1)",
    "memory-calculator": "from dpo_teach.widgets import MemoryCalculator\nMemoryCalculator()",
    "beta-roles": "from dpo_teach.widgets import BetaRoles\nBetaRoles(beta=1.0)",
}
NOT_FOUND = "Error displaying widget"
OPEN = Callable[[], Page]


@pytest.fixture
def reopen(lab: Lab, browser: Browser) -> Iterator[OPEN]:
    """Open the notebook in a page with empty storage, as on another day; its kernel may still be running.

    All cells of the notebook must have been run: JupyterLab shows the widgets of a notebook that it trusts, and the
    pictures of any other.
    """
    notebook = json.loads((NOTEBOOKS / "01_introduction.ipynb").read_text())
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"] = [{**blank, "id": name, "source": source} for name, source in SOURCES.items()]
    (lab.folder / "root" / NAME).write_text(json.dumps(notebook))
    lab.set_theme("light")
    pages: list[Page] = []

    def reopened() -> Page:
        pages.append(browser.new_context(viewport={"width": 1280, "height": 1000}).new_page())
        lab.open(pages[-1], NAME)
        return pages[-1]

    yield reopened
    for page in pages:
        page.context.close()
    lab.close_kernels()


def run_all(page: Page) -> None:
    for index in range(len(SOURCES)):
        run_cell_at(page, index)
    expect(page.locator(".dpo-teach")).to_have_count(len(SOURCES), timeout=20_000)
    expect(page.locator(".dpo-teach img.dt-picture")).to_be_visible(timeout=20_000)


def save(page: Page) -> None:
    """Save the notebook, even if another page has saved it since."""
    page.evaluate("() => { window.saved = false; window.jupyterapp.shell.currentWidget.context.save().then("
                  "() => { window.saved = true; }); }")  # fmt: skip
    overwrite = page.get_by_role("button", name="Overwrite")
    page.wait_for_function("() => window.saved || document.querySelector('.jp-Dialog')", timeout=20_000)
    if overwrite.count():
        overwrite.click()
    page.wait_for_function("() => window.saved", timeout=20_000)


def restart_kernel(page: Page) -> None:
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000, state="attached")
    expect(page.locator(".dt-no-kernel")).to_be_visible(timeout=20_000)  # the page has noticed


def expect_alive(page: Page) -> None:
    """The explorers move, and the panel, which cannot move without its kernel, says so under its saved picture."""
    explorer = page.locator(".dpo-teach").first
    expect(explorer).to_be_visible(timeout=20_000)
    slider = explorer.locator('[data-name="beta"] input[type=range]')
    before = explorer.locator('b[data-value="loss"]').text_content() or ""
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(explorer.locator('b[data-value="loss"]')).not_to_have_text(before)
    expect(page.locator(".dpo-teach img.dt-picture")).to_be_visible()
    expect(page.locator(".dt-no-kernel")).to_contain_text("run the cell")
    assert NOT_FOUND not in page.locator(".jp-Notebook").inner_text()


def test_explorers_are_alive_on_return_and_stay_so(lab: Lab, reopen: OPEN) -> None:
    first = reopen()
    run_all(first)
    assert first.locator(".dt-no-kernel:visible").count() == 0
    save(first)
    lab.close_kernels()  # the server was stopped
    first.context.close()
    for _ in range(2):  # a reopened page saves no state of the widgets that it read from the file
        page = reopen()
        expect_alive(page)
        save(page)
        page.context.close()
        lab.close_kernels()


def test_a_page_left_open_over_a_restart_may_save_again(lab: Lab, reopen: OPEN) -> None:
    first = reopen()
    run_all(first)
    save(first)
    left_open = reopen()
    expect(left_open.locator(".dpo-teach").first).to_be_visible(timeout=20_000)
    restart_kernel(first)
    save(first)
    first.context.close()
    save(left_open)
    left_open.context.close()
    expect_alive(reopen())

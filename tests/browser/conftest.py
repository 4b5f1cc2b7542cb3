"""Fixtures for tests in a real browser; errors in the browser or the server fail the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, running_lab
from pages import CHROMIUM_FLAGS, find_chromium
from playwright.sync_api import Browser, Page, sync_playwright
from sites import build_site, need_tools, serve

from tools.playground import write_playground


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page 1040 pixels wide; an error in its console or an exception in the page fails the test."""
    page, faults = _watched_page(browser)
    yield page
    page.close()
    assert not faults, faults


def _watched_page(browser: Browser) -> tuple[Page, list[str]]:
    """A page, and a list in which its errors are collected."""
    page = browser.new_page(viewport={"width": 1040, "height": 900})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    return page, faults


@pytest.fixture(scope="session")
def playground_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = write_playground(tmp_path_factory.mktemp("playground") / "playground.html")
    return path.as_uri()


@pytest.fixture(scope="session")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
        lab.close_kernels()


@pytest.fixture(scope="session")
def opened(lab: Lab, browser: Browser) -> Iterator[dict[str, tuple[Page, list[str]]]]:
    """The pages with JupyterLab by theme, and their errors: opening JupyterLab takes longer than most tests."""
    pages: dict[str, tuple[Page, list[str]]] = {}
    yield pages
    for page, _ in pages.values():
        page.close()


@pytest.fixture
def learner(
    lab: Lab, browser: Browser, opened: dict[str, tuple[Page, list[str]]], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A page in a theme (dark by default); a traceback in the log of server or kernel fails the test."""
    theme = getattr(request, "param", "dark")
    if theme not in opened:
        lab.set_theme(theme)
        opened[theme] = _watched_page(browser)
    page, faults = opened[theme]
    page.set_viewport_size({"width": 1280, "height": 1000})
    before, known = len(lab.log()), len(faults)
    yield page
    log = lab.log()[before:]
    assert "Traceback" not in log, log
    assert not faults[known:], faults[known:]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a newly built site."""
    need_tools()
    output = tmp_path_factory.mktemp("site") / "pages"
    build_site(output)
    return output


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    with serve(site) as address:
        yield address


@pytest.fixture(params=["disk", "server"])
def base(request: pytest.FixtureRequest, site: Path) -> str:
    """The site's base address: pages opened from disk, and pages from a server."""
    return site.as_uri() if request.param == "disk" else request.getfixturevalue("server")

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
    page = browser.new_page(viewport={"width": 1040, "height": 900})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    page.close()
    assert not faults, faults


@pytest.fixture(scope="session")
def playground_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = write_playground(tmp_path_factory.mktemp("playground") / "playground.html")
    return path.as_uri()


@pytest.fixture(scope="session")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def learner(lab: Lab, page: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in a theme (dark by default); a traceback in the log of server or kernel fails the test.

    The log is read before the kernels are shut down: ipykernel sometimes reports that the socket for
    its last status message has gone.
    """
    lab.set_theme(getattr(request, "param", "dark"))
    page.set_viewport_size({"width": 1280, "height": 1000})
    before = len(lab.log())
    yield page
    page.goto("about:blank")
    log = lab.log()[before:]
    lab.close_kernels()
    assert "Traceback" not in log, log


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

"""The site: every page, from a server and from disk; nothing is fetched from elsewhere, and the explorers move."""

import base64
import doctest
import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from pages import KINDS, check, drag, settings_in
from playwright.sync_api import Browser, Locator, Page

from dpo_teach.widgets.explorer import Explorer

ROOT = Path(__file__).parents[2]
TOOLS = ("mermaidx", "myst_nb", "sphinx_book_theme")  # of the extra `site`
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KIND_NAMES = {kind.__name__: name for name, kind in KINDS.items()}

RAW_MATHS = """() => [...document.querySelectorAll('.math')].filter((e) => !e.querySelector('mjx-container svg') ||
    e.querySelector('[data-mjx-error], [data-mml-node="merror"]')).map((e) => e.textContent)"""
TWICE = """() => { const ids = [...document.querySelectorAll('svg[id], svg [id]')].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i && !id.startsWith('MJX')); }"""
NAMELESS = "() => [...document.images].filter((e) => !e.alt).map((e) => e.src.slice(0, 80))"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built anew; building it changes no notebook."""
    missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("DPO_TEACH_BROWSER") == "required":
        pytest.fail(f"{', '.join(missing)} is not installed: `make test` sees to it")
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: pip install 'dpo_teach[site]', or `make site`")
    before = [notebook.read_bytes() for notebook in NOTEBOOKS]
    output = tmp_path_factory.mktemp("site") / "pages"
    command = [sys.executable, "docs/build.py", str(output)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [notebook.read_bytes() for notebook in NOTEBOOKS] == before
    return output


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


@pytest.fixture(params=["disk", "server"])
def base(request: pytest.FixtureRequest, site: Path) -> str:
    """Where the site begins: pages opened from a folder, and pages sent by a server."""
    return site.as_uri() if request.param == "disk" else request.getfixturevalue("server")


def pages_of(site: Path) -> list[str]:
    """Every page, by its path below the site."""
    paths = [path.relative_to(site) for path in sorted(site.rglob("*.html"))]
    return [path.as_posix() for path in paths if path.parts[0] != "_static"]


def page_of(notebook: Path) -> str:
    return f"notebooks/{notebook.stem}.html"


def words_of(notebook: Path) -> str:
    """The Markdown of a notebook."""
    cells = json.loads(notebook.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def saved_explorers(notebook: Path) -> list[str]:
    """What the explorers of a notebook say in its saved outputs, top to bottom."""
    found = []
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", []):
            reading = "".join(output.get("data", {}).get("text/plain", ""))
            if reading.partition(":")[0] in KIND_NAMES:
                found.append(reading)
    return found


EXPLORERS = [
    pytest.param(page_of(notebook), i, reading, id=f"{notebook.stem[:2]}-{reading.partition(':')[0]}")
    for notebook in NOTEBOOKS
    for i, reading in enumerate(saved_explorers(notebook))
]


def explorer_at(page: Page, i: int) -> tuple[Locator, Callable[[], Explorer]]:
    """The i-th explorer of a page, and a function that gives its Python twin."""
    place = page.locator("[data-explorer]").nth(i)
    kind = KINDS[str(place.get_attribute("data-explorer"))]
    return place, lambda: settings_in(lambda trait: place.evaluate("(e, t) => e.model.get(t)", trait), kind)


def wait_for_maths(page: Page) -> None:
    if page.locator(".math").count():
        page.wait_for_function("() => window.MathJax?.startup?.promise")
        page.evaluate("() => MathJax.startup.promise")


# What every page must be


def test_the_pages_are_there(site: Path) -> None:
    pages = pages_of(site)
    assert len(NOTEBOOKS) == 4
    wanted = {"index.html", "playground.html", "api.html", "search.html", "dpo_teach_playground.html"}
    assert wanted | {page_of(notebook) for notebook in NOTEBOOKS} <= set(pages)


def test_every_page_opens_and_asks_for_nothing_from_elsewhere(page: Page, site: Path, base: str) -> None:
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    for path in pages_of(site):
        page.goto(f"{base}/{path}", wait_until="networkidle")
        wait_for_maths(page)
        assert page.title()
        assert page.evaluate(NAMELESS) == [], path
    assert failed == []
    assert [url for url in asked if not url.startswith((base, "data:"))] == []


def test_no_link_leads_nowhere(page: Page, site: Path) -> None:
    for path in pages_of(site):
        page.goto(f"{site.as_uri()}/{path}")
        links = page.evaluate("() => [...document.links].map((link) => link.href)")
        below = {link.partition("#")[0].partition("?")[0] for link in links if link.startswith("file:")}
        assert [link for link in below if not Path(unquote(urlparse(link).path)).exists()] == [], path


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(page: Page, site: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    for path in pages_of(site):
        page.goto(f"{site.as_uri()}/{path}")
        wait_for_maths(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, path


# The notebooks


def test_maths_and_diagrams_are_drawn(page: Page, base: str) -> None:
    for notebook in NOTEBOOKS:
        page.goto(f"{base}/{page_of(notebook)}")
        wait_for_maths(page)
        text = words_of(notebook)
        assert (page.locator(".math").count() > 0) == ("$" in text)
        assert page.evaluate(RAW_MATHS) == [], notebook.name
        drawings = page.locator("figure.diagram svg")
        fences = re.findall(r"^```mermaid\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert drawings.count() == len(fences)
        for i, fence in enumerate(fences):
            words = re.findall(r'"([\w-]+)', fence)
            assert [word for word in words if word not in drawings.nth(i).text_content()] == []
        assert page.evaluate(TWICE) == []
        assert "flowchart" not in page.locator("article").inner_text()


def test_the_download_is_the_notebook_itself(page: Page, base: str) -> None:
    for notebook in NOTEBOOKS:
        page.goto(f"{base}/{page_of(notebook)}")
        link = page.locator("a.btn-download-source-button")
        address = link.evaluate("e => e.href")
        assert address == f"{base}/_sources/notebooks/{notebook.name}"
        if base.startswith("file:"):
            assert Path(unquote(urlparse(address).path)).read_bytes() == notebook.read_bytes()
            continue
        page.locator(".dropdown-download-buttons > button").click()
        with page.expect_download() as download:
            link.click()
        assert Path(download.value.path()).read_bytes() == notebook.read_bytes()


def test_search_finds_the_margin(page: Page, base: str) -> None:
    page.goto(f"{base}/index.html")
    page.keyboard.press("Control+k")
    page.locator("dialog input[type=search]:visible").fill("margin")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=margin*")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    page.wait_for_timeout(500)  # the results come one by one
    addresses = found.evaluate_all("links => links.map((link) => link.href)")
    wanted = {page_of(notebook) for notebook in NOTEBOOKS if re.search(r"\bmargin\b", words_of(notebook))}
    assert len(wanted) >= 3
    assert wanted <= {address.removeprefix(f"{base}/").partition("?")[0].partition("#")[0] for address in addresses}
    found.first.click()
    page.wait_for_load_state()
    assert "margin" in page.locator("article").inner_text()


# The explorers


def test_each_of_the_four_is_in_a_notebook() -> None:
    told = {reading.partition(":")[0] for notebook in NOTEBOOKS for reading in saved_explorers(notebook)}
    assert told == set(KIND_NAMES)


@pytest.mark.parametrize(("path", "i", "reading"), EXPLORERS)
def test_an_explorer_begins_as_saved_and_moves(page: Page, base: str, path: str, i: int, reading: str) -> None:
    page.goto(f"{base}/{path}")
    place, twin = explorer_at(page, i)
    assert repr(twin()) == reading
    check(place, twin())
    slider = place.locator("input[type=range]").first
    slider.focus()
    page.keyboard.press("PageUp")
    by_key = repr(twin())
    assert by_key != reading
    check(place, twin())
    drag(page, slider, 0.2)
    assert repr(twin()) not in (by_key, reading)
    check(place, twin())


@pytest.mark.parametrize("path", ["index.html", "playground.html"])
def test_the_pages_of_our_own_have_explorers_that_move(page: Page, base: str, path: str) -> None:
    page.goto(f"{base}/{path}")
    count = page.locator("[data-explorer]").count()
    assert count == (1 if path == "index.html" else 4)
    for i in range(count):
        place, twin = explorer_at(page, i)
        check(place, twin())
        before = repr(twin())
        drag(page, place.locator("input[type=range]").first, 0.8)
        assert repr(twin()) != before
        check(place, twin())


def test_the_explorers_follow_the_theme(page: Page, base: str) -> None:
    page.goto(f"{base}/{page_of(NOTEBOOKS[0])}")
    cards: dict[str, tuple[int, int]] = {}
    for theme in ("dark", "light", "dark"):
        page.locator(".theme-switch-button:visible").click()
        page.locator(f".theme-change-button[data-mode={theme}]:visible").click()
        cards[theme] = (brightness(page.locator(".dpo-teach").first), brightness(page.locator("body")))
    assert all(shade > 200 for shade in cards["light"])
    assert all(shade < 60 for shade in cards["dark"])
    place, twin = explorer_at(page, 0)
    check(place, twin())


def brightness(element: Locator) -> int:
    """Of the background, 0 to 255."""
    colour = element.evaluate("e => getComputedStyle(e).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) // 3


def test_paper_and_a_page_without_script_have_the_picture(browser: Browser, page: Page, site: Path) -> None:
    address = f"{site.as_uri()}/{page_of(NOTEBOOKS[0])}"
    quiet = browser.new_page(java_script_enabled=False)
    quiet.goto(address)
    page.goto(address)
    readings = saved_explorers(NOTEBOOKS[0])
    assert readings
    for reading in readings:
        picture = f".cell_output > img[alt={json.dumps(reading)}]"
        assert quiet.locator(picture).is_visible()
        assert not page.locator(picture).is_visible()
    page.emulate_media(media="print")
    assert all(page.locator(f".cell_output > img[alt={json.dumps(reading)}]").is_visible() for reading in readings)
    assert not page.locator("[data-explorer]").first.is_visible()
    quiet.close()


# Reading cells and docstrings


def load_extension(name: str) -> ModuleType:
    """One of the modules that Sphinx loads for the site."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "extensions" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def extension(site: Path) -> ModuleType:
    return load_extension("explorers")


def cell_of(source: str, reading: str) -> dict[str, Any]:
    data = {"image/png": base64.b64encode(b"png").decode(), "text/plain": reading}
    return {"source": source, "metadata": {}, "outputs": [{"output_type": "execute_result", "data": data}]}


def test_a_picture_of_other_settings_is_refused(extension: ModuleType) -> None:
    cell = cell_of("MemoryCalculator(billions=8.0)", repr(KINDS["memoryCalculator"]()))
    with pytest.raises(ValueError, match=r"8 billion parameters.*`make notebooks`"):
        extension.enliven(cell)


@pytest.mark.parametrize("source", ["calculator", "MemoryCalculator(billions=size)", "MemoryCalculator(7)", "f()"])
def test_a_cell_that_cannot_be_read_is_refused(extension: ModuleType, source: str) -> None:
    with pytest.raises(ValueError, match=r"plain values|malformed"):
        extension.enliven(cell_of(source, repr(KINDS["memoryCalculator"]())))


def test_a_panel_that_needs_a_kernel_says_so(extension: ModuleType) -> None:
    cell = cell_of("BetaRoles()", "BetaRoles: beta 1")
    extension.enliven(cell)
    assert "JupyterLab" in cell["outputs"][1]["data"]["text/html"]


def test_the_examples_of_the_docstring_reader(site: Path) -> None:
    result = doctest.testmod(load_extension("docstrings"))
    assert result.attempted > 0
    assert result.failed == 0

"""The site: every page, from a server and from disk; nothing is fetched from elsewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from playwright.sync_api import Page
from sites import NOTEBOOKS, page_of, pages_of, wait_for_maths, words_of

RAW_MATHS = """() => [...document.querySelectorAll('.math')].filter((e) => !e.querySelector('mjx-container svg') ||
    e.querySelector('[data-mjx-error], [data-mml-node="merror"]')).map((e) => e.textContent)"""
TWICE = """() => { const ids = [...document.querySelectorAll('svg[id], svg [id]')].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i && !id.startsWith('MJX')); }"""
NAMELESS = "() => [...document.images].filter((e) => !e.alt).map((e) => e.src.slice(0, 80))"


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

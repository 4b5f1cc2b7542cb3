"""The site works from a server and from disk, and loads nothing from other sites."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from playwright.sync_api import Page, expect
from sites import NOTEBOOKS, ROOT, page_of, pages_of, wait_for_maths, words_of

RAW_MATHS = """() => [...document.querySelectorAll('.math')].filter((e) => !e.querySelector('mjx-container svg') ||
    e.querySelector('[data-mjx-error], [data-mml-node="merror"]')).map((e) => e.textContent)"""
TWICE = """() => { const ids = [...document.querySelectorAll('svg[id], svg [id]')].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i && !id.startsWith('MJX')); }"""
# Headings more than one level below the heading before them.
SKIPPED = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter((e) => e.checkVisibility()).filter(
    (e, i, all) => i > 0 && Number(e.tagName[1]) > Number(all[i - 1].tagName[1]) + 1).map((e) => e.textContent)"""
# Elements whose content is cut off and cannot be scrolled; text for screen readers is one pixel wide.
CUT = """() => [...document.querySelectorAll('.bd-article *')].filter((e) =>
    e.clientWidth > 1 && e.scrollWidth > e.clientWidth + 2 && !e.matches('mjx-assistive-mml') &&
    ['hidden', 'clip'].includes(getComputedStyle(e).overflowX)).map((e) => `${e.tagName} ${e.textContent}`)"""
# The text height in diagrams, which is 16 in the drawing's own unit.
TEXT_HEIGHTS = """() => [...document.querySelectorAll('figure.diagram svg')].map((e) =>
    16 * e.getBoundingClientRect().width / e.viewBox.baseVal.width)"""
FIGURES = """() => [...document.querySelectorAll('.cell_output:not(.explorer-alive) img')].map((e) =>
    e.getBoundingClientRect().width)"""
NAMELESS = "() => [...document.images].filter((e) => !e.alt).map((e) => e.src.slice(0, 80))"


def test_all_pages_exist(site: Path) -> None:
    pages = pages_of(site)
    assert len(NOTEBOOKS) >= 4
    expected = {"index.html", "playground.html", "api.html", "search.html", "dpo_teach_playground.html"}
    assert expected | {page_of(notebook) for notebook in NOTEBOOKS} <= set(pages)


def test_every_page_opens_and_loads_nothing_from_other_sites(page: Page, site: Path, base: str) -> None:
    requested: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    for path in pages_of(site):
        page.goto(f"{base}/{path}", wait_until="networkidle")
        wait_for_maths(page)
        assert page.title()
        assert page.evaluate(NAMELESS) == [], path
        assert page.evaluate(SKIPPED) == [], path
        if path != "search.html":
            assert page.locator("meta[name=description]").get_attribute("content"), path
    assert failed == []
    assert [url for url in requested if not url.startswith((base, "data:"))] == []


def test_every_link_to_a_file_resolves(page: Page, site: Path) -> None:
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
        assert page.evaluate(CUT) == [], path
        assert all(height > 11 for height in page.evaluate(TEXT_HEIGHTS)), path
        assert all(shown > 500 for shown in page.evaluate(FIGURES)), path


def test_a_page_in_the_dark_theme_prints_in_the_light_one(page: Page, site: Path) -> None:
    page.emulate_media(color_scheme="dark")
    for path in ("index.html", "dpo_teach_playground.html"):
        page.goto(f"{site.as_uri()}/{path}")
        page.evaluate(
            "() => addEventListener('beforeprint', () => { window.printed = document.documentElement.dataset.theme; })"
        )
        page.pdf()
        assert page.evaluate("() => [window.printed, document.documentElement.dataset.theme]") == ["light", "dark"]


def test_arxiv_numbers_are_links(page: Page, site: Path) -> None:
    papers = "() => [...document.querySelectorAll('a[href*=\"arxiv.org\"]')].map((e) => `${e.textContent} ${e.href}`)"
    for path, number in (("api.html", "2305.18290"), (page_of(NOTEBOOKS[2]), "2410.08847")):
        page.goto(f"{site.as_uri()}/{path}")
        assert f"arXiv:{number} https://arxiv.org/abs/{number}" in page.evaluate(papers)


def test_the_api_page_has_whole_sentences_and_import_paths(page: Page, site: Path) -> None:
    page.goto(f"{site.as_uri()}/api.html")
    text = page.locator("article").inner_text()
    fields = {field.rstrip(":\n ") for field in page.locator("dl.field-list > dt").all_text_contents()}
    assert fields == {"Parameters", "Returns", "Raises"}  # no Type, which would be half a sentence before a colon
    config = (ROOT / "dpo_teach" / "training" / "config.py").read_text(encoding="utf-8")
    (docstring,) = re.findall(r'^    beta: float = .*\n    """(.*)"""$', config, re.MULTILINE)
    assert docstring in text
    assert "Args" not in text
    assert page.locator("dt.sig", has_text="dpo_teach.losses.compute_dpo_loss").count() == 1
    assert page.locator("p", has_text="Arguments are those of load_pairs").get_by_role("link").count() == 1


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
            boxes = re.findall(r'[\[(]"([\w-]+)', fence)
            assert [word for word in boxes if word not in drawings.nth(i).get_attribute("aria-label")] == []
        assert page.evaluate(TWICE) == []
        assert "flowchart" not in page.locator("article").inner_text()


def test_the_download_is_the_notebook_itself(page: Page, base: str) -> None:
    for notebook in NOTEBOOKS:
        page.goto(f"{base}/{page_of(notebook)}")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the notebook").click()
        assert download.value.suggested_filename == notebook.name
        assert Path(download.value.path()).read_bytes() == notebook.read_bytes()


def test_the_first_link_of_the_site_opens_notebook_01(page: Page, site: Path) -> None:
    page.goto(f"{site.as_uri()}/index.html")
    page.locator("article p a").first.click()
    page.wait_for_url(f"{site.as_uri()}/{page_of(NOTEBOOKS[0])}")


def test_other_pages_offer_no_download(page: Page, site: Path) -> None:
    for path in ("index.html", "playground.html", "api.html"):
        page.goto(f"{site.as_uri()}/{path}")
        assert page.locator("a[download], a[href*=_sources], .dropdown-download-buttons").count() == 0, path


def test_search_finds_the_margin(page: Page, base: str) -> None:
    page.goto(f"{base}/index.html")
    page.keyboard.press("Control+k")
    page.locator("dialog input[type=search]:visible").fill("margin")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=margin*")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    page.wait_for_timeout(500)  # results appear one by one
    addresses = found.evaluate_all("links => links.map((link) => link.href)")
    expected = {page_of(notebook) for notebook in NOTEBOOKS if re.search(r"\bmargin\b", words_of(notebook))}
    assert len(expected) >= 3
    assert expected <= {address.removeprefix(f"{base}/").partition("?")[0].partition("#")[0] for address in addresses}
    found.filter(has_text="Introduction").click()
    page.locator("article .highlighted").first.wait_for()
    assert {word.lower() for word in page.locator(".highlighted").all_text_contents()} == {"margin"}
    page.evaluate("() => localStorage.setItem('sphinx_highlight_terms', 'policy')")  # a word that explorers contain too
    page.reload()
    page.locator("article .highlighted").first.wait_for()
    assert page.locator("[data-explorer] .highlighted").count() == 0


FOLDED = ".output, .cell_output, .cell_input"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_outputs_that_the_notebook_folds_are_folded(page: Page, site: Path, notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    folded = [cell for cell in cells if cell["metadata"].get("jupyter")]
    page.goto(f"{site.as_uri()}/{page_of(notebook)}")
    details = page.locator("details.hide")
    assert details.count() == len(folded)
    for one in details.all():
        expect(one.locator(FOLDED).first).not_to_be_visible()
        one.locator("summary").click()
        expect(one.locator(FOLDED).first).to_be_visible()
    page.emulate_media(media="print")
    page.reload()
    for one in details.all():
        expect(one.locator(FOLDED).first).to_be_visible()

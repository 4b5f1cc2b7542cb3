"""The slides open from disk, load nothing else, fit the screen, and have explorers that move."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import KINDS, check, drag, settings_in
from playwright.sync_api import Page, Request, expect

ROOT = Path(__file__).parents[2]
TOOLS = ("mermaidx", "sphinx", "sphinx_revealjs")  # from the extra `site`
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("name", NAMES)

TOO_LARGE = """() => {
    const frame = document.querySelector('.reveal .slides').getBoundingClientRect();
    return [...Reveal.getCurrentSlide().querySelectorAll(
        'h1, h2, h3, p, li, pre, img, table, .diagram svg, mjx-container > svg, .dpo-teach')].filter((e) => {
        const box = e.getBoundingClientRect();
        return !e.closest('.notes') && box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1 ||
            box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    }).map((e) => `${e.tagName} ${e.textContent.slice(0, 60)}`); }"""
LOADED = re.compile(
    r"""<(?:script|img|iframe|link|source|video)\b[^>]*\b(?:src|href)\s*=\s*["'](?!data:|#)([^"']*)""", re.IGNORECASE
)


@pytest.fixture(scope="module")
def decks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newly built slides of all notebooks."""
    missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("DPO_TEACH_BROWSER") == "required":
        pytest.fail(f"{', '.join(missing)} is not installed: `make test` installs it")
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: run `make slides`, which installs it")
    output = tmp_path_factory.mktemp("slides")
    command = [sys.executable, "docs/slides/build.py", str(output)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return output


def open_deck(page: Page, path: Path) -> None:
    """Open the slides of one notebook from disk on a 16:9 screen, and wait until formulas are typeset."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(path.as_uri())
    page.wait_for_function("() => window.Reveal?.isReady()")
    page.evaluate("() => MathJax.startup.promise")


def test_every_notebook_has_a_deck(decks: Path) -> None:
    assert sorted(path.stem for path in decks.iterdir()) == NAMES


@EACH
def test_a_deck_contains_everything_that_it_loads(name: str, decks: Path) -> None:
    text = re.sub(r"<script>.*?</script>", "", (decks / f"{name}.html").read_text(), flags=re.DOTALL)
    assert LOADED.findall(text) == []
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert re.findall(r"@import|url\(\s*[\"']?(?!data:|#)[^)]{0,60}", styles) == []


@EACH
def test_every_slide_fits_and_loads_nothing(page: Page, name: str, decks: Path) -> None:
    """Checks each slide with all its fragments; an error in the console also fails the test."""
    requested: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            requested.append(request.url)

    page.on("request", note)
    path = decks / f"{name}.html"
    open_deck(page, path)
    shown = 0
    while True:
        while page.evaluate("() => Reveal.nextFragment()"):
            pass
        page.wait_for_timeout(100)
        where = page.evaluate("() => Reveal.getIndices()")
        assert page.evaluate(TOO_LARGE) == [], where
        assert page.evaluate("() => Boolean(Reveal.getCurrentSlide().querySelector('h1, h2, h3, .section'))"), where
        shown += 1
        assert page.locator(".slide-number").inner_text().split(" / ")[0] == str(shown)
        if page.evaluate("() => Reveal.isLastSlide()"):
            break
        page.evaluate("() => Reveal.next()")
    assert 12 <= shown <= 35
    assert page.locator(".slide-number").inner_text() == f"{shown} / {shown}"
    assert {url.partition("#")[0] for url in requested} == {path.as_uri()}


@EACH
def test_formulas_and_diagrams_are_drawn(page: Page, name: str, decks: Path) -> None:
    open_deck(page, decks / f"{name}.html")
    assert page.locator("[data-mjx-error], [data-mml-node='merror']").count() == 0
    left = page.evaluate("""() => [...document.querySelectorAll('.slides p')].map((e) => e.textContent).filter(
        (text) => text.includes('$$') || text.includes('flowchart'))""")
    assert left == []
    assert page.locator("aside.notes").count() >= 5
    assert page.evaluate("() => [...document.images].filter((e) => !e.alt).length") == 0


def test_diagram_labels_are_centred_in_their_boxes(page: Page, decks: Path) -> None:
    """Mermaid measured the labels in a different font."""
    open_deck(page, decks / "01_introduction.html")
    slides = page.locator("section:not(.stack):has(.diagram)")
    assert slides.count() == 3
    for slide in slides.all():
        page.evaluate("({ h, v }) => Reveal.slide(h, v)", slide.evaluate("e => Reveal.getIndices(e)"))
        aside = slide.locator("foreignObject:has(p)").evaluate_all("""all => all.map((e) => {
            const [room, text] = [e, e.querySelector('p')].map((one) => one.getBoundingClientRect());
            return Math.hypot(room.x - text.x + (room.width - text.width) / 2,
                              room.y - text.y + (room.height - text.height) / 2); })""")
        assert len(aside) >= 5
        assert max(aside) < 3


def test_a_question_comes_before_its_answer(page: Page, decks: Path) -> None:
    open_deck(page, decks / "01_introduction.html")
    slide = page.locator("section:not(.stack):has(.question):has(.fragment)").first
    place = slide.evaluate("e => Reveal.getIndices(e)")
    page.evaluate("({ h, v }) => Reveal.slide(h, v, -1)", place)
    answer = slide.locator(".fragment").first
    assert answer.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    assert answer.evaluate("e => getComputedStyle(e).visibility") == "visible"


def test_an_explorer_moves_on_its_slide(page: Page, decks: Path) -> None:
    open_deck(page, decks / "01_introduction.html")
    place = page.locator('[data-explorer="lossExplorer"]')
    page.evaluate("({ h, v }) => Reveal.slide(h, v)", place.evaluate("e => Reveal.getIndices(e.closest('section'))"))
    kind = KINDS["lossExplorer"]
    explorer = settings_in(lambda name: place.evaluate("(e, name) => e.model.get(name)", name), kind)
    check(place, explorer)
    drag(page, place.get_by_role("slider").first, 0.8)
    moved = settings_in(lambda name: place.evaluate("(e, name) => e.model.get(name)", name), kind)
    assert repr(moved) != repr(explorer)
    check(place, moved)


def test_releasing_a_slider_gives_the_arrow_keys_back_to_the_slides(page: Page, decks: Path) -> None:
    open_deck(page, decks / "01_introduction.html")
    place = page.locator('[data-explorer="lossExplorer"]')
    page.evaluate("({ h, v }) => Reveal.slide(h, v)", place.evaluate("e => Reveal.getIndices(e.closest('section'))"))
    number = page.locator(".slide-number")
    here = number.inner_text()
    slider, box = place.get_by_role("slider").first, place.locator(".dt-box").first
    drag(page, slider, 0.8)
    page.keyboard.press("ArrowRight")
    expect(number).not_to_have_text(here)
    page.keyboard.press("ArrowLeft")
    expect(number).to_have_text(here)
    box.click()
    page.keyboard.type("1")
    page.keyboard.press("ArrowLeft")
    expect(number).to_have_text(here)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    expect(number).not_to_have_text(here)
    page.keyboard.press("ArrowRight")
    box.focus()
    page.keyboard.press("Shift+Tab")
    expect(slider).to_be_focused()
    before = slider.input_value()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() != before
    expect(number).to_have_text(here)


def test_in_print_an_explorer_is_a_picture_on_one_page(page: Page, decks: Path) -> None:
    page.goto((decks / "01_introduction.html").as_uri() + "?print-pdf")
    page.wait_for_selector(".pdf-page .explorer img", state="visible")
    assert page.locator(".explorer").count() == page.locator(".pdf-page:has(.explorer)").count() >= 3
    assert page.locator(".explorer [data-explorer]:visible").count() == 0
    heights = page.evaluate("() => [...document.querySelectorAll('.pdf-page')].map((e) => e.offsetHeight)")
    assert len(set(heights)) == 1, "expected every slide to fit on one page"

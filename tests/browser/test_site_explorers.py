"""The explorers on the site start in their saved state, respond to controls, and are pictures in print."""

import json
import re
from pathlib import Path

import pytest
from pages import check, drag
from playwright.sync_api import Browser, Locator, Page
from sites import KIND_NAMES, NOTEBOOKS, explorer_at, page_of, saved_explorers

EXPLORERS = [
    pytest.param(page_of(notebook), i, reading, id=f"{notebook.stem[:2]}-{reading.partition(':')[0]}")
    for notebook in NOTEBOOKS
    for i, reading in enumerate(saved_explorers(notebook))
]


def test_each_of_the_explorers_is_in_a_notebook() -> None:
    names = {reading.partition(":")[0] for notebook in NOTEBOOKS for reading in saved_explorers(notebook)}
    assert names == set(KIND_NAMES)


@pytest.mark.parametrize(("path", "i", "reading"), EXPLORERS)
def test_an_explorer_starts_as_saved_and_moves(page: Page, base: str, path: str, i: int, reading: str) -> None:
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
def test_explorers_on_other_pages_move(page: Page, base: str, path: str) -> None:
    page.goto(f"{base}/{path}")
    count = page.locator("[data-explorer]").count()
    assert count == (1 if path == "index.html" else len(KIND_NAMES))
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
    """The brightness of an element's background, from 0 to 255."""
    colour = element.evaluate("e => getComputedStyle(e).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) // 3


def test_print_and_pages_without_javascript_show_the_picture(browser: Browser, page: Page, site: Path) -> None:
    address = f"{site.as_uri()}/{page_of(NOTEBOOKS[0])}"
    scriptless = browser.new_page(java_script_enabled=False)
    scriptless.goto(address)
    page.goto(address)
    readings = saved_explorers(NOTEBOOKS[0])
    assert readings
    for reading in readings:
        picture = f".cell_output > img[alt={json.dumps(reading)}]"
        assert scriptless.locator(picture).is_visible()
        assert not page.locator(picture).is_visible()
    page.emulate_media(media="print")
    assert all(page.locator(f".cell_output > img[alt={json.dumps(reading)}]").is_visible() for reading in readings)
    assert not page.locator("[data-explorer]").first.is_visible()
    scriptless.goto(f"{site.as_uri()}/dpo_teach_playground.html")
    assert scriptless.locator("noscript p").is_visible()
    scriptless.close()

"""Swiping along a slider changes its value; swiping across it only scrolls the page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, CDPSession, Locator, Page

PAUSE = 16  # milliseconds, one frame


@pytest.fixture
def phone(browser: Browser, playground_url: str) -> Iterator[Page]:
    """A page with the size and touch input of a phone, which shows the playground."""
    page = browser.new_page(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
    page.goto(playground_url)
    yield page
    page.close()


def swipe(page: Page, slider: Locator, right: int, down: int) -> None:
    """Touch a slider away from its thumb, and move the finger by a number of pixels."""
    finger: CDPSession = page.context.new_cdp_session(page)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for i in range(1, 13):
        page.wait_for_timeout(PAUSE)
        points = [{"x": x + right * i / 12, "y": y + down * i / 12}]
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(10 * PAUSE)


def beta_on(page: Page) -> tuple[float, str, str]:
    """β in the explorer's model, in its slider and in its number box."""
    place = page.locator('[data-explorer="lossExplorer"]')
    row = place.locator('[data-name="beta"]')
    value = place.evaluate("e => e.model.get('beta')")
    return value, row.locator("input[type=range]").input_value(), row.locator("input.dt-box").input_value()


def test_a_swipe_down_scrolls_and_changes_nothing(phone: Page) -> None:
    slider = phone.locator('[data-name="beta"] input[type=range]').first
    before = beta_on(phone)
    swipe(phone, slider, 0, -150)
    assert phone.evaluate("() => scrollY") > 50
    assert beta_on(phone) == before


def test_a_swipe_along_the_slider_changes_its_value(phone: Page) -> None:
    slider = phone.locator('[data-name="beta"] input[type=range]').first
    before = beta_on(phone)
    swipe(phone, slider, -60, 0)
    assert phone.evaluate("() => scrollY") == 0
    assert all(now != then for now, then in zip(beta_on(phone), before, strict=True))

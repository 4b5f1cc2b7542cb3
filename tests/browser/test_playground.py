"""The playground, opened from disk: every control works, and every number matches Python."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pages import KINDS, check, drag, settings_in
from playwright.sync_api import Locator, Page

from dpo_teach.widgets.explorer import Explorer

EXTREMES = {
    "lossExplorer": [("beta", (0.001, 10)), ("agreement", (0.5, 0.99)),
                     ("policy_chosen", (-2000, 0)), ("policy_rejected", (0, -2000)),
                     ("reference_chosen", (0, -2000)), ("reference_rejected", (-2000, 0))],
    "betaTilt": [("reward-0", (-50, 50)), ("reward-5", (50, -50)), ("shift", (-50, 50)), ("beta", (0.001, 100))],
    "gradientWeights": [("difference-0", (-2000, 2000)), ("moved", (-2000, 2000)), ("beta", (0.001, 10))],
    "memoryCalculator": [("billions", (0.001, 1000))],
}  # fmt: skip


CUT = """e => [...e.querySelectorAll('svg text')].filter((text) => {
    const [a, b] = [text.getBoundingClientRect(), e.getBoundingClientRect()];
    return text.textContent && (a.left < b.left - 1 || a.right > b.right + 1);
}).map((text) => text.textContent)"""
# Texts of the flow that overlap another text, a box or an arrow; a text's rectangle is taller than its glyphs.
COVERED = """e => {
    const inner = (r, x, y) => ({ left: r.left + x, right: r.right - x, top: r.top + y, bottom: r.bottom - y });
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const texts = [...e.querySelectorAll('.dt-graph text')].filter((text) => text.textContent);
    const areas = new Map(texts.map((text) => [text, inner(text.getBoundingClientRect(), 1, 3)]));
    const boxes = [...e.querySelectorAll('.dt-graph rect')].map((box) => inner(box.getBoundingClientRect(), 1, 1));
    const points = [...e.querySelectorAll('.dt-graph .dt-arrow')].flatMap((path) => {
        const [frame, count] = [path.getScreenCTM(), Math.floor(path.getTotalLength())];
        return Array.from({ length: count }, (_, i) => path.getPointAtLength(i).matrixTransform(frame));
    }).map(({ x, y }) => ({ left: x, right: x, top: y, bottom: y }));
    return texts.flatMap((text) => [
        ...texts.filter((one) => one !== text && meet(areas.get(text), areas.get(one))).map((one) => one.textContent),
        ...boxes.filter((one) => !text.matches('.dt-value') && meet(areas.get(text), one)).map(() => 'a box'),
        ...points.filter((one) => meet(areas.get(text), one)).slice(0, 1).map(() => 'an arrow'),
    ].map((what) => `${text.textContent} on ${what}`));
}"""
WATCH = """e => { window.changes = []; new MutationObserver((records) => {
    for (const r of records) changes.push(`${r.target.nodeName} +${r.addedNodes.length} -${r.removedNodes.length}`);
}).observe(e, { childList: true, subtree: true }); }"""
RAISE_BOTH = """(e, raised) => {
    for (const [name, value] of Object.entries(e.model.get('presets')['policy = reference'])) e.model.set(name, value);
    for (const name of ['policy_chosen', 'policy_rejected']) e.model.set(name, e.model.get(name) + raised);
}"""
TICKS = """e => [...e.querySelectorAll('.dt-axes text')].filter((text) =>
    text.getAttribute('visibility') === 'visible').map((text) => text.textContent)"""
NAMELESS = """() => [...document.querySelectorAll('.dpo-teach :is(input, select, button)')].filter((e) =>
    !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map((e) => e.outerHTML)"""


@pytest.fixture
def light(page: Page, playground_url: str) -> Page:
    page.emulate_media(color_scheme="light")
    page.goto(playground_url)
    return page


@pytest.fixture
def dark(page: Page, playground_url: str) -> Page:
    page.emulate_media(color_scheme="dark")
    page.goto(playground_url)
    return page


def explorer_on(page: Page, name: str) -> tuple[Locator, Any]:
    """The element of an explorer on the page, and a function that returns its model's traits."""
    place = page.locator(f'[data-explorer="{name}"]')
    return place, lambda trait: place.evaluate("(e, trait) => e.model.get(trait)", trait)


def python_twin(page: Page, name: str) -> tuple[Locator, Explorer]:
    place, model = explorer_on(page, name)
    return place, settings_in(model, KINDS[name])


def check_moved(page: Page, name: str, before: str) -> str:
    """Check that the repr has changed and that the page matches Python; return the new repr."""
    place, twin = python_twin(page, name)
    assert repr(twin) != before, f"{name}: the control changed nothing"
    check(place, twin)
    return repr(twin)


def controls(place: Locator, kind: str) -> Iterator[Locator]:
    for control in place.locator(kind).all():
        if control.is_visible():
            yield control


@pytest.mark.parametrize("name", KINDS)
def test_every_control_works_by_keyboard(light: Page, name: str) -> None:
    place, twin = python_twin(light, name)
    check(place, twin)
    seen = repr(twin)
    for slider in controls(place, "input[type=range]"):
        slider.focus()
        for key in ("ArrowRight", "PageUp", "Home", "End"):
            old = slider.input_value()
            light.keyboard.press(key)
            if slider.input_value() != old:
                seen = check_moved(light, name, seen)
    for box in controls(place, "input.dt-box"):
        before, step = box.input_value(), -0.5 if "−" in box.input_value() else 0.5
        box.fill(str(round(float(before.replace("−", "-")) + step, 3)))
        box.press("Enter")
        if box.get_attribute("aria-invalid") is None:
            seen = check_moved(light, name, seen)
    for menu in controls(place, "select"):
        menu.focus()
        light.keyboard.press("End" if menu.evaluate("e => e.selectedIndex === 0") else "Home")
        seen = repr(python_twin(light, name)[1])
        check(*python_twin(light, name))
    for tick in controls(place, "input[type=checkbox]"):
        tick.focus()
        light.keyboard.press("Space")
        seen = check_moved(light, name, seen)
    for button in controls(place, "button"):
        button.focus()
        light.keyboard.press("Enter")
        seen = check_moved(light, name, seen)


@pytest.mark.parametrize("name", KINDS)
def test_every_control_works_by_pointer(dark: Page, name: str) -> None:
    place, twin = python_twin(dark, name)
    seen = repr(twin)
    for slider in controls(place, "input[type=range]"):
        for share in (0.9, 0.2):
            drag(dark, slider, share)
            at = slider.evaluate("e => (e.value - e.min) / (e.max - e.min)")
            if not slider.evaluate("e => e.closest('.dt-sources') !== null"):  # their scale changes on release
                assert at == pytest.approx(share, abs=0.06)
            seen = check_moved(dark, name, seen)
    for menu in controls(place, "select"):
        for value in menu.evaluate("e => [...e.options].map((option) => option.value)"):
            menu.select_option(value)
            check(*python_twin(dark, name))
    for tick in controls(place, "input[type=checkbox]"):
        seen = repr(python_twin(dark, name)[1])
        tick.click()
        check_moved(dark, name, seen)
    for button in controls(place, "button"):
        drag(dark, next(controls(place, "input[type=range]")), 0.5)
        button.click()
        check(*python_twin(dark, name))


@pytest.mark.parametrize("width", [360, 1040, 3840])
@pytest.mark.parametrize("name", KINDS)
def test_extreme_values_keep_layout_and_numbers_intact(page: Page, playground_url: str, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(playground_url)
    place, _ = explorer_on(page, name)
    for i in range(2):
        for control, ends in EXTREMES[name]:
            box = place.locator(f'[data-name="{control}"] input.dt-box')
            box.fill(str(ends[i]))
            box.press("Enter")
            assert box.get_attribute("aria-invalid") is None
            check(*python_twin(page, name))
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), (
                "expected no horizontal scrolling"
            )
            cut = place.evaluate(CUT)
            assert not cut, f"text outside the card: {cut}"


@pytest.mark.parametrize("width", [360, 640, 900, 945, 1280])
def test_no_text_of_the_flow_overlaps(page: Page, playground_url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(playground_url)
    place, model = explorer_on(page, "lossExplorer")
    for preset in model("presets"):
        place.locator('[data-name="preset"] select').select_option(preset)
        assert python_twin(page, "lossExplorer")[1].preset == preset
        assert place.evaluate(COVERED) == []


@pytest.mark.parametrize("name", KINDS)
def test_an_invalid_number_shows_an_error_and_changes_nothing(page: Page, playground_url: str, name: str) -> None:
    page.goto(playground_url)
    place, twin = python_twin(page, name)
    for control, _ in EXTREMES[name]:
        row = place.locator(f'[data-name="{control}"]')
        box = row.locator("input.dt-box")
        good = box.input_value()
        for typed in ("1e9", "-1e9", "ten", ""):
            box.fill(typed)
            box.press("Enter")
            assert box.get_attribute("aria-invalid") == "true"
            assert re.search(r"enter a number from \S+ to \S+", row.inner_text())
            assert repr(python_twin(page, name)[1]) == repr(twin)
        box.fill(good.replace("−", "-"))
        box.press("Enter")
        assert box.get_attribute("aria-invalid") is None
        assert "enter a number" not in row.inner_text()


@pytest.mark.parametrize("name", KINDS)
def test_a_move_adds_and_removes_no_nodes(page: Page, playground_url: str, name: str) -> None:
    page.goto(playground_url)
    place, _ = explorer_on(page, name)
    page.wait_for_timeout(400)  # until the description for screen readers has been updated
    place.evaluate(WATCH)
    for slider in controls(place, "input[type=range]"):
        slider.focus()
        for _ in range(12):
            page.keyboard.press("ArrowRight")
        drag(page, slider, 0.3)
    for menu in controls(place, "select"):
        for value in menu.evaluate("e => [...e.options].map((option) => option.value)"):
            menu.select_option(value)
    page.wait_for_timeout(400)
    assert page.evaluate("() => window.changes") == []


def test_axes_do_not_change_during_a_drag(page: Page, playground_url: str) -> None:
    page.goto(playground_url)
    place, _ = explorer_on(page, "betaTilt")
    slider = place.locator('[data-name="reward-5"] input[type=range]')
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    before = place.evaluate(TICKS)
    page.mouse.move(box["x"] + 10 + 0.7 * (box["width"] - 20), box["y"] + 14)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 14, steps=5)
    assert place.evaluate(TICKS) == before
    page.mouse.up()
    assert place.evaluate(TICKS) != before


def test_adding_a_constant_to_all_rewards_leaves_the_drawing_unchanged(page: Page, playground_url: str) -> None:
    page.goto(playground_url)
    place, model = explorer_on(page, "betaTilt")
    widths = "e => [...e.querySelectorAll('.dt-bar-fill')].map((bar) => bar.style.width)"
    bars, kl = place.evaluate(widths), place.locator('[data-value="kl"]').inner_text()
    log_z = place.locator('[data-value="logZ"]').inner_text()
    box = place.locator('[data-name="shift"] input.dt-box')
    box.fill("3")
    box.press("Enter")
    assert model("shift") == 3
    assert place.evaluate(widths) == bars
    assert place.locator('[data-value="kl"]').inner_text() == kl
    assert place.locator('[data-value="logZ"]').inner_text() != log_z


def test_every_control_has_a_name_and_a_visible_focus(page: Page, playground_url: str) -> None:
    page.goto(playground_url)
    assert page.evaluate(NAMELESS) == []
    for control in page.locator(".dpo-teach :is(input, select, button)").all():
        control.focus()
        page.keyboard.press("Shift")  # with the keyboard in use, the focus must be visible
        assert control.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def test_the_page_loads_nothing_else(page: Page, playground_url: str) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(playground_url)
    page.wait_for_timeout(300)
    assert requested == [playground_url]
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", page.content())


def test_equal_moves_and_no_move_have_different_headlines(light: Page) -> None:
    """Question 1 of notebook 01: the difference is 0 in both cases, but the policy has moved in one of them."""
    place, _ = explorer_on(light, "lossExplorer")
    for raised, headline in ((0, "The policy has not moved"), (3, "Both moved by the same amount")):
        place.evaluate(RAISE_BOTH, raised)
        assert place.get_by_text(headline).is_visible()

"""The plane of the log-ratios in a browser: the point to drag, the lines of equal loss, and a recorded run."""

import re
from pathlib import Path

import pytest
import torch
from pages import check, drag, settings_in
from playwright.sync_api import Locator, Page

from dpo_teach.training import PairHistory
from dpo_teach.widgets import LogRatioPlane
from dpo_teach.widgets.explorer import Explorer
from tools.playground import playground_page

STEPS = (0, 8, 16, 40)
LINES = """e => { const plane = e.querySelector('.dt-plane-frame svg');
    const numbers = plane.querySelectorAll('text.dt-halo:not(.dt-name)');
    return [...plane.querySelectorAll('.dt-contour')].map((line, i) => [line, numbers[i]])
    .filter(([line]) => line.getAttribute('visibility') === 'visible')
    .map(([line, text]) => ({ x: +line.getAttribute('x2'), y: +line.getAttribute('y2'),
        loss: text.getAttribute('visibility') === 'visible' ? +text.textContent : null })); }"""
AXES = """e => { const [left, right] = [...e.querySelectorAll('.dt-zero')].map((line) => line)
    .slice(1).flatMap((line) => [+line.getAttribute('x1'), +line.getAttribute('x2')]);
    const [top, bottom] = ['y1', 'y2'].map((name) => +e.querySelector('.dt-zero').getAttribute(name));
    return { left, right, top, bottom }; }"""
OUTSIDE = """e => { const a = e.getBoundingClientRect(); return [...e.querySelectorAll('svg text')].filter((text) => {
    const box = text.getBoundingClientRect();
    return text.textContent && text.getAttribute('visibility') !== 'hidden' &&
        (box.left < a.left - 1 || box.right > a.right + 1);
}).map((text) => text.textContent); }"""
OVERLAPS = """e => { const texts = [...e.querySelectorAll('.dt-plane-frame text.dt-halo')].filter((text) =>
        text.textContent && text.getAttribute('visibility') !== 'hidden').map((text) => {
        const { left, right, top, bottom } = text.getBoundingClientRect();
        return { text, left: left + 2, right: right - 2, top: top + 3, bottom: bottom - 3 };
    });
    const names = texts.filter(({ text }) => text.matches('.dt-name'));
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const crossing = ({ text }) => /^(margin|x)/.test(text.textContent); // these two lines may run through a name
    return names.flatMap((a) => texts.filter((b) => b !== a && meet(a, b) && !crossing(b))
        .map((b) => `${b.text.textContent} on ${a.text.textContent}`)); }"""
DOTS = "e => [...e.querySelectorAll('.dt-pair-dot')].map((dot) => dot.style.transform)"


def history() -> PairHistory:
    """Twenty pairs that fall, the rejected one further."""
    shares = torch.tensor([0.0, 0.3, 0.6, 1.0])[:, None, None]
    ends = torch.stack([torch.linspace(-20, 6, 20), torch.linspace(-40, 2, 20).roll(7)], dim=1)
    log_ratios = shares * ends
    return PairHistory(STEPS, log_ratios, kl=(-log_ratios.mean(dim=(1, 2))).tolist(), beta=0.1)


@pytest.fixture
def point_page(page: Page) -> Page:
    page.set_content(playground_page({"logRatioPlane": LogRatioPlane(preset="both fell")}))
    return page


@pytest.fixture
def run_page(page: Page) -> Page:
    page.set_content(playground_page({"logRatioPlane": LogRatioPlane(history=history(), step=0)}))
    return page


def plane_on(page: Page) -> tuple[Locator, LogRatioPlane]:
    place = page.locator("[data-explorer]")
    twin: Explorer = settings_in(lambda trait: place.evaluate("(e, t) => e.model.get(t)", trait), LogRatioPlane)
    assert isinstance(twin, LogRatioPlane)
    return place, twin


def centre(element: Locator) -> tuple[float, float]:
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_point_is_dragged_in_both_directions(point_page: Page) -> None:
    place, before = plane_on(point_page)
    handle, dot = place.locator(".dt-handle"), place.locator("circle.dt-dot")
    x, y = centre(dot)
    point_page.mouse.move(x + 6, y + 4)  # the point does not jump to the pointer
    point_page.mouse.down()
    point_page.mouse.move(x + 66, y - 36, steps=6)
    point_page.mouse.up()
    assert centre(dot) == pytest.approx((x + 60, y - 40), abs=2)
    assert centre(handle) == pytest.approx(centre(dot), abs=1)
    _, after = plane_on(point_page)
    axes = place.evaluate(AXES)
    scale = 40 / (axes["right"] - axes["left"])  # nats for a pixel, of both axes
    assert axes["bottom"] - axes["top"] == pytest.approx(axes["right"] - axes["left"])
    assert after.chosen_log_ratio - before.chosen_log_ratio == pytest.approx(60 * scale, abs=0.2)
    assert after.rejected_log_ratio - before.rejected_log_ratio == pytest.approx(40 * scale, abs=0.2)
    check(place, after)
    point_page.mouse.move(x, y)  # the button is up
    assert repr(plane_on(point_page)[1]) == repr(after)
    point_page.mouse.click(x - 100, y - 150)  # elsewhere on the plane
    assert centre(dot) == pytest.approx((x - 100, y - 150), abs=2)


def test_the_point_is_moved_by_keyboard(point_page: Page) -> None:
    place, _ = plane_on(point_page)
    handle = place.locator(".dt-handle")
    handle.focus()
    for key, point in (("ArrowRight", (-3.5, -8)), ("ArrowUp", (-3.5, -7.5)), ("Shift+ArrowLeft", (-8.5, -7.5)),
                       ("ArrowDown", (-8.5, -8)), ("Home", (0, 0)), ("Shift+ArrowDown", (0, -5))):  # fmt: skip
        point_page.keyboard.press(key)
        _, twin = plane_on(point_page)
        assert (twin.chosen_log_ratio, twin.rejected_log_ratio) == point, key
        check(place, twin)
    assert handle.get_attribute("aria-valuetext") == "chosen 0.00, rejected −5.00 nats: chosen up, rejected down"
    assert handle.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    for _ in range(9):
        point_page.keyboard.press("Shift+ArrowRight")  # not beyond the axes
    assert plane_on(point_page)[1].chosen_log_ratio == 20


def test_a_tap_moves_the_point_and_a_finger_elsewhere_scrolls(page: Page) -> None:
    context = page.context.browser.new_context(has_touch=True, viewport={"width": 390, "height": 700})  # type: ignore[union-attr]
    touch = context.new_page()
    touch.set_content(playground_page({"logRatioPlane": LogRatioPlane(preset="both fell")}))
    place, _ = plane_on(touch)
    assert place.locator(".dt-handle").evaluate("e => getComputedStyle(e).touchAction") == "none"
    assert place.locator(".dt-plane-frame svg").evaluate("e => getComputedStyle(e).touchAction") != "none"
    x, y = centre(place.locator("circle.dt-dot"))
    touch.touchscreen.tap(x + 50, y - 50)
    assert centre(place.locator("circle.dt-dot")) == pytest.approx((x + 50, y - 50), abs=2)
    context.close()


@pytest.mark.parametrize(
    ("beta", "smoothing"), [(0.1, 0.0), (0.01, 0.0), (1.0, 0.0), (0.1, 0.25), (0.5, 0.1), (0.003, 0.2)]
)
def test_the_loss_on_a_line_is_the_number_on_it(page: Page, beta: float, smoothing: float) -> None:
    plane = LogRatioPlane(beta=beta, label_smoothing=smoothing)
    page.set_content(playground_page({"logRatioPlane": plane}))
    place, _ = plane_on(page)
    axes, lines = place.evaluate(AXES), place.evaluate(LINES)
    shown = [line for line in lines if line["loss"] is not None]
    assert len(shown) >= 3
    for line in shown:
        x = -20 + 40 * (line["x"] - axes["left"]) / (axes["right"] - axes["left"])
        y = 20 - 40 * (line["y"] - axes["top"]) / (axes["bottom"] - axes["top"])
        plane.set(chosen_log_ratio=round(x, 9), rejected_log_ratio=round(y, 9))
        assert plane.values.loss == pytest.approx(line["loss"], rel=1e-6)


def test_label_smoothing_has_a_line_of_lowest_loss_beyond_which_the_arrow_turns(point_page: Page) -> None:
    place, _ = plane_on(point_page)
    best, legend = place.locator("svg line.dt-dashed"), place.get_by_text("lowest loss", exact=True)
    assert not best.is_visible()
    assert not legend.is_visible()
    for control, value in (("label_smoothing", "0.2"), ("beta", "0.2")):  # lowest at ln 4 / 0.2 = 6.93 nats
        box = place.locator(f'[data-name="{control}"] input.dt-box')
        box.fill(value)
        box.press("Enter")
    assert legend.is_visible()
    axes = place.evaluate(AXES)
    at = float(best.get_attribute("x1") or "nan")  # where the line meets the lower edge: y = -20
    assert -20 + 40 * (at - axes["left"]) / (axes["right"] - axes["left"]) == pytest.approx(-20 + 6.931, abs=0.01)
    arrow = place.locator("line.dt-pull")
    for rejected, sign in ((-6, 1), (-8, -1)):
        for name, value in (("chosen", 0), ("rejected", rejected)):
            box = place.locator(f'[data-name="{name}_log_ratio"] input.dt-box')
            box.fill(str(value))
            box.press("Enter")
        length = arrow.evaluate("e => ['x', 'y'].map((a) => e.getAttribute(a + '2') - e.getAttribute(a + '1'))")
        assert length[0] == pytest.approx(length[1])  # the chosen one up, the rejected one down, by the same amount
        assert length[0] * sign > 0
        check(*plane_on(point_page))
    assert place.get_by_text("past the lowest loss, so the step pulls back").is_visible()


# A recorded run


def test_play_shows_one_recorded_step_after_the_other(run_page: Page) -> None:
    place, _ = plane_on(run_page)
    button = place.locator(".dt-play")
    run_page.wait_for_timeout(700)
    assert plane_on(run_page)[1].step == 0, "nothing moves before the button is pressed"
    button.focus()
    run_page.keyboard.press("Enter")
    assert button.inner_text() == "Pause"
    seen = [0]
    for _ in range(80):
        step = plane_on(run_page)[1].step
        assert step is not None
        seen += [step] if step != seen[-1] else []
        if button.inner_text() == "Play":
            break
        run_page.wait_for_timeout(50)
    assert tuple(seen) == STEPS
    run_page.keyboard.press("Space")  # from the start again
    assert (plane_on(run_page)[1].step, button.inner_text()) == (0, "Pause")
    run_page.wait_for_timeout(400)
    run_page.keyboard.press("Space")
    stopped = plane_on(run_page)[1].step
    run_page.wait_for_timeout(700)
    assert plane_on(run_page)[1].step == stopped != 40


def test_the_step_is_set_by_slider_keyboard_and_typing(run_page: Page) -> None:
    place, _ = plane_on(run_page)
    row = place.locator('.dt-player [data-name="step"]')
    slider, box = row.locator("input[type=range]"), row.locator("input.dt-box")
    slider.focus()
    for key, step in (("ArrowRight", 8), ("ArrowRight", 16), ("End", 40), ("Home", 0)):
        run_page.keyboard.press(key)
        assert (plane_on(run_page)[1].step, box.input_value()) == (step, str(step))
    drag(run_page, slider, 0.7)
    assert plane_on(run_page)[1].step == 16
    box.fill("35")  # the nearest recorded step
    box.press("Enter")
    assert plane_on(run_page)[1].step == 40
    box.fill("41")
    box.press("Enter")
    assert "enter a number from 0 to 40" in row.inner_text()
    assert slider.get_attribute("aria-valuetext") == "40"


def test_the_cloud_its_mean_and_the_line_of_the_kl(run_page: Page) -> None:
    place, twin = plane_on(run_page)
    run_page.locator('[data-name="step"] input[type=range]').focus()
    run_page.keyboard.press("End")
    axes, (low, high) = place.evaluate(AXES), (-50, 20)  # -41.2 and 0.4 times 40, to tens

    def at(text: str) -> tuple[float, float]:
        x, y = (float(part) for part in re.findall(r"-?[\d.]+(?=px)", text))
        unit = (high - low) / (axes["right"] - axes["left"])
        return low + (x - axes["left"]) * unit, high - (y - axes["top"]) * unit

    dots = [at(text) for text in place.evaluate(DOTS)]
    assert [one for dot in dots for one in dot] == pytest.approx(history().log_ratios[-1].flatten().tolist(), abs=0.05)
    mean = at(place.locator(".dt-mean").evaluate("e => e.style.transform"))
    twin.step = 40
    assert mean == pytest.approx(twin.cloud_mean, abs=0.05)
    line = place.locator("line.dt-kl")
    for end in "12":
        x, y = at(f"{line.get_attribute('x' + end)}px {line.get_attribute('y' + end)}px")
        assert x + y == pytest.approx(sum(mean), abs=0.1)  # this history has a KL without sampling noise
    kl = history().kl
    assert kl is not None
    sentence = place.locator(".dt-why-sink").inner_text()
    assert f"x + y = −2 KL = −{2 * kl[-1]:.2f}" in sentence
    run_page.wait_for_timeout(400)
    described = place.locator("[role=status]").inner_text()
    assert "After step 40, the mean of 20 held-out pairs is chosen −7.00, rejected −19.00 nats" in described


def test_nothing_is_animated_for_readers_who_ask_for_less_motion(run_page: Page) -> None:
    dot = run_page.locator(".dt-pair-dot").first
    for wish, seconds in (("reduce", "0s"), ("no-preference", "0.4s")):
        run_page.emulate_media(reduced_motion=wish)
        run_page.locator(".dt-play").click()
        assert dot.evaluate("e => getComputedStyle(e).transitionDuration") == seconds
        run_page.locator(".dt-play").click()


def test_a_run_without_kl_has_no_line_and_no_sentence(page: Page) -> None:
    plane = LogRatioPlane(history=PairHistory((0, 8), history().log_ratios[:2]))
    page.set_content(playground_page({"logRatioPlane": plane}))
    place, twin = plane_on(page)
    assert not place.locator("line.dt-kl").is_visible()
    assert not place.locator(".dt-why-sink").inner_text()
    assert "KL" not in place.inner_text()
    check(place, twin)


# Layout


@pytest.mark.parametrize("width", [360, 768, 1024, 1440, 3840])
@pytest.mark.parametrize("recorded", [False, True], ids=["point", "run"])
def test_no_text_is_cut_or_covers_the_name_of_a_quadrant(page: Page, width: int, recorded: bool) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    plane = LogRatioPlane(history=history()) if recorded else LogRatioPlane(preset="both fell")
    page.set_content(playground_page({"logRatioPlane": plane}))
    place, _ = plane_on(page)
    for beta, smoothing in (("0.1", "0"), ("1", "0"), ("0.01", "0"), ("0.2", "0.1")):
        for control, value in (("beta", beta), ("label_smoothing", smoothing)):
            box = place.locator(f'[data-name="{control}"] input.dt-box')
            box.fill(value)
            box.press("Enter")
        assert place.evaluate(OUTSIDE) == []
        assert place.evaluate(OVERLAPS) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_the_playground_has_the_plane(playground_url: str, page: Page) -> None:
    page.goto(playground_url)
    assert page.locator('[data-explorer="logRatioPlane"] .dt-plane-frame').is_visible()
    assert "Six explorers" in Path(playground_url.removeprefix("file://")).read_text()

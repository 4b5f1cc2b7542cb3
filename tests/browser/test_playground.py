"""The playground, opened from disk: every control works, and every number matches Python."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pages import KINDS, check, drag, settings_in
from playwright.sync_api import Locator, Page

from dpo_teach.widgets import LossExplorer
from dpo_teach.widgets.explorer import Explorer

EXTREMES = {
    "lossExplorer": [("beta", (0.001, 10)), ("agreement", (0.5, 1)),
                     ("policy_chosen", (-2000, 0)), ("policy_rejected", (0, -2000)),
                     ("reference_chosen", (0, -2000)), ("reference_rejected", (-2000, 0)),
                     ("chosen_log_ratio", (-2000, 2000)), ("rejected_log_ratio", (0, 0))],
    "betaTilt": [("reward-0", (-50, 50)), ("reward-5", (50, -50)), ("shift", (-50, 50)), ("beta", (0.001, 100))],
    "gradientWeights": [("difference-0", (-2000, 2000)), ("moved", (-2000, 2000)), ("beta", (0.001, 10))],
    "logRatioPlane": [("beta", (0.001, 10)), ("label_smoothing", (0, 0.4)), ("chosen_log_ratio", (-2000, 2000)),
                      ("rejected_log_ratio", (2000, -2000))],
    "lossFamily": [("beta", (0.001, 10)), ("label_smoothing", (0, 0.4)), ("chosen_log_ratio", (-20, 20)),
                   ("rejected_log_ratio", (20, -20))],
    "memoryCalculator": [("billions", (0.001, 1000))],
}  # fmt: skip


CUT = """e => [...e.querySelectorAll('svg text')].filter((text) => {
    const [a, b] = [text.getBoundingClientRect(), e.getBoundingClientRect()];
    const shown = text.textContent && getComputedStyle(text).visibility === 'visible';
    return shown && (a.left < b.left - 1 || a.right > b.right + 1);
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
        ...boxes.filter((one) => !text.matches('.dt-value, .dt-name') && meet(areas.get(text), one)).map(() => 'a box'),
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
POSITIONS = """e => [...e.querySelectorAll('input, select, h4, svg')].filter((one) => one.checkVisibility())
  .map((one) => {
    const [{ x, y, width, height }, root] = [one, e].map((some) => some.getBoundingClientRect());
    return [x - root.x, y - root.y, width, height].map(Math.round);
})"""
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
    """The visible controls of a kind, without those of a recorded run: test_plane.py."""
    for control in place.locator(kind).all():
        if control.is_visible() and control.evaluate("e => e.closest('.dt-player') === null"):
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
            if not slider.evaluate("e => e.closest('.dt-sources') !== null"):  # their scales change on release
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
    positions = place.evaluate(POSITIONS)
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
            assert place.evaluate(POSITIONS) == positions
        box.fill("ten")
        box.press("Tab")  # the box shows the value again
        assert box.get_attribute("aria-invalid") is None
        assert box.input_value() == good
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
    for control in page.locator(".dpo-teach :is(input, select, button):visible").all():
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


def test_the_dot_can_be_dragged_and_moved_by_keyboard(light: Page) -> None:
    """The dot moves both log-probabilities of the policy in opposite directions, and the reference not at all."""
    place, _ = explorer_on(light, "lossExplorer")
    dot = place.locator("circle.dt-dot")
    box = dot.bounding_box()
    assert box is not None
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    assert box is not None
    start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    light.mouse.move(*start)
    light.mouse.down()
    light.mouse.move(start[0] + 80, start[1] - 60, steps=5)
    boxes = {
        name: float(place.locator(f'[data-name="{name}"] input.dt-box').input_value().replace("−", "-"))
        for name in ("policy_chosen", "reference_chosen", "chosen_log_ratio")
    }  # during the drag
    assert boxes["chosen_log_ratio"] == pytest.approx(boxes["policy_chosen"] - boxes["reference_chosen"], abs=0.06)
    assert boxes["chosen_log_ratio"] > 2
    light.mouse.up()
    moved = dot.bounding_box()
    assert moved is not None
    assert moved["x"] - box["x"] == pytest.approx(80, abs=3)
    explorer = python_twin(light, "lossExplorer")[1]
    assert isinstance(explorer, LossExplorer)
    assert explorer.difference > 5
    assert explorer.policy_chosen + explorer.policy_rejected == pytest.approx(-102)
    assert (explorer.reference_chosen, explorer.reference_rejected) == (-51, -51)
    light.keyboard.press("Home")
    assert dot.evaluate("e => getComputedStyle(e).strokeWidth") == "5px", "the dot shows the focus"
    explorer = python_twin(light, "lossExplorer")[1]
    assert isinstance(explorer, LossExplorer)
    assert (explorer.difference, explorer.policy_chosen, explorer.policy_rejected) == (-20, -61, -41)
    check(place, explorer)


@pytest.mark.parametrize("response", ["chosen", "rejected"])
def test_a_log_ratio_moves_only_the_policy(light: Page, response: str) -> None:
    place, model = explorer_on(light, "lossExplorer")
    row = place.locator(f'[data-name="{response}_log_ratio"]')
    box = row.locator("input.dt-box")
    box.fill("5")
    box.press("Enter")
    assert (model(f"policy_{response}"), model(f"reference_{response}")) == (-46, -51)
    check(*python_twin(light, "lossExplorer"))
    box.fill("51.5")  # the policy's log-probability would be above 0
    box.press("Enter")
    assert "enter a number from −1949 to 51" in row.inner_text()
    reference = place.locator(f'[data-name="reference_{response}"] input.dt-box')
    reference.fill("-4")
    reference.press("Enter")
    slider = row.locator("input[type=range]")
    slider.focus()
    light.keyboard.press("End")  # further than the policy can go: it stops at 0
    assert (model(f"policy_{response}"), box.input_value()) == (0, "+4.00")
    for key in ("ArrowLeft", "End", "End"):  # and its thumb with it, even if nothing changes any more
        light.keyboard.press(key)
    assert float(slider.input_value()) == 4


@pytest.mark.parametrize("name", ["lossExplorer", "betaTilt", "gradientWeights", "logRatioPlane"])
def test_home_and_end_give_the_ends_of_the_beta_slider(light: Page, name: str) -> None:
    place, model = explorer_on(light, name)
    place.locator('[data-name="beta"] input[type=range]').focus()
    for key, end in (("End", 20 if name == "betaTilt" else 1), ("Home", 0.05 if name == "betaTilt" else 0.01)):
        light.keyboard.press(key)
        assert model("beta") == end


def test_when_all_annotators_agree_the_panel_says_that_there_is_no_minimum(light: Page) -> None:
    place, model = explorer_on(light, "lossExplorer")
    assert place.get_by_text("▼ lowest point").is_visible()
    place.locator('[data-name="agreement"] input[type=range]').focus()
    light.keyboard.press("End")
    assert model("agreement") == 1
    assert place.get_by_text("▶ no lowest point").is_visible()
    assert place.get_by_text("the average loss has no lowest point").is_visible()


def test_an_open_circle_is_explained_and_covers_no_tick_label(light: Page) -> None:
    place, _ = explorer_on(light, "lossExplorer")
    note = place.get_by_text("○ off the chart")
    assert not note.is_visible()
    place.locator('[data-name="preset"] select').select_option("confused")
    box = place.locator('[data-name="beta"] input.dt-box')
    box.fill("10")
    box.press("Enter")
    assert note.is_visible()
    inside = """e => { const [dot, chart] = ['.dt-off-chart', '.dt-draggable'].map((one) =>
        e.querySelector(one).getBoundingClientRect()); return dot.top > chart.top && dot.left > chart.left; }"""
    assert place.evaluate(inside)
    assert (
        place.evaluate("""e => { const dot = e.querySelector('.dt-off-chart').getBoundingClientRect();
        return [...e.querySelectorAll('.dt-tick-text')].filter((text) => {
            const one = text.getBoundingClientRect();
            return text.getAttribute('visibility') === 'visible' && one.left < dot.right && dot.left < one.right &&
                one.top < dot.bottom && dot.top < one.bottom;
        }).map((text) => text.textContent); }""")
        == []
    )
    place.locator('[data-name="preset"] select').select_option("policy = reference")
    assert not note.is_visible()


def test_a_batch_resets_the_common_move(light: Page) -> None:
    place, model = explorer_on(light, "gradientWeights")
    place.locator('[data-name="moved"] input[type=range]').focus()
    light.keyboard.press("Home")
    assert model("moved") == -20
    menu = place.locator('[data-name="batch"] select')
    assert menu.input_value() == "the four examples"
    menu.select_option("one badly wrong")
    assert (model("moved"), model("differences")) == (0, [8, 12, 10, -25])


def test_four_pairs_that_pull_almost_equally_do_not_pull_equally(light: Page) -> None:
    """Question 2 of notebook 03: however far all four are moved, the pair that is furthest behind pulls hardest."""
    place, _ = explorer_on(light, "gradientWeights")
    for control, value in (("beta", 1), ("moved", -20)):
        box = place.locator(f'[data-name="{control}"] input.dt-box')
        box.fill(str(value))
        box.press("Enter")
    assert place.get_by_text("All four pull almost equally hard, pair 4 a little harder").is_visible()
    place.locator('[data-name="batch"] select').select_option("at the start")
    assert place.get_by_text("All four pairs pull equally hard.").is_visible()


def test_bars_of_memory_are_measured_against_a_gpu(light: Page) -> None:
    """The lines do not move: 80 GB are half of the axis of 160 GB."""
    place, _ = explorer_on(light, "memoryCalculator")
    track = place.locator(".dt-memory-track").first
    shares = """e => [...e.querySelectorAll('.dt-gpu, .dt-part-optimizer')].map((one) =>
        (one.getBoundingClientRect()[one.matches('.dt-gpu') ? 'left' : 'right'] - e.getBoundingClientRect().left) /
        e.clientWidth)"""
    for billions, end in ((7, 84 / 160), (1, 12 / 160), (100, 1)):  # AdamW on bfloat16: 12 bytes a parameter
        box = place.locator('[data-name="billions"] input.dt-box')
        box.fill(str(billions))
        box.press("Enter")
        assert track.evaluate(shares) == pytest.approx([end, 24 / 160, 80 / 160], abs=0.005)


def right_of(one: Locator, other: Locator) -> bool:
    """Whether one element is right of another, beside it."""
    a, b = one.bounding_box(), other.bounding_box()
    assert a is not None
    assert b is not None
    return a["x"] >= b["x"] + b["width"] - 1 and a["y"] < b["y"] + b["height"] and b["y"] < a["y"] + a["height"]


@pytest.mark.parametrize("width", [360, 390, 620, 768, 906, 1040])
def test_the_loss_explorer_holds_together(page: Page, playground_url: str, width: int) -> None:
    """Chosen and rejected side by side, the loss beside the headline, and no arrow that starts from empty space."""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(playground_url)
    place, _ = explorer_on(page, "lossExplorer")
    for chosen in ("policy_chosen", "reference_chosen", "chosen_log_ratio"):
        rejected = chosen.replace("chosen", "rejected")
        assert right_of(place.locator(f'[data-name="{rejected}"]'), place.locator(f'[data-name="{chosen}"]'))
    readout, last = place.locator(".dt-readout"), place.locator('[data-name="chosen_log_ratio"]')
    top, bottom = readout.bounding_box(), last.bounding_box()
    assert top is not None
    assert bottom is not None
    assert bottom["y"] + bottom["height"] - top["y"] < 480  # both on one screen
    assert width < 600 or right_of(readout, place.locator(".dt-headline"))
    for control, arrow in ((last, 0), (place.locator('[data-name="rejected_log_ratio"]'), 1)):
        box, line = control.bounding_box(), place.locator(".dt-arrow").nth(arrow).bounding_box()
        assert box is not None
        assert line is not None
        assert abs(line["y"] - (box["y"] + box["height"])) < 5
        start = line["x"] if arrow == 0 else line["x"] + line["width"]
        assert start == pytest.approx(box["x"] + box["width"] / 2, abs=4)


@pytest.mark.parametrize("width", [360, 768, 906, 1040])
def test_no_pair_stands_alone(page: Page, playground_url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(playground_url)
    place, _ = explorer_on(page, "gradientWeights")
    tops = [place.locator(f'[data-name="difference-{i}"]').bounding_box() or {} for i in range(4)]
    counts = [len([one for one in tops if one["y"] == y]) for y in {one["y"] for one in tops}]
    assert counts in ([4], [2, 2])

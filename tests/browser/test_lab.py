"""The notebooks' explorers and panels in a real JupyterLab: every control works by keyboard and by pointer."""

import json
import time
from pathlib import Path

import pytest
from lab import Lab, run_cell
from pages import SYNCED, check, drag, settings_in
from playwright.sync_api import Locator, Page, expect
from strictness.shown import panels_shown

from dpo_teach.projector import write_lab_settings
from dpo_teach.widgets import BetaTilt, GradientWeights, LogRatioPlane, LossExplorer, LossFamily, MemoryCalculator
from dpo_teach.widgets.explorer import Explorer

EXPLORERS: list[tuple[str, str, type[Explorer]]] = [
    ("01_introduction.ipynb", "memory-calculator", MemoryCalculator),
    ("01_introduction.ipynb", "beta-tilt", BetaTilt),
    ("01_introduction.ipynb", "loss-explorer", LossExplorer),
    ("01_introduction.ipynb", "log-ratio-plane", LogRatioPlane),
    ("03_loss_and_gradients.ipynb", "gradient-weights", GradientWeights),
    ("05_the_family.ipynb", "family-explorer", LossFamily),
]
PANELS = panels_shown()


def state_in_kernel(lab: Lab, kind: type[Explorer]) -> dict[str, object]:
    """The settings, in the kernel, of the explorer that was shown last."""
    names = list(SYNCED[kind])
    return json.loads(
        lab.ask_kernel(f"import json\nprint(json.dumps({{name: getattr(_, name) for name in {names!r}}}))")
    )


def check_against_kernel(lab: Lab, root: Locator, kind: type[Explorer]) -> str:
    """Check the page against Python with the settings that the kernel has, or soon will have; return the repr."""
    deadline = time.monotonic() + 5
    while True:
        twin = settings_in(state_in_kernel(lab, kind).__getitem__, kind)
        try:
            check(root, twin)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            return repr(twin)


@pytest.mark.parametrize("learner", ["light"], indirect=True)
@pytest.mark.parametrize(("notebook", "cell", "kind"), EXPLORERS, ids=[cell for _, cell, _ in EXPLORERS])
def test_every_control_of_an_explorer_in_its_notebook(
    lab: Lab, learner: Page, notebook: str, cell: str, kind: type[Explorer]
) -> None:
    lab.open(learner, notebook)
    root = run_cell(learner, notebook, cell).locator(".dpo-teach")
    expect(root).to_be_visible(timeout=20_000)
    seen = check_against_kernel(lab, root, kind)
    active = learner.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    for slider in root.locator("input[type=range]:visible").all():
        slider.focus()
        learner.keyboard.press("ArrowRight")
        learner.keyboard.press("ArrowUp")
        now = check_against_kernel(lab, root, kind)
        assert now != seen, f"{slider.get_attribute('aria-valuetext')}: the arrow keys changed nothing"
        drag(learner, slider, 0.8)
        seen = check_against_kernel(lab, root, kind)
        assert seen != now
    for menu in root.locator("select").all():
        menu.focus()
        learner.keyboard.press("ArrowDown")
        menu.select_option(index=1)
        seen = check_against_kernel(lab, root, kind)
    for tick in root.locator("input[type=checkbox]").all():
        tick.focus()
        learner.keyboard.press("Space")
        now = check_against_kernel(lab, root, kind)
        tick.click()
        assert check_against_kernel(lab, root, kind) != now
    for box in root.locator("input.dt-box:visible").all():
        old = box.input_value()
        box.fill(old.replace("−", "-"))
        box.press("d")  # keys must stay in the box: pressing d twice deletes a cell in JupyterLab
        box.press("d")
        box.press("Enter")
        assert box.get_attribute("aria-invalid") == "true"
        box.fill(old.replace("−", "-"))
        box.press("Enter")
        check_against_kernel(lab, root, kind)
    assert learner.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == active


def test_a_new_learner_is_not_asked_about_news(lab: Lab, learner: Page) -> None:
    lab.open(learner, "01_introduction.ipynb")
    learner.evaluate("() => window.jupyterapp.restored")
    learner.wait_for_timeout(2000)  # twice the time that the question takes to appear
    assert learner.locator(".Toastify__toast").all_inner_texts() == []


def test_a_folded_output_shows_nothing_until_its_cell_is_run(lab: Lab, learner: Page) -> None:
    name = "01_introduction.ipynb"
    lab.open(learner, name)
    output = learner.locator(".jp-Notebook .jp-Cell", has_text='count_memory(7e9, dtype="bfloat16"').locator(
        ".jp-Cell-outputWrapper"
    )
    expect(output.locator(".jp-OutputPlaceholder")).to_be_visible()
    assert "98 GB" not in output.inner_text()
    run_cell(learner, name, "count-the-models")
    assert "98 GB" in run_cell(learner, name, "memory-when-training").inner_text()


def test_layout_on_a_projector_1280_pixels_wide(
    lab: Lab, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sliders stay next to the curve, tables grow with the text, and printed words are not broken."""
    monkeypatch.setenv("DPO_TEACH_PROJECTOR", "1.6")
    write_lab_settings(tmp_path)
    page.set_viewport_size({"width": 1280, "height": 1000})
    lab.open(page, "01_introduction.ipynb")
    page.add_style_tag(path=tmp_path / "custom" / "custom.css")
    lab.ask_kernel("import dpo_teach\ndpo_teach.set_projector_scale(1.6)")
    page.keyboard.press("Control+b")
    output = run_cell(page, "01_introduction.ipynb", "loss-explorer")
    expect(output.locator(".dpo-teach")).to_be_visible(timeout=20_000)
    sources, curve = (output.locator(name).bounding_box() for name in (".dt-pair", ".dt-plot"))
    assert sources is not None
    assert curve is not None
    assert sources["x"] + sources["width"] <= curve["x"] + 1, "expected the wide layout, found the narrow one"
    assert output.locator(".dpo-teach").evaluate("e => e.currentCSSZoom") >= 1.2
    numbers = run_cell(page, "01_introduction.ipynb", "beta-tilt").locator(".dt-numbers dt")
    expect(numbers.first).to_be_visible(timeout=20_000)
    heights = numbers.evaluate_all("all => all.map((e) => e.clientHeight)")
    assert max(heights) < 30, "expected names on one line, found JupyterLab's own list style"
    table = page.locator(".jp-MarkdownCell table").first
    assert table.evaluate("e => getComputedStyle(e).fontSize") == "20.8px"
    printed = page.locator(".jp-OutputArea-output pre").first
    assert printed.evaluate("e => getComputedStyle(e).wordBreak") == "normal"


def test_python_can_set_what_the_browser_shows(lab: Lab, learner: Page) -> None:
    lab.open(learner, "01_introduction.ipynb")
    root = run_cell(learner, "01_introduction.ipynb", "loss-explorer").locator(".dpo-teach")
    expect(root).to_be_visible(timeout=20_000)
    lab.ask_kernel("_.beta = 0.5\n_.preset = 'both fell'")
    expect(root.locator('.dt-readout [data-value="margin"]')).to_have_text("+2.000")
    expect(root.locator('[data-name="preset"] select')).to_have_value("both fell")
    expect(root.locator('[data-name="beta"] input.dt-box')).to_have_value("0.5")
    assert lab.ask_kernel("print(_.preset, _.policy_chosen)") == "both fell -55.0"
    lab.ask_kernel("_.chosen_log_ratio = 5")
    expect(root.locator('[data-name="chosen_log_ratio"] input.dt-box')).to_have_value("+5.00")
    expect(root.locator('[data-name="policy_chosen"] input.dt-box')).to_have_value("−46.0")
    drag(learner, root.locator(".dt-draggable input"), 0.75)  # the dot, to a difference of 10
    check_against_kernel(lab, root, LossExplorer)
    assert lab.ask_kernel("print(round(_.difference), _.reference_chosen, _.reference_rejected)") == "10 -51.0 -51.0"


@pytest.mark.parametrize(("notebook", "cell"), PANELS, ids=[cell for _, cell in PANELS])
def test_every_control_of_a_kernel_panel_in_its_notebook(lab: Lab, learner: Page, notebook: str, cell: str) -> None:
    lab.open(learner, notebook)
    output = run_cell(learner, notebook, cell)
    picture = output.locator("img.dt-picture")
    expect(picture).to_be_visible(timeout=20_000)

    def moved(act: str) -> None:
        expect(picture, f"{cell}: {act} changed nothing").not_to_have_attribute("src", before, timeout=5000)

    for slider in output.locator("input[type=range]").all():
        for key in ("ArrowRight", "ArrowLeft"):
            before = picture.get_attribute("src") or ""
            slider.focus()
            learner.keyboard.press(key)
            moved(key)
        before = picture.get_attribute("src") or ""
        drag(learner, slider, 0.8)
        moved("the pointer")
    for menu in output.locator("select").all():
        before = picture.get_attribute("src") or ""
        menu.select_option(index=1)
        moved("a menu")
        before = picture.get_attribute("src") or ""
        menu.focus()
        learner.keyboard.press("ArrowDown" if menu.evaluate("e => e.options.length > 2") else "ArrowUp")
        moved("an arrow key on a menu")
    for tick in output.locator("input[type=checkbox]").all():
        before = picture.get_attribute("src") or ""
        tick.focus()
        learner.keyboard.press("Space")
        moved("the space bar")

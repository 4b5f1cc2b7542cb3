"""The explorers and panels of the real notebooks in a real JupyterLab: every control, by keyboard and by pointer."""

import json
from collections.abc import Iterator

import pytest
from lab import Lab, run_cell, running_lab
from pages import check, drag, settings_in
from playwright.sync_api import Locator, Page, expect

from dpo_teach.widgets import BetaTilt, GradientWeights, LossExplorer, MemoryCalculator
from dpo_teach.widgets.explorer import Explorer

EXPLORERS: list[tuple[str, str, type[Explorer]]] = [
    ("01_introduction.ipynb", "memory-calculator", MemoryCalculator),
    ("01_introduction.ipynb", "beta-tilt", BetaTilt),
    ("01_introduction.ipynb", "loss-explorer", LossExplorer),
    ("03_loss_and_gradients.ipynb", "gradient-weights", GradientWeights),
]
PANELS = [
    ("02_dpo_vs_rlhf.ipynb", "frontier-walker"),
    ("03_loss_and_gradients.ipynb", "beta-roles"),
    ("03_loss_and_gradients.ipynb", "logps-workbench"),
]


@pytest.fixture(scope="module")
def lab(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def themed(lab: Lab, page: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in the theme that the test names; a traceback that server or kernel has logged fails the test."""
    lab.set_theme(request.param)
    page.set_viewport_size({"width": 1280, "height": 1000})
    before = len(lab.log())
    yield page
    page.goto("about:blank")
    lab.close_kernels()
    assert "Traceback" not in lab.log()[before:], lab.log()[before:]


def state_in_kernel(lab: Lab, kind: type[Explorer]) -> dict[str, object]:
    """The settings of the explorer that was shown last, as the kernel has them."""
    names = list(kind.settings)
    return json.loads(
        lab.ask_kernel(f"import json\nprint(json.dumps({{name: getattr(_, name) for name in {names!r}}}))")
    )


def check_against_kernel(lab: Lab, root: Locator, kind: type[Explorer]) -> str:
    """What is shown is what Python says of the settings that the kernel has; returns the reading."""
    state = state_in_kernel(lab, kind)
    twin = settings_in(state.__getitem__, kind)
    check(root, twin)
    return repr(twin)


@pytest.mark.parametrize("themed", ["light"], indirect=True)
@pytest.mark.parametrize(("notebook", "cell", "kind"), EXPLORERS, ids=[cell for _, cell, _ in EXPLORERS])
def test_an_explorer_in_its_notebook(lab: Lab, themed: Page, notebook: str, cell: str, kind: type[Explorer]) -> None:
    lab.open(themed, notebook)
    root = run_cell(themed, notebook, cell).locator(".dpo-teach")
    expect(root).to_be_visible(timeout=20_000)
    seen = check_against_kernel(lab, root, kind)
    active = themed.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
    for slider in root.locator("input[type=range]").all():
        slider.focus()
        themed.keyboard.press("ArrowRight")
        themed.keyboard.press("ArrowUp")
        now = check_against_kernel(lab, root, kind)
        assert now != seen, f"{slider.get_attribute('aria-valuetext')}: the arrow keys moved nothing"
        drag(themed, slider, 0.8)
        seen = check_against_kernel(lab, root, kind)
        assert seen != now
    for menu in root.locator("select").all():
        menu.focus()
        themed.keyboard.press("ArrowDown")
        menu.select_option(index=1)
        seen = check_against_kernel(lab, root, kind)
    for tick in root.locator("input[type=checkbox]").all():
        tick.focus()
        themed.keyboard.press("Space")
        now = check_against_kernel(lab, root, kind)
        tick.click()
        assert check_against_kernel(lab, root, kind) != now
    for box in root.locator("input.dt-box").all():
        old = box.input_value()
        box.fill(old.replace("−", "-"))
        box.press("d")  # letters stay in the box: twice d is JupyterLab's key for deleting a cell
        box.press("d")
        box.press("Enter")
        assert box.get_attribute("aria-invalid") == "true"
        box.fill(old.replace("−", "-"))
        box.press("Enter")
        check_against_kernel(lab, root, kind)
    assert themed.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == active


@pytest.mark.parametrize("themed", ["dark"], indirect=True)
def test_python_sets_what_the_browser_shows(lab: Lab, themed: Page) -> None:
    lab.open(themed, "01_introduction.ipynb")
    root = run_cell(themed, "01_introduction.ipynb", "loss-explorer").locator(".dpo-teach")
    expect(root).to_be_visible(timeout=20_000)
    lab.ask_kernel("_.beta = 0.5\n_.preset = 'both fell'")
    expect(root.locator('[data-value="margin"]')).to_have_text("+2.000")
    expect(root.locator('[data-name="preset"] select')).to_have_value("both fell")
    expect(root.locator('[data-name="beta"] input.dt-box')).to_have_value("0.5")
    assert lab.ask_kernel("print(_.preset, _.policy_chosen)") == "both fell -55.0"


@pytest.mark.parametrize("themed", ["dark"], indirect=True)
@pytest.mark.parametrize(("notebook", "cell"), PANELS, ids=[cell for _, cell in PANELS])
def test_a_panel_of_the_kernel_in_its_notebook(lab: Lab, themed: Page, notebook: str, cell: str) -> None:
    lab.open(themed, notebook)
    output = run_cell(themed, notebook, cell)
    picture = output.locator("img.dt-picture")
    expect(picture).to_be_visible(timeout=20_000)

    def moved(act: str) -> None:
        expect(picture, f"{cell}: {act} moved nothing").not_to_have_attribute("src", before, timeout=5000)

    for handle in output.locator(".noUi-handle").all():
        for key in ("ArrowRight", "ArrowLeft"):
            before = picture.get_attribute("src") or ""
            handle.focus()
            themed.keyboard.press(key)
            moved(key)
        before = picture.get_attribute("src") or ""
        box = handle.bounding_box()
        assert box is not None
        themed.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        themed.mouse.down()
        themed.mouse.move(box["x"] + 60, box["y"] + 5, steps=5)
        themed.mouse.up()
        moved("the pointer")
    for menu in output.locator("select").all():
        before = picture.get_attribute("src") or ""
        menu.select_option(index=1)
        moved("a menu")
        before = picture.get_attribute("src") or ""
        menu.focus()
        themed.keyboard.press("ArrowDown" if menu.evaluate("e => e.options.length > 2") else "ArrowUp")
        moved("an arrow key on a menu")
    for tick in output.locator("input[type=checkbox]").all():
        before = picture.get_attribute("src") or ""
        tick.focus()
        themed.keyboard.press("Space")
        moved("the space bar")

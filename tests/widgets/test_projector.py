"""The projector setting enlarges figures, panels, explorers, tables and JupyterLab; without it nothing changes."""

import importlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import dpo_teach
from dpo_teach.plots import new_figure, plot_log_ratios, plot_token_rewards, render_with_alt
from dpo_teach.plots.tables import Table
from dpo_teach.projector import figure_scale, projector_scale, write_lab_settings
from dpo_teach.widgets import BetaRoles, LossExplorer
from dpo_teach.widgets.js_bundle import projector_style

Switch = Callable[[str], None]


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Switch:
    """Sets the environment variable for one test."""
    return lambda value: monkeypatch.setenv("DPO_TEACH_PROJECTOR", value)


@pytest.mark.parametrize(
    ("value", "scale"),
    [
        ("1", 1.6),
        ("on", 1.6),
        (" Yes ", 1.6),
        ("2", 2.0),
        ("1.25", 1.25),
        ("1.0", 1.0),
        ("off", 1.0),
        ("0", 1.0),
        ("", 1.0),
    ],
)
def test_the_environment_variable_sets_the_scale(value: str, scale: float, switch: Switch) -> None:
    switch(value)
    assert projector_scale() == scale
    assert figure_scale() == pytest.approx(scale**-0.5)


def test_the_projector_is_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPO_TEACH_PROJECTOR", raising=False)
    assert projector_scale() == 1.0


@pytest.mark.parametrize("value", ["large", "0.5", "3", "-1", "nan"])
def test_an_invalid_value_of_the_environment_variable_is_rejected(value: str, switch: Switch) -> None:
    switch(value)
    with pytest.raises(ValueError, match=f"DPO_TEACH_PROJECTOR.* found '?{value}"):
        new_figure(1.0, 1.0)


def test_the_scale_can_be_set_from_a_cell(switch: Switch) -> None:
    switch("off")
    dpo_teach.set_projector_scale()
    assert projector_scale() == 1.6
    dpo_teach.set_projector_scale(2)
    assert projector_scale() == 2.0
    with pytest.raises(ValueError, match=r"scale.* from 1 to 2, found 4"):
        dpo_teach.set_projector_scale(4)
    assert projector_scale() == 2.0
    dpo_teach.set_projector_scale(1)
    assert projector_scale() == 1.0


# Without a projector


@pytest.mark.slow
@pytest.mark.parametrize("value", ["", "off", "1.0"])
def test_off_and_unset_give_identical_bytes(value: str, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPO_TEACH_PROJECTOR", raising=False)
    unset = _arrows(), BetaRoles().picture, Table(["a"], [[1]])._repr_html_(), LossExplorer()._css
    switch(value)
    assert (_arrows(), BetaRoles().picture, Table(["a"], [[1]])._repr_html_(), LossExplorer()._css) == unset
    assert projector_style() == ""
    assert "--dpo-teach-zoom:" not in BetaRoles()._css


def test_without_a_projector_a_figure_has_its_usual_size(switch: Switch) -> None:
    switch("off")
    figure = new_figure(9.0, 3.0)
    assert (figure.get_size_inches().tolist(), figure.dpi) == ([9.0, 3.0], 100)


# With a projector


def test_text_grows_by_the_scale_and_figures_by_its_square_root(switch: Switch) -> None:
    switch("1.44")
    figure = new_figure(9.0, 3.0)
    assert figure.dpi == pytest.approx(144)
    assert (figure.get_size_inches() * figure.dpi).tolist() == pytest.approx([9 * 120, 3 * 120])
    assert render_with_alt(figure, "Nothing yet.").width == 1080
    crowded = new_figure(9.0, 3.0, crowded=True)
    assert (crowded.get_size_inches() * crowded.dpi).tolist() == pytest.approx([9 * 144, 3 * 144])


@pytest.mark.parametrize("value", ["1.6", "2"])
def test_nothing_in_a_figure_is_cut_off(value: str, switch: Switch) -> None:
    """The outermost pixels of an image all have the background colour."""
    switch(value)
    tokens = [(" predictable", -0.4), (" dull", 0.1)] * 7
    for png in (_arrows(), plot_token_rewards({"chosen": tokens, "rejected": tokens}, "One word did it.").png):
        picture = Image.open(io.BytesIO(png)).convert("RGB")
        width, height = picture.size
        level = ((0, 0, width, 2), (0, height - 2, width, height))
        upright = ((0, 0, 2, height), (width - 2, 0, width, height))
        edges = [picture.crop(box) for box in (*level, *upright)]
        assert all(len(edge.getcolors() or []) == 1 for edge in edges)


@pytest.mark.slow
def test_a_panel_keeps_its_layout_at_a_higher_resolution(switch: Switch) -> None:
    """Panels have a fixed layout, so they are enlarged as a whole by the zoom of the stylesheet."""
    switch("off")
    usual = Image.open(io.BytesIO(BetaRoles().picture)).size
    switch("1.6")
    panel = BetaRoles()
    assert Image.open(io.BytesIO(panel.picture)).size == pytest.approx([1.6 * side for side in usual], abs=1)
    assert "--dpo-teach-zoom: 1.6" in panel._css
    assert repr(panel) == repr(BetaRoles())


def test_the_stylesheet_of_an_explorer_contains_the_zoom(switch: Switch) -> None:
    switch("off")
    usual = LossExplorer()
    switch("1.6")
    large = LossExplorer()
    assert large._css == usual._css + projector_style()
    assert "zoom: var(--dpo-teach-zoom, 1)" in usual._css
    assert ":root { --dpo-teach-zoom: 1.6; }" in large._css
    assert repr(large) == repr(usual)


@pytest.mark.parametrize(
    ("value", "width", "zoom"),
    [("1.6", 1740, 1.6), ("1.6", 1120, 1.5), ("1.6", 848, 1.2), ("1.6", 500, 1.2), ("1.25", 860, 1.2),
     ("1.1", 500, 1.1), ("2", 1340, 1.9), ("2", 1410, 2)],
)  # fmt: skip
def test_an_explorer_is_enlarged_as_far_as_its_columns_fit(value: str, width: int, zoom: float, switch: Switch) -> None:
    """The last rule that applies decides, as in the browser."""
    switch(value)
    rules = re.findall(r"\(max-width: (\d+)px\) \{ \S+ \{ --dpo-teach-zoom: ([\d.]+); \} \}", projector_style())
    assert [float(value), *(float(less) for most, less in rules if width <= int(most))][-1] == zoom
    assert width / zoom >= 702 or zoom <= 1.2


def test_a_table_is_enlarged_but_its_text_is_unchanged(switch: Switch) -> None:
    table = Table(["beta"], [[0.1]])
    switch("off")
    usual, words = table._repr_html_(), repr(table)
    switch("1.6")
    style = ' style="font-size: calc(1.6 * var(--jp-ui-font-size1, 13px))"'
    assert table._repr_html_() == usual.replace("<table>", f"<table{style}>")
    assert repr(table) == words


def test_jupyterlab_is_enlarged_too(tmp_path: Path, switch: Switch) -> None:
    switch("2")
    write_lab_settings(tmp_path / "settings")
    settings = {path.name: path for path in (tmp_path / "settings").rglob("*.jupyterlab-settings")}
    themes = settings["themes.jupyterlab-settings"]
    assert themes.parts[-3:-1] == ("@jupyterlab", "apputils-extension")
    assert json.loads(themes.read_text()) == {"overrides": {"code-font-size": "26px", "content-font-size1": "28px"}}
    assert json.loads(settings["tracker.jupyterlab-settings"].read_text()) == {"codeCellConfig": {"lineWrap": True}}
    style = (tmp_path / "settings" / "custom" / "custom.css").read_text()
    assert "table { font-size: 26.0px; }" in style
    assert "img { zoom: 2; }" in style


def test_the_saved_outputs_are_never_enlarged() -> None:
    """`make notebooks` and `make test` set their own environment, whatever the teacher's shell has set."""
    source = Path(importlib.import_module("tools.notebooks.run").__file__ or "").read_text()
    assert '"DPO_TEACH_PROJECTOR": "off"' in source
    assert "DPO_TEACH_PROJECTOR=off" in (Path(__file__).parents[2] / "Makefile").read_text()


def _arrows() -> bytes:
    chosen, rejected = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([-1.0, -2.0, -2.0, 3.0])
    return plot_log_ratios(chosen, rejected, "Three arrows point right. Example 4 points the wrong way.").png

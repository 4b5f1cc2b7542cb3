"""Every setting of every panel works over its whole range, from code and from the browser."""

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import traitlets
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from dpo_teach.widgets import (
    BetaRoles,
    FrontierWalker,
    LogpsWorkbench,
    Panel,
)

PANELS: list[type[Panel]] = [BetaRoles, LogpsWorkbench, FrontierWalker]


def control_of(panel: Panel, name: str) -> dict[str, Any]:
    """What the browser is told about the control of a setting."""
    (control,) = [one for one in panel.controls if one["name"] == name]
    return control


def settings_of(panel: Panel, name: str) -> Iterator[Any]:
    """Every choice of a menu; both states of a checkbox; both ends and the middle of a slider."""
    control = control_of(panel, name)
    if control["kind"] == "menu":
        yield from (value for value, _ in control["options"])
    elif control["kind"] == "checkbox":
        yield from (True, False)
    else:
        yield from (control["low"], (control["low"] + control["high"]) / 2, control["high"])


def move(panel: Panel, name: str, value: Any) -> None:
    """Move a control as the browser does: an error is shown, and does not reach the caller."""
    panel.set_state({name: value})


# All panels


@pytest.mark.parametrize("kind", PANELS)
def test_every_control_works_over_its_range_and_changes_the_image(kind: type[Panel]) -> None:
    panel = kind()
    figure = panel.figure
    assert [control["name"] for control in panel.controls] == list(panel.settings)
    for name in panel.settings:
        start, seen = getattr(panel, name), set()
        for value in settings_of(panel, name):
            move(panel, name, value)
            assert panel.error is None, f"{kind.__name__}.{name} = {value}: {panel.error!r}"
            assert panel.error_message == ""
            assert "nan" not in repr(panel)
            seen.add(panel.picture)
        assert all(picture.startswith(b"\x89PNG") for picture in seen)
        assert len(seen) > 1, f"{kind.__name__}.{name} changes nothing"
        move(panel, name, start)
    assert panel.figure is figure


@pytest.mark.parametrize("kind", PANELS)
def test_equal_settings_give_equal_reprs_and_images(kind: type[Panel]) -> None:
    first, second = kind(), kind()
    assert repr(first) == repr(second)
    assert first.picture == second.picture
    assert "0x" not in repr(first)
    assert "\n" not in repr(first)
    before = repr(first), first.picture
    name = first.settings[-1]
    start = getattr(first, name)
    move(first, name, next(settings_of(first, name)))
    assert repr(first) != before[0]
    move(first, name, start)
    assert (repr(first), first.picture) == before


@pytest.mark.parametrize("kind", PANELS)
def test_a_cell_gets_the_live_widget_and_an_image(kind: type[Panel]) -> None:
    panel = kind()
    data, _ = panel._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert data["text/plain"] == repr(panel)  # not truncated to 110 characters
    assert panel.alt == repr(panel)  # for readers who cannot see the image


@pytest.mark.parametrize("kind", PANELS)
def test_the_saved_image_says_that_it_is_one(kind: type[Panel]) -> None:
    """A note at the top right, which the live picture does not have; everything else is the same."""
    panel = kind()
    live, texts = Image.open(io.BytesIO(panel.picture)).convert("RGB"), len(panel.figure.texts)
    for _ in range(2):  # displaying it does not change it
        data, _ = panel._repr_mimebundle_()
        saved = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        corner = (live.width // 2, 0, live.width, 24)
        assert len(live.crop(corner).getcolors() or []) == 1
        assert len(saved.crop(corner).getcolors() or []) > 5
    panel.redraw()
    assert len(panel.figure.texts) == texts
    assert Image.open(io.BytesIO(panel.picture)).convert("RGB").tobytes() == live.tobytes()


@pytest.mark.parametrize("kind", PANELS)
def test_the_image_fits_a_notebook_and_is_small(kind: type[Panel]) -> None:
    data = kind().picture
    assert len(data) < 60_000
    assert Image.open(io.BytesIO(data)).width <= 940


def broken(panel: Panel) -> Callable[[], None]:
    def update() -> None:
        raise RuntimeError("the <artist> is gone")

    return update


@pytest.mark.parametrize("kind", PANELS)
def test_an_error_in_a_callback_is_shown(kind: type[Panel], monkeypatch: pytest.MonkeyPatch) -> None:
    panel = kind()
    name = panel.settings[-1]
    start, other = getattr(panel, name), next(settings_of(panel, name))
    with monkeypatch.context() as patch:
        patch.setattr(panel, "update", broken(panel))
        move(panel, name, other)  # from the browser: shown and kept
        assert isinstance(panel.error, RuntimeError)
        assert panel.error_message == "RuntimeError: the <artist> is gone"
        with pytest.raises(RuntimeError, match="is gone"):  # from code: raised
            setattr(panel, name, start)
    setattr(panel, name, other)  # cleared once an update succeeds
    assert panel.error is None
    assert panel.error_message == ""


def test_several_settings_at_once_need_one_redraw(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = LogpsWorkbench()
    drawn: list[str] = []
    monkeypatch.setattr(panel, "update", lambda: drawn.append(repr(panel)))
    panel.set(mean=True, count_prompt=True, shift="none")
    assert drawn == [repr(panel)]


def test_the_error_for_a_value_set_from_code_names_the_setting() -> None:
    panel, walker = BetaRoles(), FrontierWalker()
    with pytest.raises(traitlets.TraitError, match=r"beta must be between 0.1 and 10, found 50"):
        panel.beta = 50.0
    with pytest.raises(traitlets.TraitError, match="method must be one of dpo, ppo-learned"):
        walker.method = "nonsense"
    with pytest.raises(traitlets.TraitError, match="place must be between 0 and 4, found 5"):
        walker.place = 5
    assert (panel.beta, walker.method, walker.place) == (1.0, "dpo", 1)


@pytest.mark.parametrize("method", ["dpo", "ppo-learned", "ppo-true"])
def test_the_ring_is_on_a_point_of_the_frontier(method: str) -> None:
    walker = FrontierWalker(method=method)
    for place, beta in control_of(walker, "place")["options"]:
        move(walker, "place", place)  # the browser's menu sends text
        assert f"at beta {beta}," in repr(walker)
        ends = [tuple(line.get_xydata()[0]) for line in walker.figure.axes[0].lines if len(line.get_xydata()) == 1]
        (ring,) = [tuple(artist.get_xydata()[0]) for artist in walker.moving if isinstance(artist, Line2D)]
        assert ends.count(ring) == 2, "the ring itself, and the point under it"


def test_every_bar_of_the_workbench_and_its_number_are_within_the_axes() -> None:
    panel = LogpsWorkbench()
    (axes,) = panel.figure.axes
    for shift in ("right", "none", "wrong way"):
        for pad_left in (False, True):
            panel.set(shift=shift, pad_left=pad_left, count_prompt=True, count_padding=True)
            deepest = min(panel.contributions.tolist())
            assert axes.get_ylim()[0] < 1.1 * deepest
            assert deepest < 0.7 * axes.get_ylim()[0], "three quarters of the chart are empty"


def test_panels_are_not_registered_with_pyplot() -> None:
    import matplotlib.pyplot as plt

    assert isinstance(BetaRoles().figure, Figure)
    assert plt.get_fignums() == []

"""Every control of every panel works over its whole range: an error in a callback would otherwise only be logged."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as ipw
import pytest
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


def settings_of(control: ipw.Widget) -> Iterator[Any]:
    """Every choice of a menu; both states of a box; both ends and the middle of a slider."""
    if isinstance(control, ipw.Dropdown):
        yield from (option[1] if isinstance(option, tuple) else option for option in control.options)
    elif isinstance(control, ipw.Checkbox):
        yield from (True, False)
    else:
        ends = (control.min, (control.min + control.max) / 2, control.max)
        yield from (control.base**end for end in ends) if isinstance(control, ipw.FloatLogSlider) else ends


def move(panel: Panel, name: str, value: Any) -> None:
    """Move a control as the browser does: its value changes, and an exception does not reach the caller."""
    panel.inputs[name].value = value


# All panels


@pytest.mark.parametrize("kind", PANELS)
def test_every_control_works_over_its_range_and_changes_the_image(kind: type[Panel]) -> None:
    panel = kind()
    figure = panel.figure
    for name, control in panel.inputs.items():
        start, seen = control.value, set()
        for value in settings_of(control):
            move(panel, name, value)
            assert panel.error is None, f"{kind.__name__}.{name} = {value}: {panel.error!r}"
            assert panel.status.layout.display == "none"
            assert "nan" not in repr(panel)
            seen.add(bytes(panel.image.value))
        assert all(picture.startswith(b"\x89PNG") for picture in seen)
        assert len(seen) > 1, f"{kind.__name__}.{name} changes nothing"
        move(panel, name, start)
    assert panel.figure is figure


@pytest.mark.parametrize("kind", PANELS)
def test_equal_settings_give_equal_reprs_and_images(kind: type[Panel]) -> None:
    first, second = kind(), kind()
    assert repr(first) == repr(second)
    assert first.image.value == second.image.value
    assert "0x" not in repr(first)
    assert "\n" not in repr(first)
    before = repr(first), first.image.value
    name, control = next((n, c) for n, c in first.inputs.items() if not isinstance(c, ipw.Dropdown))
    start = control.value
    move(first, name, next(settings_of(control)))
    assert repr(first) != before[0]
    move(first, name, start)
    assert (repr(first), first.image.value) == before


@pytest.mark.parametrize("kind", PANELS)
def test_a_cell_gets_the_live_widget_and_an_image(kind: type[Panel]) -> None:
    panel = kind()
    bundle = panel._repr_mimebundle_()
    assert bundle is not None
    assert set(bundle) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == repr(panel)  # not truncated to 110 characters
    assert panel.image.alt == repr(panel)  # for readers who cannot see the image


@pytest.mark.parametrize("kind", PANELS)
def test_the_image_fits_a_notebook_and_is_small(kind: type[Panel]) -> None:
    data = kind().image.value
    assert len(data) < 60_000
    assert Image.open(io.BytesIO(data)).width <= 940


def broken(panel: Panel) -> Callable[[], None]:
    def update() -> None:
        raise RuntimeError("the <artist> is gone")

    return update


@pytest.mark.parametrize("kind", PANELS)
def test_an_error_in_a_callback_is_shown(kind: type[Panel], monkeypatch: pytest.MonkeyPatch) -> None:
    panel = kind()
    name, control = next((n, c) for n, c in panel.inputs.items() if not isinstance(c, ipw.Dropdown))
    start, other = control.value, next(settings_of(control))
    with monkeypatch.context() as patch:
        patch.setattr(panel, "update", broken(panel))
        move(panel, name, other)  # from the browser: shown and kept
        assert isinstance(panel.error, RuntimeError)
        assert panel.status.layout.display == ""
        assert "RuntimeError: the &lt;artist&gt; is gone" in panel.status.value
        with pytest.raises(RuntimeError, match="is gone"):  # from code: raised
            setattr(panel, name, start)
    move(panel, name, other)  # cleared once an update succeeds
    assert panel.error is None
    assert panel.status.layout.display == "none"


def test_the_error_for_a_value_set_from_code_names_the_control() -> None:
    panel = BetaRoles()
    with pytest.raises(ValueError, match=r"beta must be between 0.1 and 10, found 50"):
        panel.beta = 50.0
    with pytest.raises(AttributeError, match="has no control 'gamma'; it has beta"):
        panel.set(gamma=1.0)
    with pytest.raises(ValueError, match="method must be one of dpo, ppo-learned"):
        FrontierWalker().method = "nonsense"
    assert panel.beta == 1.0


@pytest.mark.parametrize("method", ["dpo", "ppo-learned", "ppo-true"])
def test_the_ring_is_on_a_point_of_the_frontier(method: str) -> None:
    walker = FrontierWalker(method=method)
    for place in range(walker.inputs["place"].max + 1):
        walker.place = place
        ends = [tuple(line.get_xydata()[0]) for line in walker.figure.axes[0].lines if len(line.get_xydata()) == 1]
        (ring,) = [tuple(artist.get_xydata()[0]) for artist in walker.moving if isinstance(artist, Line2D)]
        assert ends.count(ring) == 2, "the ring itself, and the point under it"


def test_panels_are_not_registered_with_pyplot() -> None:
    import matplotlib.pyplot as plt

    assert isinstance(BetaRoles().figure, Figure)
    assert plt.get_fignums() == []

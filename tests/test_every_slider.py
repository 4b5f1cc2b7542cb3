"""Every widget that a notebook shows is driven over its range, here by Python and in tests/browser by a hand."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import traitlets
from strictness.checks import NOTEBOOKS
from strictness.shown import cells_in_the_browser, widgets_shown
from test_widgets import settings_of

from dpo_teach.widgets import Panel
from dpo_teach.widgets.explorer import Explorer, Number, Numbers

SHOWN = sorted({kind for path in NOTEBOOKS for _, kind in widgets_shown(path)}, key=lambda kind: kind.__name__)
DRIVEN_BY_EVENTS = {"LiveCurves"}  # by the steps of a run, in test_live_curves.py: it has no control


def moves(widget: Any) -> Iterator[tuple[str, Any]]:
    """Each control or setting of a widget with each value that a hand can bring it to: the ends and between."""
    if isinstance(widget, Panel):
        yield from ((name, value) for name, control in widget.inputs.items() for value in settings_of(control))
    else:
        yield from ((name, value) for name in widget.settings for value in range_of(widget, name))


def range_of(explorer: Explorer, name: str) -> Iterator[Any]:
    """Both ends and the middle of a number, of each of several numbers; every choice; both states of a box."""
    trait = explorer.traits()[name]
    if isinstance(trait, Number):
        yield from (trait.least, (trait.least + trait.most) / 2, trait.most)
    elif isinstance(trait, Numbers):
        start = list(getattr(explorer, name))
        for place in range(len(start)):
            for value in (trait.least, (trait.least + trait.most) / 2, trait.most):
                yield [*start[:place], value, *start[place + 1 :]]
    elif isinstance(trait, traitlets.Enum):
        yield from trait.values
    elif isinstance(trait, traitlets.Bool):
        yield from (True, False)
    else:
        yield from choices_of_a_menu(explorer, name)


def choices_of_a_menu(explorer: Explorer, name: str) -> Iterator[Any]:
    """The values of a setting that is chosen from a list: the trait `names` + s, as `prompt` from `prompts`."""
    yield from getattr(explorer, f"{name}s")


def move_by_hand(widget: Any, name: str, value: Any) -> None:
    """As the browser does, so that an error is not raised here but lost, if the widget does not keep it."""
    if isinstance(widget, Panel):
        widget.inputs[name].value = value
    else:
        widget.set_state({name: value})


def test_the_notebooks_show_widgets() -> None:
    assert len(SHOWN) > 5


@pytest.mark.parametrize("kind", SHOWN)
def test_every_setting_of_a_widget_that_is_shown_goes_over_its_range(kind: type) -> None:
    widget = kind(steps=4, beta=0.1) if kind.__name__ in DRIVEN_BY_EVENTS else kind()
    assert isinstance(widget, Panel | Explorer), "neither a panel nor an explorer: say here how it is driven"
    driven = list(moves(widget))
    assert driven or kind.__name__ in DRIVEN_BY_EVENTS, "no control: say here how it is driven"
    for name in dict.fromkeys(name for name, _ in driven):
        check_setting(kind, name)


def check_setting(kind: Callable[[], Any], name: str) -> None:
    """One setting, from a fresh widget: no value of it breaks the reading, and some value changes it."""
    widget = kind()
    readings = {repr(widget)}
    for moved, value in list(moves(widget)):
        if moved == name:
            move_by_hand(widget, name, value)
            assert widget.error is None, f"{name} = {value}: {widget.error!r}"
            assert "nan" not in repr(widget)
            readings.add(repr(widget))
    assert len(readings) > 1, f"{name} moves nothing"


@pytest.mark.parametrize("kind", SHOWN)
def test_a_hand_moves_it_in_a_real_browser(kind: type) -> None:
    cells = {cell for path in NOTEBOOKS for cell, shown in widgets_shown(path) if shown is kind}
    assert kind.__name__ in DRIVEN_BY_EVENTS or cells & cells_in_the_browser(), (
        f"tests/browser runs none of the cells {sorted(cells)}"
    )

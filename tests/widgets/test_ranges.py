"""Every widget of a notebook works over its range: here in Python, in tests/browser by keyboard and pointer."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import traitlets
from strictness.checks import NOTEBOOKS
from strictness.shown import cells_in_the_browser, widgets_shown
from test_panels import settings_of
from tiny import tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.training import PairHistory
from dpo_teach.widgets import Annotator, BeforeAfter, LiveCurves, LogRatioPlane, LossFamily, Panel, TokenRewards
from dpo_teach.widgets.annotation import Candidate
from dpo_teach.widgets.explorer import CUSTOM, Number, Numbers

SHOWN = sorted({kind for path in NOTEBOOKS for _, kind in widgets_shown(path)}, key=lambda kind: kind.__name__)
NO_CONTROL = {
    "LiveCurves",  # updated by the steps of a run: test_live_curves.py
    "Annotator",  # has only buttons and keys: test_annotator.py and tests/browser/test_lab_models.py
}

# Widgets that need arguments, and settings whose traits do not define a range.
MAKERS: dict[str, Callable[[], Any]] = {
    "LiveCurves": lambda: LiveCurves(steps=4, beta=0.1),
    "LogRatioPlane": lambda: LogRatioPlane(
        history=PairHistory((0, 16), torch.tensor([[[0.0, 0.0]], [[-1.0, -4.0]]]), kl=(0.0, 2.4))
    ),
    "TokenRewards": lambda: TokenRewards(tiny_model(1), tiny_model(), tiny_tokenizer(), tiny_pairs(4)),
    "BeforeAfter": lambda: BeforeAfter(
        tiny_model(1), tiny_model(), tiny_tokenizer(), prompt="the plot was", max_new_tokens=8
    ),
    "Annotator": lambda: Annotator(
        "labels.jsonl", candidates=[Candidate("the plot", " was", f" {n}") for n in range(30)]
    ),
}
RANGES: dict[tuple[str, str], Callable[[Any], Iterable[Any]]] = {
    ("LossExplorer", "preset"): lambda explorer: (*explorer.presets, CUSTOM),
    ("GradientWeights", "batch"): lambda weights: (*weights.presets, CUSTOM),
    ("LossExplorer", "chosen_log_ratio"): lambda _: (-1949, 0, 51),
    ("LossExplorer", "rejected_log_ratio"): lambda _: (-1949, 0, 51),
    ("LossExplorer", "difference"): lambda _: (-2000, 0, 2000),
    ("LogRatioPlane", "preset"): lambda plane: (*plane.presets, CUSTOM),
    ("LogRatioPlane", "step"): lambda plane: plane.history.steps,
    ("BetaTilt", "prompt"): lambda tilt: tilt.world.prompts,
    ("TokenRewards", "pair"): lambda panel: range(1, panel.count + 1),
    ("BeforeAfter", "prompt"): lambda _: ("the plot", "the plot was very"),
    ("BeforeAfter", "seed"): lambda _: (0, 1, 9999),
    ("BeforeAfter", "count"): lambda _: range(2, 7),
}
USED_BY = {"gamma": "simpo", "sft_weight": "rpo", "kl": "kto", "chosen_length": "orpo", "rejected_length": "orpo"}
"""Of `LossFamily`: settings that only some losses use, each with one of these."""


def make(kind: type) -> Any:
    """A fresh widget."""
    return MAKERS.get(kind.__name__, kind)()


def range_of(widget: Any, name: str) -> Iterable[Any]:
    """The values of a setting: both ends and the middle, every choice, both states of a checkbox."""
    if isinstance(widget, Panel):
        return settings_of(widget, name)
    trait = widget.traits().get(name)
    if isinstance(trait, Number):
        return between(trait)
    if isinstance(trait, Numbers):
        start = list(getattr(widget, name))
        return [[*start[:i], value, *start[i + 1 :]] for i in range(len(start)) for value in between(trait)]
    if isinstance(trait, traitlets.Enum):
        return trait.values
    if isinstance(trait, traitlets.Bool):
        return (True, False)
    key = type(widget).__name__, name
    assert key in RANGES, f"{key}: no range found; add it to RANGES"
    return RANGES[key](widget)


def between(trait: Number | Numbers) -> tuple[float, ...]:
    """Both ends of a trait's range, and its middle."""
    return trait.least, (trait.least + trait.most) / 2, trait.most


def test_the_notebooks_show_widgets() -> None:
    assert len(SHOWN) > 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHOWN)
def test_every_setting_over_its_range(kind: type) -> None:
    names = list(make(kind).settings)
    assert names or kind.__name__ in NO_CONTROL
    for name in names:
        widget = make(kind)
        if kind is LossFamily and name in USED_BY:
            widget.set(loss=USED_BY[name])
        check_setting(widget, name)


def check_setting(widget: Any, name: str) -> None:
    """No value of a setting causes an error, and some value changes the repr."""
    reprs = {repr(widget)}
    for value in list(range_of(widget, name)):
        try:
            widget.set(**{name: value})
        except Exception as error:
            raise AssertionError(f"{name} = {value}: {error!r}") from error
        assert widget.error is None, f"{name} = {value}: {widget.error!r}"
        assert "nan" not in repr(widget)
        reprs.add(repr(widget))
    assert len(reprs) > 1, f"{name} changes nothing"


@pytest.mark.parametrize("kind", SHOWN)
def test_a_browser_test_runs_a_cell_with_the_widget(kind: type) -> None:
    cells = {cell for path in NOTEBOOKS for cell, shown in widgets_shown(path) if shown is kind}
    assert kind.__name__ in NO_CONTROL or cells & cells_in_the_browser(), (
        f"tests/browser runs none of the cells {sorted(cells)}"
    )

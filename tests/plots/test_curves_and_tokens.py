"""Figures of curves, tokens and recorded runs: their alternative texts, and the inputs that change the image."""

import pytest
import torch

from dpo_teach.plots import plot_curves, plot_token_rewards
from dpo_teach.plots.runs import plot_runs

X = torch.linspace(0, 1, 5)


def test_curves_have_an_alternative_text_and_equal_inputs_give_equal_bytes() -> None:
    panels = {"Up": {"chosen": X, "rejected": -X}, "Flat": {"policy": 0 * X}}
    picture = plot_curves(X, panels, "x", "A title.")
    assert repr(picture) == "A title. Up: chosen from 0 to 1, rejected from 0 to -1; Flat: policy from 0 to 0."
    assert picture.png == plot_curves(X, panels, "x", "A title.").png


@pytest.mark.parametrize(
    "changed",
    [{"limits": {"Up": (0.0, 9.0)}}, {"dots": {"Up": {"here": (0.5, 0.5)}}}],
)
def test_limits_and_dots_are_drawn(changed: dict) -> None:
    plain = plot_curves(X, {"Up": {"policy": X}}, "x", "A title.")
    assert plot_curves(X, {"Up": {"policy": X}}, "x", "A title.", **changed).png != plain.png


def test_an_empty_set_of_panels_is_rejected() -> None:
    with pytest.raises(ValueError, match="panels"):
        plot_curves(X, {}, "x", "A title.")


def test_token_rewards_have_an_alternative_text() -> None:
    tokens = [(" The", 0.0), (" plot", -0.1), (" was", 0.05), (" fun", 0.5)] * 4  # more than fit on one line
    picture = plot_token_rewards({"chosen": tokens, "rejected": [(" dull", -0.6)]}, "A title.")
    assert repr(picture) == (
        "A title. chosen: total +1.80, largest shares ' fun' +0.50 and ' fun' +0.50; "
        "rejected: total -0.60, largest shares ' dull' -0.60."
    )
    with pytest.raises(ValueError, match=r"responses\['chosen'\]"):
        plot_token_rewards({"chosen": []}, "A title.")


def run(loss: float) -> list[dict[str, float]]:
    row = {"margin": 0.1, "chosen_rewards": 0.3, "rejected_rewards": -0.3}
    rows = [{"step": step, "loss": loss - 0.01 * step, **row} for step in range(1, 9)]
    rows[-1] |= {"eval_loss": 0.6, "eval_margin": 0.2}
    return rows


@pytest.mark.slow
def test_runs_have_an_alternative_text() -> None:
    picture = plot_runs({"A": run(0.69), "B": run(2.0)}, 0.3, "A title.")
    assert repr(picture) == (
        "A title. Run A: loss 0.68 to 0.61, held out 0.60; margin 0.10 to 0.10, held out 0.20. "
        "Run B: loss 1.99 to 1.92, held out 0.60; margin 0.10 to 0.10, held out 0.20."
    )
    assert picture.png != plot_runs({"A": run(0.69), "B": run(2.0)}, 0.1, "A title.").png  # log-ratio = reward / beta
    with pytest.raises(ValueError, match="runs"):
        plot_runs({}, 0.3, "A title.")

"""The plane of the log-ratios from Python: its numbers, its presets, and a recorded run."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import traitlets

from dpo_teach.losses import compute_dpo_loss, gradient_weight
from dpo_teach.training import PairHistory, bundled_histories
from dpo_teach.widgets import LogRatioPlane
from dpo_teach.widgets.log_ratio_plane import POINTS
from dpo_teach.widgets.plane_numbers import margins_at_loss, quadrant_of, read_point


def history(**changes: Any) -> PairHistory:
    """Two pairs at three steps; the means are (0, 0), (0, -3) and (-2, -6)."""
    log_ratios = torch.tensor([[[0.0, 0.0]] * 2, [[1.0, -2.0], [-1.0, -4.0]], [[-1.0, -5.0], [-3.0, -7.0]]])
    return PairHistory(**{"steps": (0, 8, 16), "log_ratios": log_ratios, "kl": (0.0, 1.5, 4.0), "beta": 0.3, **changes})


def test_without_smoothing_the_numbers_are_those_of_the_loss() -> None:
    point = read_point(-4.0, -8.0, beta=0.1)
    policy, reference = torch.tensor([-55.0, -59.0]), torch.tensor([-51.0, -51.0])
    expected = compute_dpo_loss(policy[:1], policy[1:], reference[:1], reference[1:], 0.1).item()
    assert point.loss == pytest.approx(expected, rel=1e-6)
    assert point.gradient_weight == pytest.approx(gradient_weight(torch.tensor([0.4]), 0.1).item())
    assert (point.difference, point.margin, point.best_difference) == (4.0, pytest.approx(0.4), math.inf)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_loss_is_ln_2_at_the_reference_whatever_the_smoothing(smoothing: float) -> None:
    point = read_point(0.0, 0.0, beta=0.3, label_smoothing=smoothing)
    assert point.loss == pytest.approx(math.log(2))
    assert point.gradient_weight == pytest.approx(0.3 * (0.5 - smoothing))


def test_the_weight_is_the_slope_and_vanishes_at_the_lowest_loss() -> None:
    """With 1 wrong label in 10 the odds are 9: lowest at a margin of ln 9, with the entropy of 1 in 10 as the loss."""
    best = read_point(0.0, -math.log(9) / 0.2, beta=0.2, label_smoothing=0.1)
    assert best.gradient_weight == pytest.approx(0, abs=1e-15)
    assert best.loss == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    assert best.best_difference == pytest.approx(best.difference)
    assert read_point(20.0, -20.0, beta=0.2, label_smoothing=0.1).gradient_weight < 0
    for x, y in ((3.0, -2.0), (-6.0, 4.0), (30.0, -5.0)):
        slopes = []
        for dx, dy in ((1e-5, 0.0), (0.0, 1e-5)):
            up, down = (read_point(x + s * dx, y + s * dy, beta=0.2, label_smoothing=0.1).loss for s in (1, -1))
            slopes.append((up - down) / 2e-5)
        weight = read_point(x, y, beta=0.2, label_smoothing=0.1).gradient_weight
        assert slopes == pytest.approx([-weight, weight], abs=1e-9)


def test_the_margins_of_a_loss() -> None:
    # -log σ(m) = ln 3: σ(m) = 1/3, m = -ln 2
    assert margins_at_loss(math.log(3)) == (pytest.approx(-math.log(2)), math.inf)
    assert margins_at_loss(0.3, 0.1) is None  # below the entropy of 1 in 10, 0.325
    found = margins_at_loss(1.0, 0.25)
    assert found is not None
    assert [read_point(m, 0.0, beta=1.0, label_smoothing=0.25).loss for m in found] == pytest.approx([1.0, 1.0])
    assert found[0] < math.log(3) < found[1]


@pytest.mark.parametrize(
    ("point", "quadrant"),
    [
        ((2.0, -1.0), "chosen up, rejected down"),
        ((2.0, 0.0), "chosen up, rejected down"),
        ((0.0, -1.0), "chosen up, rejected down"),
        ((-2.0, 1.0), "chosen down, rejected up"),
        ((0.0, 1.0), "chosen down, rejected up"),
        ((2.0, 1.0), "both rose, chosen more"),
        ((1.0, 2.0), "both rose, rejected more"),
        ((2.0, 2.0), "both rose equally"),
        ((-1.0, -2.0), "both fell, rejected more"),
        ((-2.0, -1.0), "both fell, chosen more"),
        ((-2.0, -2.0), "both fell equally"),
        ((0.0, 0.0), "policy = reference"),
    ],
)
def test_the_name_of_each_quadrant(point: tuple[float, float], quadrant: str) -> None:
    assert quadrant_of(*point) == quadrant
    assert (read_point(*point, beta=0.1).margin > 0) == (point[0] > point[1])


def test_the_preset_follows_from_the_log_ratios() -> None:
    plane = LogRatioPlane()
    assert plane.preset == "policy = reference"
    plane.preset = "confused"
    assert (plane.chosen_log_ratio, plane.rejected_log_ratio) == POINTS["confused"]
    plane.chosen_log_ratio = 1.5
    assert plane.preset == "your own"
    plane.set(preset="both rose", rejected_log_ratio=-1.0)
    assert (plane.chosen_log_ratio, plane.rejected_log_ratio) == (10.0, -1.0)
    assert LogRatioPlane(chosen_log_ratio=0.0, rejected_log_ratio=0.0).preset == "policy = reference"


def test_a_history_starts_at_its_last_step_and_its_beta() -> None:
    plane = LogRatioPlane(history=history())
    assert (plane.step, plane.beta, plane.preset) == (16, 0.3, "policy = reference")
    assert plane.cloud_mean == (-2.0, -6.0)
    assert repr(plane).endswith("; 2 pairs after step 16 of 16: mean chosen -2.00, rejected -6.00, KL 4.000 nats")
    plane.step = 8
    assert plane.cloud_mean == (0.0, -3.0)
    assert LogRatioPlane(history=history(), step=0, beta=0.5).beta == 0.5
    assert LogRatioPlane(history=history(kl=None, beta=None)).beta == 0.1
    assert repr(LogRatioPlane(history=history())) == repr(LogRatioPlane(history=history()))


def test_without_a_history_there_is_no_step() -> None:
    plane = LogRatioPlane()
    assert (plane.step, plane.history, plane.cloud_mean) == (None, None, None)


def test_the_error_for_an_unrecorded_step_lists_the_steps() -> None:
    plane, words = LogRatioPlane(history=history()), "step must be one of the recorded steps 0, 8, 16, found 5"
    with pytest.raises(traitlets.TraitError, match=words):
        plane.step = 5
    with pytest.raises(traitlets.TraitError, match=words):
        LogRatioPlane(history=history(), step=5)
    plane.set_state({"shown_step": 5})
    assert words in plane.error_message
    assert plane.step == 16


def test_a_saved_history_and_an_unknown_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(history().to_json())
    assert LogRatioPlane(history=path).cloud_mean == (-2.0, -6.0)
    with pytest.raises(ValueError, match=r"history must be .*, found 'tomorrow'"):
        LogRatioPlane(history="tomorrow")


@pytest.mark.parametrize("name", bundled_histories())
def test_the_cloud_of_a_bundled_history_lies_on_the_line_of_the_kl(name: str) -> None:
    """E[log π - log π_ref] = -KL over samples of the reference, within four standard errors over pairs."""
    found = LogRatioPlane(history=name).history
    assert found is not None
    assert found.kl is not None
    middles = found.log_ratios.mean(dim=2)  # (steps, pairs)
    errors = middles.std(dim=1) / middles.shape[1] ** 0.5
    for mean, error, kl in zip(middles.mean(dim=1).tolist(), errors.tolist(), found.kl, strict=True):
        assert mean == pytest.approx(-kl, abs=4 * error + 0.02)

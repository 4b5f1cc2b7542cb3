"""The widgets of notebook 03 show values that can be computed by hand."""

import math

import pytest
from traitlets import TraitError

from dpo_teach.widgets import BetaRoles, GradientWeights, LogpsWorkbench
from dpo_teach.widgets.gradient_weights import BATCHES


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.fixture(scope="module")
def weights() -> GradientWeights:
    return GradientWeights()


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
def test_at_the_start_every_weight_is_half_of_beta(weights: GradientWeights, beta: float) -> None:
    weights.set(batch="at the start", beta=beta, moved=0.0)
    assert weights.weights.tolist() == pytest.approx([beta / 2] * 4)
    assert "(25 %)" in repr(weights)


@pytest.mark.parametrize("batch", BATCHES)
def test_the_weights_follow_the_formula(weights: GradientWeights, batch: str) -> None:
    weights.set(batch=batch, beta=0.3, moved=-1.5)
    expected = [0.3 * sigmoid(-0.3 * (difference - 1.5)) for difference in BATCHES[batch]]
    assert weights.weights.tolist() == pytest.approx(expected)


def test_moving_all_pairs_changes_the_weights_but_not_their_order(weights: GradientWeights) -> None:
    pulls = []
    for moved in (-20.0, 0.0, 20.0):
        weights.set(batch="the four examples", beta=0.1, moved=moved)
        assert weights.weights.argsort().tolist()[-1] == 3
        pulls.append(weights.weights.sum().item())
    assert pulls == sorted(pulls, reverse=True)


def test_a_batch_resets_the_common_move() -> None:
    panel = GradientWeights()
    panel.moved = -20.0
    assert panel.batch == "the four examples"
    panel.batch = "one badly wrong"
    assert (panel.moved, tuple(panel.differences)) == (0.0, BATCHES["one badly wrong"])
    panel.set(batch="the four examples", moved=3.0)
    assert panel.moved == 3.0
    panel.batch = "your own"  # changes nothing
    assert panel.moved == 3.0


def test_an_unknown_batch_is_rejected() -> None:
    with pytest.raises(TraitError, match=r"batch must be one of at the start,.*found 'tomorrow'"):
        GradientWeights(batch="tomorrow")


def test_a_larger_beta_gives_a_steeper_loss_and_a_closer_optimum() -> None:
    panel = BetaRoles()
    distances = []
    for beta in (0.1, 0.5, 1.0, 5.0, 10.0):
        panel.beta = beta
        assert panel.slope == pytest.approx(beta / 2)
        distances.append(panel.kl)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01
    assert distances[0] > 3


MISTAKES = {
    "shift none": {"shift": "none"},
    "shift wrong": {"shift": "wrong way"},
    "prompt": {"count_prompt": True},
    "padding": {"count_padding": True},
    "mean": {"mean": True},
    "left": {"pad_left": True},
}


def test_every_mistake_gives_a_different_wrong_number() -> None:
    panel = LogpsWorkbench()
    found = {"right": panel.result}
    assert panel.is_right
    assert repr(panel).endswith("right")
    for name, settings in MISTAKES.items():
        wrong = LogpsWorkbench(**settings)
        assert not wrong.is_right
        assert repr(wrong).endswith(f"{panel.result:.4f} is right")
        found[name] = wrong.result
    assert len({round(value, 3) for value in found.values()}) == 1 + len(MISTAKES)
    assert found["mean"] == pytest.approx(found["right"] / 3)  # three words in the response

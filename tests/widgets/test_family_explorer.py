"""The explorer of the family: its numbers against closed forms, and the settings that come with a loss."""

import math

import pytest
import torch

from dpo_teach.loss_family import LOSSES, PairLogps, compute_losses
from dpo_teach.widgets import LossFamily
from dpo_teach.widgets.family_numbers import REFERENCE_MEAN_LOGP, best_difference, read_family


def a_pair() -> PairLogps:
    one = torch.ones(1)
    return PairLogps(-30 * one, -33 * one, -31 * one, -31 * one, 24 * one, 20 * one)


def test_typical_settings_are_settings_of_the_loss() -> None:
    for name, member in LOSSES.items():
        assert set(member.typical) <= set(member.settings), name
        assert compute_losses(a_pair(), name, **member.typical).isfinite().all()


@pytest.mark.parametrize(
    ("loss", "settings", "expected"),
    [
        ("sigmoid", {"beta": 0.5, "label_smoothing": 0.1}, math.log(9) / 0.5),  # logit(0.9) / β
        ("hinge", {"beta": 0.2}, 5.0),  # 1 / β
        ("ipo", {"beta": 0.1}, 5.0),  # 1 / (2β)
        ("ipo_mean", {"beta": 2.0}, 6.0),  # 24 tokens x 1 / (2β)
        ("sigmoid", {"beta": 0.5}, None),
        ("robust", {"beta": 0.5, "label_smoothing": 0.1}, None),
        ("kto", {"beta": 0.5}, None),
    ],
)
def test_a_loss_stops_falling_where_its_formula_says(
    loss: str, settings: dict[str, float], expected: float | None
) -> None:
    found = best_difference(loss, 0.0, settings=settings)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_the_pull_is_the_gradient_weight_of_dpo() -> None:
    point = read_family("sigmoid", -4.0, -8.0, settings={"beta": 0.1})  # as in test_log_ratio_plane
    assert point.chosen_pull == pytest.approx(0.1 / (1 + math.exp(0.4)))
    assert point.rejected_pull == -point.chosen_pull


def test_a_loss_without_a_reference_reads_log_probabilities() -> None:
    """SimPO with equal log-probabilities per token: log(1 + exp(γ)), whatever the lengths."""
    point = read_family("simpo", 0.0, 0.0, settings={"beta": 2.0, "gamma": 0.5}, lengths=(30.0, 20.0))
    assert point.loss == pytest.approx(math.log1p(math.exp(0.5)))
    assert read_family("rpo", 0.0, 0.0, settings={"sft_weight": 2.0}).loss == pytest.approx(
        math.log(2) - 2 * REFERENCE_MEAN_LOGP
    )


def test_a_loss_comes_with_its_typical_settings_unless_others_are_given() -> None:
    assert LossFamily(loss="simpo").beta == 2.0
    assert LossFamily(loss="simpo", beta=3.0).beta == 3.0
    family = LossFamily()
    family.set(loss="ipo_mean")
    assert (family.beta, family.best_difference) == (1.0, 12.0)  # 24 tokens x 1 / 2
    family.set(loss="hinge", beta=0.5)
    assert (family.beta, family.best_difference) == (0.5, 2.0)


def test_the_description_names_what_the_loss_uses_and_nothing_else() -> None:
    text = repr(LossFamily(loss="kto", kl=3.0, compared="none"))
    assert "KTO with beta 0.1, kl 3," in text
    assert "tokens" not in text
    assert "24 and 30 tokens" in repr(LossFamily(loss="simpo", rejected_length=30.0))

"""The family of direct-alignment losses: values by hand, gradients against the formula, limits, and refusals."""

import inspect
import math
from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpo_teach import compute_dpo_loss
from dpo_teach.loss_family import LOSSES, PairLogps, compute_losses, family_metrics, find_member
from dpo_teach.losses import pair_metrics
from dpo_teach.training.config import DPOConfig, Loss

# Two pairs. With β = 0.5, the rewards are +1 and -1 (margin 2), and -0.5 and +1 (margin -1.5).
#   log-ratios of the chosen responses: 2, -1; of the rejected responses: -2, 2
#   log-ratios per token: chosen 2/4, -1/5; rejected -2/2, 2/10; their differences: 1.5, -0.4
#   mean logps: chosen -2, -1; rejected -6, -0.5; their differences: 4, -0.5
POLICY = torch.tensor([[-8.0, -12.0], [-5.0, -5.0]], dtype=torch.float64)
REFERENCE = torch.tensor([[-10.0, -10.0], [-4.0, -7.0]], dtype=torch.float64)
LENGTHS = torch.tensor([[4.0, 2.0], [5.0, 10.0]], dtype=torch.float64)


def two_pairs(**changes):
    return replace(PairLogps.from_columns(POLICY, REFERENCE, LENGTHS), **changes)


def at_margin(m, length=3.0):
    """One pair whose log-ratios differ by `m`, half of it from each response, with nothing else in its favour."""
    column = torch.zeros(1, dtype=torch.float64)
    return PairLogps(column + m / 2 - 9, column - m / 2 - 9, column - 9, column - 9, column + length, column + length)


def nll(u):
    return math.log1p(math.exp(-u))


def s(u):
    return 1 / (1 + math.exp(-u))


def log_odds(log_p):
    return math.log(math.exp(log_p) / (1 - math.exp(log_p)))


# name: (settings, the losses of the two pairs)
BY_HAND = {
    "sigmoid": ({}, [nll(2), nll(-1.5)]),
    "sigmoid with smoothing": ({"label_smoothing": 0.25}, [0.75 * nll(2) + 0.25 * nll(-2),
                                                           0.75 * nll(-1.5) + 0.25 * nll(1.5)]),
    "robust": ({"label_smoothing": 0.25}, [(0.75 * nll(2) - 0.25 * nll(-2)) / 0.5,
                                           (0.75 * nll(-1.5) - 0.25 * nll(1.5)) / 0.5]),
    "hinge": ({}, [0.0, 2.5]),
    "ipo": ({}, [(4 - 1) ** 2, (-3 - 1) ** 2]),
    "ipo_mean": ({}, [(1.5 - 1) ** 2, (-0.4 - 1) ** 2]),
    "sigmoid_norm": ({}, [nll(0.75), nll(-0.2)]),
    "simpo": ({"gamma": 0.5}, [nll(1.5), nll(-0.75)]),
    "orpo": ({}, [2 + 0.5 * nll(log_odds(-2) - log_odds(-6)), 1 + 0.5 * nll(log_odds(-1) - log_odds(-0.5))]),
    "kto": ({}, [(1 - s(1) + s(-1)) / 2, (1 - s(-0.5) + s(1)) / 2]),
    "apo_zero": ({}, [1 - s(1) + s(-1), 1 - s(-0.5) + s(1)]),
    "apo_down": ({}, [s(1) + 1 - s(2), s(-0.5) + 1 - s(-1.5)]),
    "rpo": ({"sft_weight": 0.1}, [nll(2) + 0.2, nll(-1.5) + 0.1]),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_values_by_hand(case):
    settings, expected = BY_HAND[case]
    found = compute_losses(two_pairs(), case.split()[0], beta=0.5, **settings)
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_every_member_has_values_by_hand_and_a_name_on_the_command_line():
    assert {case.split()[0] for case in BY_HAND} == set(LOSSES)
    assert get_args(Loss) == tuple(LOSSES), "repeat the name in Loss, in dpo_teach/training/config.py"
    defaults = {field.name: field.default for field in fields(DPOConfig)}
    for member in LOSSES.values():
        parameters = list(inspect.signature(member.function).parameters.values())[1:]
        assert {one.name: one.default for one in parameters}.items() <= defaults.items(), "settings of DPOConfig"


@pytest.mark.parametrize("name", LOSSES)
def test_every_docstring_has_a_formula_a_source_and_the_optimum(name):
    text = inspect.getdoc(LOSSES[name].function)
    assert all(part in text for part in ("ℓ = ", "arXiv:", "Against ", "Typical values:", "Optimum:", ">>> "))


# Gradients: of the chosen and rejected logp of each pair, with β = 0.5; w = β σ(-m)

W = [0.5 * s(-2), 0.5 * s(1.5)]
UP, DOWN = ([0.5 * s(r) * s(-r) for r in rewards] for rewards in ([1, -0.5], [-1, 1]))  # β σ'(reward)
OF_MARGIN = [0.5 * s(m) * s(-m) for m in (2, -1.5)]


def odds_weight(chosen, rejected):
    return 0.5 * s(log_odds(rejected) - log_odds(chosen))


ODDS = [odds_weight(-2, -6), odds_weight(-1, -0.5)]
OF_ODDS = [[1 / (1 - math.exp(m)) for m in row] for row in ([-2, -6], [-1, -0.5])]  # d log-odds / d log p

GRADIENTS = {
    "sigmoid": ({}, [[-W[0], W[0]], [-W[1], W[1]]]),
    "sigmoid with smoothing": ({"label_smoothing": 0.25}, [[0.125 - W[0], W[0] - 0.125], [0.125 - W[1], W[1] - 0.125]]),
    "robust": ({"label_smoothing": 0.25}, [[-W[0] - 0.25, W[0] + 0.25], [-W[1] - 0.25, W[1] + 0.25]]),
    "hinge": ({}, [[0, 0], [-0.5, 0.5]]),
    "ipo": ({}, [[2 * 3, -2 * 3], [2 * -4, -2 * -4]]),
    "ipo_mean": ({}, [[2 * 0.5 / 4, -2 * 0.5 / 2], [2 * -1.4 / 5, -2 * -1.4 / 10]]),
    "sigmoid_norm": ({}, [[-0.5 * s(-0.75) / 4, 0.5 * s(-0.75) / 2], [-0.5 * s(0.2) / 5, 0.5 * s(0.2) / 10]]),
    "simpo": ({"gamma": 0.5}, [[-0.5 * s(-1.5) / 4, 0.5 * s(-1.5) / 2], [-0.5 * s(0.75) / 5, 0.5 * s(0.75) / 10]]),
    "orpo": ({}, [[(-1 - ODDS[0] * OF_ODDS[0][0]) / 4, ODDS[0] * OF_ODDS[0][1] / 2],
                  [(-1 - ODDS[1] * OF_ODDS[1][0]) / 5, ODDS[1] * OF_ODDS[1][1] / 10]]),
    "kto": ({}, [[-UP[0] / 2, DOWN[0] / 2], [-UP[1] / 2, DOWN[1] / 2]]),
    "apo_zero": ({}, [[-UP[0], DOWN[0]], [-UP[1], DOWN[1]]]),
    "apo_down": ({}, [[UP[0] - OF_MARGIN[0], OF_MARGIN[0]], [UP[1] - OF_MARGIN[1], OF_MARGIN[1]]]),
    "rpo": ({"sft_weight": 0.1}, [[-W[0] - 0.1 / 4, W[0]], [-W[1] - 0.1 / 5, W[1]]]),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_autograd_agrees_with_the_gradient_of_the_formula(case):
    settings, expected = GRADIENTS[case]
    policy = POLICY.clone().requires_grad_()
    logps = PairLogps.from_columns(policy, REFERENCE, LENGTHS)
    (slopes,) = torch.autograd.grad(compute_losses(logps, case.split()[0], beta=0.5, **settings).sum(), policy)
    torch.testing.assert_close(slopes, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


# Limits


def slope_in_margin(name, m, **settings):
    m = torch.tensor(m, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(compute_losses(at_margin(m), name, **settings).sum(), m)
    return slope.item()


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_ipo_is_least_at_its_target(beta):
    target = 1 / (2 * beta)
    assert compute_losses(at_margin(target), "ipo", beta=beta).item() == pytest.approx(0, abs=1e-12)
    assert slope_in_margin("ipo", target - 0.1, beta=beta) < 0 < slope_in_margin("ipo", target + 0.1, beta=beta)
    assert compute_losses(at_margin(3 * target, length=3.0), "ipo_mean", beta=beta).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.25, 0.4])
def test_smoothing_is_least_where_the_margin_is_the_logit_of_1_minus_epsilon(epsilon):
    best = math.log((1 - epsilon) / epsilon)
    settings = {"beta": 0.5, "label_smoothing": epsilon}
    assert slope_in_margin("sigmoid", best / 0.5, **settings) == pytest.approx(0, abs=1e-12)
    assert slope_in_margin("sigmoid", (best - 0.1) / 0.5, **settings) < 0
    assert slope_in_margin("sigmoid", (best + 0.1) / 0.5, **settings) > 0
    assert slope_in_margin("robust", 50.0, **settings) == pytest.approx(-0.5 * epsilon / (1 - 2 * epsilon), rel=1e-9)


def test_hinge_stops_at_a_margin_of_1():
    assert slope_in_margin("hinge", 9.9, beta=0.1) == pytest.approx(-0.1)
    assert slope_in_margin("hinge", 10.1, beta=0.1) == 0
    assert compute_losses(at_margin(10.1), "hinge", beta=0.1).item() == 0


def test_settings_at_their_limits_give_dpo():
    dpo = compute_losses(two_pairs(), beta=0.5)
    for name, settings in {"robust": {}, "rpo": {"sft_weight": 0.0}}.items():
        torch.testing.assert_close(compute_losses(two_pairs(), name, beta=0.5, **settings), dpo)
    one_token = two_pairs(chosen_length=torch.ones(2).double(), rejected_length=torch.ones(2).double())
    torch.testing.assert_close(compute_losses(one_token, "sigmoid_norm", beta=0.5), dpo)
    torch.testing.assert_close(compute_losses(one_token, "ipo_mean"), compute_losses(two_pairs(), "ipo"))


@given(flip=st.floats(0.01, 0.45), m=st.floats(-20, 20))
def test_robust_is_unbiased_under_flipped_labels(flip, m):
    clean, flipped = (compute_losses(at_margin(u), "robust", beta=1.0, label_smoothing=flip) for u in (m, -m))
    expected = (1 - flip) * clean + flip * flipped
    assert expected.item() == pytest.approx(compute_losses(at_margin(m), beta=1.0).item(), rel=1e-6, abs=1e-9)


def test_kto_compares_each_response_with_the_kl():
    rows = compute_losses(two_pairs(kl=torch.tensor(2.0, dtype=torch.float64)), "kto", beta=0.5)  # β z₀ = 1
    assert rows.tolist() == pytest.approx([(1 - s(0) + 1 - s(2)) / 2, (1 - s(-1.5) + 1 - s(0)) / 2], abs=1e-12)


def test_orpo_is_accurate_where_a_response_is_nearly_certain():
    # In float32, 1 - exp(-1e-8) rounds to 0 and its logarithm to -inf; the odds are 1e8.
    certain = torch.tensor([-1e-8], requires_grad=True)
    one = torch.ones(1)
    loss = compute_losses(PairLogps(certain, math.log(0.5) * one, one, one, one, one), "orpo", beta=1.0)
    (slope,) = torch.autograd.grad(loss.sum(), certain)
    assert loss.item() == pytest.approx(2e-8, rel=1e-3)
    assert math.isfinite(slope.item())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("m", [-2000.0, 2000.0])
def test_extreme_margins_do_not_overflow(name, m):
    column = torch.zeros(1)
    chosen = (column + min(m, 0) - 9).requires_grad_()
    logps = PairLogps(chosen, column + min(-m, 0) - 9, column - 9, column - 9, column + 3, column + 3)
    loss = compute_losses(logps, name, beta=1.0)
    (slope,) = torch.autograd.grad(loss.sum(), chosen)
    assert loss.isfinite().all() and slope.isfinite().all()


# What the trainer uses


def test_the_default_equals_the_dpo_loss_bit_for_bit():
    logps = PairLogps.from_columns(POLICY.float(), REFERENCE.float(), LENGTHS.float())
    found, expected = (
        family_metrics(logps, "sigmoid", {"beta": 0.3}),
        pair_metrics(POLICY.float(), REFERENCE.float(), 0.3),
    )
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    dpo = compute_dpo_loss(*POLICY.unbind(1), *REFERENCE.unbind(1), beta=0.3)
    assert compute_losses(two_pairs(), beta=0.3).mean().item() == dpo.item()


@pytest.mark.parametrize("name", LOSSES)
def test_metrics_keep_their_meaning(name):
    settings = dict.fromkeys(LOSSES[name].settings, 0.25)
    found = family_metrics(two_pairs(), name, settings)
    assert torch.equal(found.pop("loss"), compute_losses(two_pairs(), name, **settings))
    if LOSSES[name].needs_kl:
        assert found.pop("mismatched_kl").tolist() == [0, 0]
    if LOSSES[name].needs_reference:
        expected = pair_metrics(POLICY, REFERENCE, 0.25)
        del expected["loss"]
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    else:
        assert "margin" not in found and "chosen_rewards" not in found and "preference_accuracy" not in found
        assert found["mean_logp_margin"].tolist() == [4, -0.5]
        assert found["mean_logp_accuracy"].tolist() == [1, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_only_members_without_a_reference_accept_pairs_without_one(name):
    missing = torch.full((2,), math.nan, dtype=torch.float64)
    logps = two_pairs(reference_chosen=missing, reference_rejected=missing)
    if LOSSES[name].needs_reference:
        assert LOSSES[name].function(logps).isnan().all(), "it does not use its reference"
        with pytest.raises(ValueError, match=r"^reference_chosen must be finite"):
            compute_losses(logps, name)
    else:
        assert torch.equal(compute_losses(logps, name), compute_losses(two_pairs(), name))


@pytest.mark.parametrize("name", LOSSES)
def test_only_kto_uses_the_kl(name):
    changed = compute_losses(two_pairs(kl=torch.tensor(3.0, dtype=torch.float64)), name)
    assert torch.equal(changed, compute_losses(two_pairs(), name)) != LOSSES[name].needs_kl


# Refusals


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match=r"^loss must be one of sigmoid, robust, .*, rpo, found 'dpo'$"):
        find_member("dpo")


@pytest.mark.parametrize(("settings", "message"), [
    ({"beta": 0.0}, "beta must be a finite number above 0, found 0.0"),
    ({"label_smoothing": 0.5}, "label_smoothing must be at least 0 and below 0.5, found 0.5"),
    ({"label_smoothing": math.nan}, "label_smoothing must be at least 0 and below 0.5, found nan"),
    ({"gamma": 0.5}, "gamma=0.5 is not used by loss 'sigmoid', which uses beta, label_smoothing"),
])  # fmt: skip
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError) as caught:
        compute_losses(two_pairs(), **settings)
    assert str(caught.value) == message


def test_settings_of_other_members_are_checked():
    for name, setting in (("simpo", "gamma"), ("rpo", "sft_weight")):
        for value in (-1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match=rf"^{setting} must be a finite number of at least 0, found {value}$"):
                compute_losses(two_pairs(), name, **{setting: value})


def test_shapes_are_checked(unchecked_shapes):
    with pytest.raises(ValueError, match=r"^chosen_length has shape \(1,\), but policy_chosen has shape \(2,\)"):
        compute_losses(two_pairs(chosen_length=torch.ones(1)), "sigmoid_norm")

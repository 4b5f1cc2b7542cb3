"""The loss and related quantities: the numbers of notebook 01, hand-computed values, and identities of DPO."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from dpo_teach import compute_dpo_loss, compute_implicit_reward, gradient_weight, margin
from dpo_teach.losses import dpo_losses, pair_metrics, preference_nll

# The four examples of notebook 01: the reference assigns the same logp to both responses of a pair.
POLICY_CHOSEN = torch.tensor([-50.0, -45.0, -55.0, -48.0])
POLICY_REJECTED = torch.tensor([-52.0, -48.0, -58.0, -46.0])
REFERENCE = torch.tensor([-51.0, -46.0, -56.0, -49.0])

LOGPS = ["policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps"]

logps = st.floats(-500, 0)
betas = st.floats(0.01, 5)


def four(n: int = 3) -> dict[str, torch.Tensor]:
    """Valid values for the four arguments, by name, for `n` pairs."""
    return {name: torch.full((n,), -10.0) for name in LOGPS}


def at_margin(u: float) -> torch.Tensor:
    """The loss of one pair with margin `u`, in float64, with beta 1 and only the chosen log-ratio not zero."""
    zero = torch.zeros(1, dtype=torch.float64)
    return compute_dpo_loss(zero + u, zero, zero, zero, beta=1.0)


# The numbers of notebook 01


def test_the_loss_of_notebook_01():
    loss = compute_dpo_loss(POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE, beta=0.1)
    assert f"{loss.item():.4f}" == "0.6262"
    assert loss.shape == ()


def test_the_margins_of_notebook_01():
    # Differences of log-ratios of 2, 3, 3 and -2 (a pair in the wrong order), times beta.
    margins = margin(POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE, beta=0.1)
    assert [f"{m:+.3f}" for m in margins] == ["+0.200", "+0.300", "+0.300", "-0.200"]


def test_the_rewards_of_notebook_01():
    chosen = compute_implicit_reward(POLICY_CHOSEN, REFERENCE, beta=0.1)
    rejected = compute_implicit_reward(POLICY_REJECTED, REFERENCE, beta=0.1)
    assert [f"{r:+.3f}" for r in chosen] == ["+0.100"] * 4
    assert [f"{r:+.3f}" for r in rejected] == ["-0.100", "-0.200", "-0.200", "+0.300"]
    assert f"{chosen.mean():+.3f}" == "+0.100"
    assert f"{rejected.mean():+.3f}" == "-0.050"


def test_the_default_beta_is_a_tenth():
    loss = compute_dpo_loss(POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE)
    assert f"{loss.item():.4f}" == "0.6262"
    assert compute_implicit_reward(POLICY_REJECTED, REFERENCE)[3].item() == pytest.approx(0.3)
    assert gradient_weight(torch.zeros(1)).item() == pytest.approx(0.05)


# Hand-computed values: at a margin of ln k, the probability of the label is k / (k + 1)


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        (0.0, math.log(2)),  # 1/2: at the start of training
        (math.log(3), math.log(4 / 3)),  # 3/4
        (-math.log(3), math.log(4)),  # 1/4
        (math.log(9), math.log(10 / 9)),  # 9/10
    ],
)
def test_the_loss_of_one_pair(u, expected):
    assert at_margin(u).item() == pytest.approx(expected, abs=1e-12)


def test_the_loss_is_a_mean_over_pairs():
    zero = torch.zeros(2, dtype=torch.float64)
    loss = compute_dpo_loss(torch.tensor([0.0, math.log(3)], dtype=torch.float64), zero, zero, zero, beta=1.0)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2, abs=1e-12)


def test_no_arguments_are_swapped():
    # 0.5 ((-1 - -3) - (-4 - -8)) = -1: swapping any two arguments gives a different number.
    one = torch.ones(1)
    assert margin(-1 * one, -4 * one, -3 * one, -8 * one, beta=0.5).tolist() == [-1.0]
    assert compute_implicit_reward(-1 * one, -3 * one, beta=0.5).tolist() == [1.0]


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
def test_at_the_start_the_loss_is_ln_2_and_the_gradient_is_not_zero(beta):
    chosen = REFERENCE.clone().requires_grad_()
    loss = compute_dpo_loss(chosen, POLICY_REJECTED, REFERENCE, POLICY_REJECTED, beta)
    (slope,) = torch.autograd.grad(loss, chosen)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    assert slope.tolist() == pytest.approx([-beta / 2 / 4] * 4)
    assert compute_implicit_reward(REFERENCE, REFERENCE, beta).tolist() == [0.0] * 4
    assert gradient_weight(torch.zeros(4), beta).tolist() == pytest.approx([beta / 2] * 4)


def test_the_gradient_weight_at_hand_computed_margins():
    # beta sigma(-m): sigma(-m) is 1/4 at m = ln 3 and 3/4 at m = -ln 3.
    margins = torch.tensor([math.log(3), -math.log(3)])
    assert gradient_weight(margins, beta=1.0).tolist() == pytest.approx([0.25, 0.75])
    assert gradient_weight(margins, beta=0.2).tolist() == pytest.approx([0.05, 0.15])


# Identities


@given(u=st.floats(-300, 300))
def test_the_losses_of_opposite_margins_differ_by_the_margin(u):
    assert (at_margin(u) - at_margin(-u)).item() == pytest.approx(-u, abs=1e-9)


@given(u=st.floats(-2000, 2000))
def test_the_loss_is_never_below_zero_nor_below_minus_the_margin(u):
    assert at_margin(u).item() >= max(0.0, -u)


@given(values=st.tuples(logps, logps, logps, logps), shift=st.floats(-100, 100), beta=betas)
def test_a_constant_on_both_logps_of_one_model_changes_nothing(values, shift, beta):
    chosen, rejected, ref_chosen, ref_rejected = torch.tensor(values, dtype=torch.float64).view(4, 1)
    before = margin(chosen, rejected, ref_chosen, ref_rejected, beta)
    policy_shifted = margin(chosen + shift, rejected + shift, ref_chosen, ref_rejected, beta)
    reference_shifted = margin(chosen, rejected, ref_chosen + shift, ref_rejected + shift, beta)
    assert policy_shifted.item() == pytest.approx(before.item(), abs=1e-9)
    assert reference_shifted.item() == pytest.approx(before.item(), abs=1e-9)


@given(values=st.tuples(logps, logps, logps, logps), beta=betas)
def test_swapping_the_labels_negates_the_margin(values, beta):
    chosen, rejected, ref_chosen, ref_rejected = torch.tensor(values, dtype=torch.float64).view(4, 1)
    forward = margin(chosen, rejected, ref_chosen, ref_rejected, beta)
    assert margin(rejected, chosen, ref_rejected, ref_chosen, beta).item() == -forward.item()


@given(rows=st.lists(st.tuples(logps, logps, logps, logps), min_size=1, max_size=6), beta=betas)
def test_autograd_agrees_with_the_gradient_weight(rows, beta):
    columns = torch.tensor(rows, dtype=torch.float64).T.clone().requires_grad_()
    loss = compute_dpo_loss(*columns, beta)
    (slopes,) = torch.autograd.grad(loss, columns)
    pull = gradient_weight(margin(*columns.detach(), beta), beta) / len(rows)
    # Negative for the policy's chosen response, positive for its rejected response, and opposite for the reference.
    torch.testing.assert_close(slopes, torch.stack([-pull, pull, pull, -pull]), rtol=1e-9, atol=1e-12)


def test_gradients_pass_gradcheck():
    columns = [c.double().requires_grad_() for c in (POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE)]
    assert torch.autograd.gradcheck(lambda *four: compute_dpo_loss(*four, beta=0.3), columns)
    assert torch.autograd.gradcheck(lambda m: gradient_weight(m, beta=0.3), [torch.randn(5).double().requires_grad_()])


def test_the_order_of_the_pairs_changes_nothing():
    order = torch.tensor([2, 0, 3, 1])
    columns = [POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE]
    margins = margin(*columns)
    assert margin(*[c[order] for c in columns]).tolist() == margins[order].tolist()
    torch.testing.assert_close(compute_dpo_loss(*[c[order] for c in columns]), compute_dpo_loss(*columns))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", [-2000.0, -200.0, 200.0, 2000.0])
def test_extreme_margins_do_not_overflow(u, dtype):
    # log(sigmoid(-200)) is -inf in float32, but the loss is 200 and its slope -1. For large margins both are 0.
    chosen = torch.tensor([u], dtype=dtype, requires_grad=True)
    zero = torch.zeros(1, dtype=dtype)
    loss = compute_dpo_loss(chosen, zero, zero, zero, beta=1.0)
    (slope,) = torch.autograd.grad(loss, chosen)
    assert loss.item() == pytest.approx(max(0.0, -u), abs=1e-30)
    assert slope.item() == pytest.approx(-1.0 if u < 0 else 0.0, abs=1e-30)
    assert loss.dtype == dtype


# Losses per pair, as used by the trainer


def test_the_loss_of_each_pair():
    # Margins of ln 3, -ln 3 and 0: the label's probability is 3/4, 1/4 and 1/2.
    zero = torch.zeros(3, dtype=torch.float64)
    losses = dpo_losses(zero + torch.tensor([1.0, -1.0, 0.0]) * 2 * math.log(3), zero, zero, zero, beta=0.5)
    assert losses.tolist() == pytest.approx([math.log(4 / 3), math.log(4), math.log(2)], abs=1e-7)


def test_the_mean_over_pairs_is_the_loss_of_the_batch():
    columns = [POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE]
    assert dpo_losses(*columns, beta=0.3).mean().item() == compute_dpo_loss(*columns, beta=0.3).item()


def test_pair_metrics_agree_with_the_public_functions():
    policy, reference = torch.stack([POLICY_CHOSEN, POLICY_REJECTED], dim=1), torch.stack([REFERENCE, REFERENCE], dim=1)
    found = pair_metrics(policy, reference, beta=0.1)
    assert [f"{value:.4f}" for value in found["loss"]] == ["0.5981", "0.5544", "0.5544", "0.7981"]
    assert found["loss"].mean().item() == compute_dpo_loss(POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE).item()
    assert found["margin"].tolist() == margin(POLICY_CHOSEN, POLICY_REJECTED, REFERENCE, REFERENCE).tolist()
    assert found["preference_accuracy"].tolist() == [1, 1, 1, 0]
    assert found["chosen_logps"].tolist() == POLICY_CHOSEN.tolist()
    assert found["chosen_rewards"].tolist() == compute_implicit_reward(POLICY_CHOSEN, REFERENCE).tolist()
    assert found["rejected_rewards"].tolist() == compute_implicit_reward(POLICY_REJECTED, REFERENCE).tolist()


def test_a_nan_stays_a_nan_in_functions_without_checks():
    logps = torch.tensor([[math.nan, -1.0], [-2.0, -2.0]])
    found = pair_metrics(logps, torch.full((2, 2), -2.0))
    assert found["loss"].isnan().tolist() == found["margin"].isnan().tolist() == [True, False]


def test_preference_nll_is_near_zero_for_large_margins_and_near_minus_the_margin_for_small_ones():
    assert preference_nll(torch.tensor([[200.0, -200.0], [0.0, 2.0]])).flatten().tolist() == pytest.approx(
        [0.0, 200.0, math.log(2), math.log1p(math.exp(-2))], abs=1e-6
    )


# Invalid arguments are refused, and the error names them


@pytest.mark.parametrize("beta", [0.0, -1.0, -0.1, math.nan, math.inf, -math.inf])
def test_an_invalid_beta_is_refused(beta):
    for call in (
        lambda: compute_dpo_loss(**four(), beta=beta),
        lambda: margin(**four(), beta=beta),
        lambda: compute_implicit_reward(torch.zeros(2), torch.zeros(2), beta=beta),
        lambda: gradient_weight(torch.zeros(2), beta=beta),
    ):
        with pytest.raises(ValueError, match=rf"^beta must be .* found {beta}$"):
            call()


def test_a_beta_of_integer_zero_is_refused(unchecked_shapes):
    with pytest.raises(ValueError, match=r"^beta must be .* found 0$"):
        compute_dpo_loss(**four(), beta=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", LOGPS)
def test_logps_must_be_finite(name, bad):
    arguments = four()
    arguments[name][1] = bad
    with pytest.raises(ValueError, match=rf"^{name} must be finite, found {bad} at position 1$"):
        compute_dpo_loss(**arguments)
    with pytest.raises(ValueError, match=rf"^{name} "):
        margin(**arguments)


@pytest.mark.parametrize("name", ["policy_logps", "reference_logps"])
def test_logps_for_rewards_must_be_finite(name):
    arguments = {"policy_logps": torch.zeros(2), "reference_logps": torch.zeros(2)}
    arguments[name] = torch.tensor([math.nan, 0.0])
    with pytest.raises(ValueError, match=rf"^{name} must be finite, found nan at position 0$"):
        compute_implicit_reward(**arguments)


def test_margins_must_be_finite():
    with pytest.raises(ValueError, match=r"^margins must be finite, found nan at position 0$"):
        gradient_weight(torch.tensor([math.nan]))


@pytest.mark.parametrize("name", LOGPS[1:])
@pytest.mark.parametrize("shape", [(2,), (1,), (3, 1), ()])
def test_shapes_that_would_silently_broadcast_are_refused(name, shape, unchecked_shapes):
    arguments = four() | {name: torch.zeros(shape)}
    with pytest.raises(ValueError) as caught:
        compute_dpo_loss(**arguments)
    message = str(caught.value)
    assert message.startswith(f"{name} has shape {shape}")
    assert "policy_chosen_logps has shape (3,)" in message
    assert "\n" not in message


def test_a_first_argument_with_a_different_shape_is_named(unchecked_shapes):
    with pytest.raises(ValueError, match=r"policy_chosen_logps has shape \(1,\)"):
        compute_dpo_loss(**(four() | {"policy_chosen_logps": torch.zeros(1)}))


def test_logps_for_rewards_must_have_the_same_shape(unchecked_shapes):
    with pytest.raises(ValueError, match=r"^reference_logps has shape \(1,\), but policy_logps has shape \(2,\)"):
        compute_implicit_reward(torch.zeros(2), torch.zeros(1))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"^policy_chosen_logps is empty"):
        compute_dpo_loss(**four(0))
    with pytest.raises(ValueError, match=r"^policy_logps is empty"):
        compute_implicit_reward(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match=r"^margins is empty"):
        gradient_weight(torch.zeros(0))


def test_shapes_in_signatures_are_checked_in_tests():
    # Otherwise the shape checks could be off in all other tests without notice.
    with pytest.raises(TypeCheckError):
        compute_dpo_loss(**(four() | {"reference_chosen_logps": torch.zeros(2)}))

"""The functions of RLHF, one by one, compared with values worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpo_teach.rlhf import (
    PPOConfig,
    clip_fraction,
    clipped_surrogate,
    exact_advantages,
    explained_variance,
    fit_ppo,
    generalised_advantages,
    normalise_advantages,
    penalised_rewards,
    policy_loss,
    population_ppo_loss,
    value_loss,
)
from dpo_teach.worlds.tabular import TabularWorld, expected_reward, film_world, kl, objective, optimal_policy
from dpo_teach.worlds.tabular_fit import fit_dpo

# Two responses, of three and two tokens; 99 marks padding that must never be read.
MASK = torch.tensor([[True, True, True], [True, True, False]])


def test_penalised_rewards_worked_out_by_hand():
    logps = torch.tensor([[-1.0, -2.0, -0.5], [-1.0, -1.0, 99.0]])
    reference_logps = torch.tensor([[-1.5, -1.0, -0.5], [-3.0, -1.0, -99.0]])
    # first:  -0.1 * 0.5 = -0.05,  -0.1 * -1 = 0.1,  0 + 2 = 2;   second:  -0.1 * 2 = -0.2,  0 - 1 = -1, nothing
    expected = torch.tensor([[-0.05, 0.1, 2.0], [-0.2, -1.0, 0.0]])
    found = penalised_rewards(torch.tensor([2.0, -1.0]), logps, reference_logps, MASK, beta=0.1)
    torch.testing.assert_close(found, expected)
    # Summed over a response: the reward minus beta times its log-ratio, 2 - 0.1 * (-3.5 + 3) and -1 - 0.1 * 2.
    torch.testing.assert_close(found.sum(dim=1), torch.tensor([2.05, -1.2]))


def test_generalised_advantages_worked_out_by_hand():
    rewards = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 99.0]])
    values = torch.tensor([[0.5, 1.0, 1.5], [1.0, 2.0, 99.0]])
    # gamma 0.9, lambda 0.5: gamma lambda = 0.45. First response, from its end:
    #   delta_2 = 2 - 1.5 = 0.5                  A_2 = 0.5
    #   delta_1 = 0 + 0.9 * 1.5 - 1.0 = 0.35     A_1 = 0.35 + 0.45 * 0.5   = 0.575
    #   delta_0 = 1 + 0.9 * 1.0 - 0.5 = 1.4      A_0 = 1.4  + 0.45 * 0.575 = 1.65875
    # Second, which ends a token earlier:
    #   delta_1 = 3 - 2 = 1                      A_1 = 1
    #   delta_0 = 0 + 0.9 * 2 - 1 = 0.8          A_0 = 0.8 + 0.45 * 1 = 1.25
    expected = torch.tensor([[1.65875, 0.575, 0.5], [1.25, 1.0, 0.0]])
    torch.testing.assert_close(generalised_advantages(rewards, values, MASK, gamma=0.9, lam=0.5), expected)


def test_lambda_1_sums_all_later_rewards_and_lambda_0_looks_one_token_ahead():
    rewards, values = torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[0.5, 1.0, 1.5]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    found = generalised_advantages(rewards, values, mask, gamma=1.0, lam=1.0)
    torch.testing.assert_close(found, torch.tensor([[1.5, 1.0, 0.5]]))  # 2 - V
    found = generalised_advantages(rewards, values, mask, gamma=1.0, lam=0.0)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5, 0.5]]))  # V' - V, V' - V, 2 - V


def test_advantages_are_zero_under_a_perfect_value_model():
    rewards = torch.tensor([[0.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    values = torch.tensor([[2.0, 2.0, 2.0], [3.0, 3.0, 99.0]])
    assert generalised_advantages(rewards, values, MASK).abs().max() == 0


def test_normalised_advantages_have_mean_0_and_standard_deviation_1_over_real_tokens():
    # Real tokens 1, 2, 3, 4, 5: mean 3, variance (4 + 1 + 0 + 1 + 4) / 5 = 2.
    advantages = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 99.0]])
    expected = torch.tensor([[-2.0, -1.0, 0.0], [1.0, 2.0, 0.0]]) / math.sqrt(2)
    torch.testing.assert_close(normalise_advantages(advantages, MASK), expected)


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.7, 1e4])
def test_equal_advantages_are_normalised_to_zero(constant):
    advantages = torch.full((2, 3), constant)
    advantages[0, 1] *= 1 + 2e-7  # the last digit of a float32
    assert normalise_advantages(advantages, MASK).abs().max() == 0


def test_the_clipped_surrogate_below_at_and_above_ratio_1_for_both_signs():
    ratios = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5])
    advantages = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0])
    # A = 2:   min(1, 0.8*2) = 1,      min(2, 2) = 2,     min(3, 1.2*2) = 2.4: nothing is gained above 1.2
    # A = -2:  min(-1, 0.8*-2) = -1.6, min(-2, -2) = -2,  min(-3, 1.2*-2) = -3: a move the wrong way counts in full
    expected = torch.tensor([1.0, 2.0, 2.4, -1.6, -2.0, -3.0])
    torch.testing.assert_close(clipped_surrogate(ratios.log(), advantages, 0.2), expected)
    loss = policy_loss(ratios.log(), torch.zeros(6), advantages, 0.2)
    assert loss.item() == pytest.approx(-(1 + 2 + 2.4 - 1.6 - 2 - 3) / 6, abs=1e-6)


def test_the_gradient_is_zero_only_where_the_gain_is_clipped():
    logps = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5]).log().requires_grad_()
    policy_loss(logps, torch.zeros(6), torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0]), 0.2).backward()
    # d(-rho A / 6) / d log rho = -rho A / 6
    torch.testing.assert_close(logps.grad, torch.tensor([-1.0, -2.0, 0.0, 0.0, 2.0, 3.0]) / 6)


@given(st.floats(-3, 3), st.floats(-5, 5), st.floats(0.05, 0.95))
def test_the_clipped_surrogate_never_exceeds_the_unclipped_one(log_ratio, advantage, clip_range):
    one = torch.tensor([log_ratio], dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64)
    unclipped = one[0].exp() * one[1]
    assert (clipped_surrogate(*one, clip_range) <= unclipped + 1e-12).all()


def test_the_clip_fraction_counts_tokens_on_both_sides():
    # ratios 0.7 and 1.3 are outside 0.8 to 1.2, the other two are inside
    assert clip_fraction(torch.tensor([0.7, 0.9, 1.1, 1.3]).log(), 0.2) == 0.5


def test_the_value_loss_and_its_clipped_form():
    values, old, returns = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 3.0]), torch.tensor([2.0, 1.0])
    assert value_loss(values, returns).item() == (1 + 4) / 4  # half the mean of (1-2)^2 and (3-1)^2
    # clipped to old +- 0.5 the first becomes 0.5: max(1, 1.5^2) = 2.25; the second has not changed: 4
    assert value_loss(values, returns, old, clip_range=0.5).item() == (2.25 + 4) / 4
    with pytest.raises(ValueError, match="clip_range needs old_values"):
        value_loss(values, returns, clip_range=0.5)


def test_explained_variance_of_perfect_constant_and_wrong_predictions():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(torch.full((3,), 7.0), returns) == 0.0
    assert explained_variance(-returns, returns) == -3.0  # Var(2R) / Var(R) = 4
    assert explained_variance(returns, torch.ones(3)) == 0.0


def total_variation(one, other):
    return (one - other).abs().sum(dim=-1).max().item() / 2


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.1, 0.3, 1.0, 3.0])
def test_ppo_and_dpo_reach_the_closed_form(beta):
    world = film_world()
    optimum = optimal_policy(world.reference, world.reward, beta)
    assert total_variation(world.reference, optimum) > 0.1, "the reference must be far from the optimum"
    ppo, dpo = fit_ppo(world, beta), fit_dpo(world, beta)
    assert total_variation(ppo.policy, optimum) < 1e-2
    assert total_variation(dpo.policy, optimum) < 1e-2
    best = objective(optimum, world.reference, world.reward, beta).mean().item()
    assert ppo.history[-1] == pytest.approx(best, abs=1e-3) and ppo.history[0] < best - 0.05


@pytest.mark.slow
def test_ppo_with_another_beta_reaches_another_policy():
    world = film_world()
    optimum = optimal_policy(world.reference, world.reward, 1.0)
    assert total_variation(fit_ppo(world, 0.5).policy, optimum) > 0.1


@pytest.mark.slow
def test_a_constant_reward_leaves_the_tabular_policy_at_the_reference():
    world = film_world()
    world = TabularWorld(world.prompts, world.responses, world.reference, torch.full_like(world.reward, 1.5))
    fit = fit_ppo(world, beta=0.3)
    assert total_variation(fit.policy, world.reference) < 1e-3
    assert min(fit.history) > 1.5 - 0.02, "the policy stays near the reference throughout: 1.5 minus beta KL"


def test_exact_advantages_give_the_gradient_of_the_objective():
    """The policy gradient theorem, with the KL penalty as part of the reward; both gradients come from autograd."""
    world, beta = film_world(), 0.3
    logits = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    policy = logits.softmax(dim=-1)
    value = (expected_reward(policy, world.reward) - beta * kl(policy, world.reference)).mean()
    (expected,) = torch.autograd.grad(-value, logits)
    old_policy = policy.detach()
    loss = population_ppo_loss(logits, old_policy, exact_advantages(old_policy, world, beta))
    assert loss.item() == pytest.approx(0.0, abs=1e-12), "advantages average to 0 under their own policy"
    (found,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(found, expected)


def test_exact_advantages_worked_out_by_hand():
    world = TabularWorld(("x",), ("a", "b"), torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]]))
    # pi = (1/4, 3/4), beta 1: R = 0 - ln 1/2 and 1 - ln 3/2, minus their mean under pi.
    rewards = [math.log(2), 1 - math.log(1.5)]
    mean = 0.25 * rewards[0] + 0.75 * rewards[1]
    expected = torch.tensor([[rewards[0] - mean, rewards[1] - mean]])
    torch.testing.assert_close(exact_advantages(torch.tensor([[0.25, 0.75]]), world, beta=1.0), expected)


@pytest.mark.parametrize(("iterations", "epochs"), [(0, 1), (1, 0)])
def test_fit_ppo_needs_at_least_one_step(iterations, epochs):
    with pytest.raises(ValueError, match="must be at least 1, found 0"):
        fit_ppo(film_world(), 0.3, iterations, epochs=epochs)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("beta", -0.1), ("beta", math.nan), ("learning_rate", 0.0), ("value_learning_rate", math.inf),
        ("iterations", 0), ("rollouts", 0), ("epochs", -1), ("minibatch_size", 0), ("clip_range", 0.0),
        ("clip_range", 1.0), ("value_clip_range", 0.0), ("gamma", 1.5), ("gae_lambda", -0.1), ("max_grad_norm", 0.0),
        ("max_new_tokens", 0),
    ],
)  # fmt: skip
def test_invalid_ppo_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} must be .*found {value}"):
        PPOConfig(**{setting: value})

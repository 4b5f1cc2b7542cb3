"""The tabular world is exact, so its functions are checked against values worked out by hand and against identities."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dpo_teach.worlds.tabular import (
    TabularWorld,
    bradley_terry,
    expected_reward,
    film_world,
    kl,
    log_partition,
    objective,
    optimal_policy,
    reward_from_policies,
)
from dpo_teach.worlds.tabular_fit import (
    Annotator,
    certain_annotator,
    fit_dpo,
    fit_loss,
    optimise_objective,
    pair_weights,
    population_loss,
)

# beartype checks a random item of a long tuple, and hypothesis warns about the use of `random`.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

quick = settings(max_examples=50)
BETAS = st.floats(min_value=0.05, max_value=10.0)


@st.composite
def worlds(draw: st.DrawFn) -> TabularWorld:
    prompts, responses = draw(st.integers(1, 3)), draw(st.integers(2, 5))
    table = st.lists(
        st.lists(st.floats(-3.0, 3.0), min_size=responses, max_size=responses), min_size=prompts, max_size=prompts
    )
    logits, reward = (torch.tensor(draw(table), dtype=torch.float64) for _ in range(2))
    return TabularWorld(
        prompts=tuple(f"prompt {i}" for i in range(prompts)),
        responses=tuple(f"response {i}" for i in range(responses)),
        reference=logits.softmax(dim=-1),
        reward=reward,
    )


def total_variation(first: Tensor, second: Tensor) -> float:
    return 0.5 * (first - second).abs().sum(dim=-1).max().item()


# The closed form, by hand


def test_the_optimum_agrees_with_values_worked_out_by_hand() -> None:
    # 3/4 and 1/4, multiplied by e^0 = 1 and e^(ln 3) = 3, give 3/4 and 3/4: one half each, and Z = 3/2.
    reference = torch.tensor([[0.75, 0.25]], dtype=torch.float64)
    reward = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)
    assert optimal_policy(reference, reward, beta=1.0).tolist() == [pytest.approx([0.5, 0.5])]
    assert log_partition(reference, reward, beta=1.0).tolist() == pytest.approx([math.log(1.5)])
    # At β = 1/2 the factors are squared: 3/4 and 9/4.
    assert optimal_policy(reference, reward, beta=0.5)[0].tolist() == pytest.approx([0.25, 0.75])


def test_kl_agrees_with_values_worked_out_by_hand() -> None:
    policy = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]], dtype=torch.float64)
    reference = torch.tensor([[0.25, 0.25, 0.5], [0.25, 0.25, 0.5]], dtype=torch.float64)
    assert kl(policy, reference).tolist() == pytest.approx([math.log(2), 0.0])  # a probability of 0 adds nothing
    assert kl(reference, policy)[0].item() == math.inf  # half of the probability is where the other has none


def test_expected_reward_agrees_with_a_value_worked_out_by_hand() -> None:
    policy, reward = torch.tensor([[0.25, 0.75]]), torch.tensor([[-2.0, 2.0]])
    assert expected_reward(policy, reward).tolist() == [1.0]


def test_bradley_terry_agrees_with_a_value_worked_out_by_hand() -> None:
    three_to_one = bradley_terry(torch.tensor([math.log(3)]), torch.tensor([0.0]))
    assert three_to_one.item() == pytest.approx(0.75)


def test_a_small_beta_does_not_overflow() -> None:
    world = film_world()
    policy = optimal_policy(world.reference, world.reward, beta=1e-3)
    assert policy.argmax(dim=-1).tolist() == [5, 5, 5]
    # As β approaches 0, β log Z approaches the largest reward.
    assert (1e-3 * log_partition(world.reference, world.reward, 1e-3)).tolist() == pytest.approx([2, 2.5, 3], abs=0.01)


# Identities


@quick
@given(worlds(), BETAS)
def test_the_maximum_of_the_objective_is_beta_log_z(world: TabularWorld, beta: float) -> None:
    best = optimal_policy(world.reference, world.reward, beta)
    value = objective(best, world.reference, world.reward, beta)
    torch.testing.assert_close(value, beta * log_partition(world.reference, world.reward, beta))


@quick
@given(worlds(), worlds(), BETAS)
def test_no_policy_beats_the_optimum_and_the_gap_is_beta_times_a_kl(
    world: TabularWorld, other: TabularWorld, beta: float
) -> None:
    if other.reference.shape != world.reference.shape:
        other = world
    policy = other.reference
    best = optimal_policy(world.reference, world.reward, beta)
    gap = objective(best, world.reference, world.reward, beta) - objective(policy, world.reference, world.reward, beta)
    # J(π*) - J(π) = β KL(π ‖ π*), which is never below 0 (Rafailov et al. 2023, appendix A.1).
    torch.testing.assert_close(gap, beta * kl(policy, best), rtol=1e-6, atol=1e-9)
    assert (gap >= -1e-9).all()


@quick
@given(worlds(), BETAS, st.floats(-5.0, 5.0))
def test_adding_a_constant_per_prompt_to_the_reward_changes_only_z(
    world: TabularWorld, beta: float, constant: float
) -> None:
    shift = constant * torch.arange(1, len(world.prompts) + 1, dtype=torch.float64).unsqueeze(-1)
    shifted = world.reward + shift
    torch.testing.assert_close(
        optimal_policy(world.reference, shifted, beta), optimal_policy(world.reference, world.reward, beta)
    )
    torch.testing.assert_close(
        beta * log_partition(world.reference, shifted, beta),
        beta * log_partition(world.reference, world.reward, beta) + shift.squeeze(-1),
    )
    torch.testing.assert_close(pair_weights(replace(world, reward=shifted)), pair_weights(world))


@quick
@given(worlds(), BETAS)
def test_the_reward_is_recovered_from_two_policies(world: TabularWorld, beta: float) -> None:
    best = optimal_policy(world.reference, world.reward, beta)
    log_z = log_partition(world.reference, world.reward, beta)
    if best.min() < 1e-300:  # in float64 such a probability may be rounded to 0, and its logarithm is lost
        return
    torch.testing.assert_close(reward_from_policies(best, world.reference, beta, log_z), world.reward)
    implicit = reward_from_policies(best, world.reference, beta)
    torch.testing.assert_close(implicit - implicit[:, :1], world.reward - world.reward[:, :1])


@quick
@given(worlds(), worlds())
def test_kl_is_never_negative(world: TabularWorld, other: TabularWorld) -> None:
    assert (kl(world.reference, world.reference).abs() < 1e-12).all()
    if other.reference.shape == world.reference.shape:
        assert (kl(other.reference, world.reference) >= -1e-12).all()


@quick
@given(worlds(), BETAS, st.floats(1.1, 5.0))
def test_a_larger_beta_gives_a_lower_kl_and_a_lower_reward(world: TabularWorld, beta: float, factor: float) -> None:
    near = optimal_policy(world.reference, world.reward, beta * factor)
    far = optimal_policy(world.reference, world.reward, beta)
    assert (kl(near, world.reference) <= kl(far, world.reference) + 1e-9).all()
    assert (expected_reward(near, world.reward) <= expected_reward(far, world.reward) + 1e-9).all()


@quick
@given(worlds())
def test_the_probabilities_of_the_two_outcomes_of_a_comparison_sum_to_one(world: TabularWorld) -> None:
    reward = world.reward[0]
    torch.testing.assert_close(
        bradley_terry(reward, reward.flip(0)) + bradley_terry(reward.flip(0), reward), 0 * reward + 1
    )
    torch.testing.assert_close(pair_weights(world).sum(dim=(1, 2)), torch.ones_like(world.reward[:, 0]))


# The optimisations


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0, 10.0])
def test_gradient_ascent_reaches_the_closed_form(beta: float) -> None:
    world = film_world()
    climb = optimise_objective(world, beta)
    assert total_variation(climb.policy, optimal_policy(world.reference, world.reward, beta)) < 1e-4
    # It starts at the reference, whose KL is 0, and ends at β log Z.
    assert climb.history[0] == pytest.approx(expected_reward(world.reference, world.reward).mean().item())
    assert climb.history[-1] == pytest.approx(beta * log_partition(world.reference, world.reward, beta).mean().item())


@pytest.mark.slow
@settings(quick, max_examples=5)
@given(worlds())
def test_gradient_ascent_reaches_the_closed_form_in_any_world(world: TabularWorld) -> None:
    climb = optimise_objective(world, beta=0.5)
    assert total_variation(climb.policy, optimal_policy(world.reference, world.reward, 0.5)) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0, 10.0])
def test_dpo_reaches_the_closed_form_without_seeing_a_reward(beta: float) -> None:
    world = film_world()
    fit = fit_dpo(world, beta)
    assert total_variation(fit.policy, optimal_policy(world.reference, world.reward, beta)) < 1e-4
    assert fit.history[0] == pytest.approx(math.log(2))
    assert fit.history[-1] < fit.history[0]


@quick
@given(worlds(), BETAS)
def test_the_gradient_of_the_dpo_loss_is_zero_at_the_closed_form(world: TabularWorld, beta: float) -> None:
    # log π* = log π_ref + r/β - log Z, written out so that the logarithm of a tiny probability is exact
    logits = (world.reference.log() + world.reward / beta).requires_grad_()
    population_loss(logits, world, beta=beta).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-9 * max(1.0, beta)


def test_the_population_loss_agrees_with_values_worked_out_by_hand() -> None:
    # Two responses whose rewards differ by ln 3; the policy is the reference: every margin is 0, every -log σ is ln 2.
    world = TabularWorld(("p",), ("a", "b"), torch.tensor([[0.5, 0.5]]), torch.tensor([[math.log(3), 0.0]]))
    assert population_loss(world.reference.log(), world, beta=0.7).item() == pytest.approx(math.log(2))
    # a and b are drawn half of the time, and a wins 3 of 4: 3/8 and 1/8. The rest is a against a and b against b.
    assert pair_weights(world)[0].flatten().tolist() == pytest.approx([0.25, 0.375, 0.125, 0.25])
    # A policy with a margin of ln 3: 3/8 ln(4/3) + 1/8 ln 4 + 1/2 ln 2.
    tilted = world.reference.log() + torch.tensor([[math.log(3) / 0.7, 0.0]])
    expected = 3 / 8 * math.log(4 / 3) + 1 / 8 * math.log(4) + 1 / 2 * math.log(2)
    assert population_loss(tilted, world, beta=0.7).item() == pytest.approx(expected)


@pytest.mark.slow
def test_without_the_anchor_the_optimum_does_not_depend_on_the_reference() -> None:
    world = film_world()
    loose = fit_dpo(world, beta=1.0, anchor=False).policy
    # The minimiser is the softmax of the reward: a tilt of the uniform distribution, whatever the reference is.
    assert total_variation(loose, world.reward.softmax(dim=-1)) < 2e-3
    anchored = fit_dpo(world, beta=1.0).policy
    assert (kl(loose, world.reference) > 3 * kl(anchored, world.reference)).all()
    assert (
        objective(loose, world.reference, world.reward, 1.0) < objective(anchored, world.reference, world.reward, 1.0)
    ).all()


@pytest.mark.slow
def test_with_certain_annotators_the_anchor_does_not_stop_the_drift() -> None:
    # With certain labels there is no finite optimum: the longer the training, the further the policy drifts.
    world = film_world()
    short, long = (fit_dpo(world, 1.0, steps, annotator=certain_annotator).policy for steps in (50, 500))
    assert (kl(long, world.reference) > 2 * kl(short, world.reference)).all()
    assert (kl(long, world.reference) > 5 * kl(fit_dpo(world, 1.0).policy, world.reference)).all()


# The family


def flipping(share: float) -> Annotator:
    """An annotator of the Bradley-Terry model, a share of whose labels is flipped."""
    return lambda a, b: (1 - share) * bradley_terry(a, b) + share * bradley_terry(b, a)


@quick
@given(worlds(), BETAS, st.floats(0.0, 0.4))
def test_with_flipped_labels_the_expectation_of_robust_dpo_is_the_clean_dpo_loss(
    world: TabularWorld, beta: float, share: float
) -> None:
    logits = world.reference.log() + world.reward.flip(-1)  # any policy
    flipped = population_loss(logits, world, "robust", annotator=flipping(share), beta=beta, label_smoothing=share)
    clean = population_loss(logits, world, beta=beta)
    assert abs(flipped - clean) <= 1e-12 * max(1.0, clean.abs().item() / (1 - 2 * share))


@quick
@given(worlds(), st.floats(0.1, 10.0))
def test_the_optimum_of_ipo_tilts_the_reference_by_the_chance_to_win(world: TabularWorld, beta: float) -> None:
    """Azar et al. 2023, equation 7 with their Ψ: the reward is the chance to beat a response of the reference."""
    chance = bradley_terry(world.reward[:, :, None], world.reward[:, None, :])
    wins = (chance * world.reference[:, None, :]).sum(dim=-1)
    logits = (world.reference.log() + wins / beta).requires_grad_()
    population_loss(logits, world, "ipo", beta=beta).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-9 * max(1.0, 1 / beta)


@quick
@given(worlds(), BETAS)
def test_the_optimum_of_simpo_without_a_margin_ignores_the_reference(world: TabularWorld, beta: float) -> None:
    logits = (world.reward / beta).requires_grad_()
    population_loss(logits, world, "simpo", beta=beta, gamma=0.0).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-9 * max(1.0, beta)


def test_a_loss_walks_from_the_reference_to_its_optimum() -> None:
    world = film_world()
    best = optimal_policy(world.reference, world.reward, 1.0)
    assert total_variation(fit_loss(world, "robust", beta=1.0).policy, best) < 1e-4
    assert total_variation(fit_loss(world, "sigmoid_norm", beta=1.0).policy, best) < 1e-4  # all lengths are equal
    assert total_variation(fit_loss(world, "ipo", beta=1.0).policy, best) > 0.2


def test_the_expected_loss_of_kto_uses_the_exact_kl() -> None:
    # One prompt, two responses, equal rewards; log-ratios ln 1.5 and ln 0.5, and KL = 3/4 ln 1.5 + 1/4 ln 0.5.
    world = TabularWorld(("p",), ("a", "b"), torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 0.0]]))
    logits = torch.tensor([[0.75, 0.25]]).log()
    z = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    odds = [1 / (1 + math.exp(-(math.log(ratio) - z))) for ratio in (1.5, 0.5)]  # σ(log-ratio - z)
    # Every pair occurs a quarter of the time; ℓ = (1 - σ_w + σ_l) / 2, and the differences cancel.
    assert population_loss(logits, world, "kto", beta=1.0).item() == pytest.approx(0.5)
    certain = population_loss(logits, replace(world, reward=torch.tensor([[9.0, -9.0]])), "kto",
                              annotator=certain_annotator, beta=1.0)  # fmt: skip
    assert certain.item() == pytest.approx(0.5 * 0.5 + 0.5 * (1 - odds[0] + odds[1]) / 2)


# Bad input


def test_an_unknown_loss_and_an_unused_setting_are_named() -> None:
    with pytest.raises(ValueError, match=r"loss must be one of sigmoid, .* found 'grpo'"):
        fit_loss(film_world(), "grpo", beta=1.0)
    with pytest.raises(ValueError, match=r"gamma=0\.5 is not used by loss 'hinge'"):
        fit_loss(film_world(), "hinge", gamma=0.5)


@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan, math.inf])
def test_an_invalid_beta_is_reported_with_its_value(beta: float) -> None:
    world = film_world()
    for call in (
        lambda: optimal_policy(world.reference, world.reward, beta),
        lambda: log_partition(world.reference, world.reward, beta),
        lambda: objective(world.reference, world.reference, world.reward, beta),
        lambda: reward_from_policies(world.reference, world.reference, beta),
        lambda: optimise_objective(world, beta),
        lambda: fit_dpo(world, beta),
    ):
        with pytest.raises(ValueError, match=rf"^beta .* {beta}$"):
            call()


def test_zero_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^steps .* 0$"):
        fit_dpo(film_world(), 1.0, steps=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ("one",)}, "^reference: .*shape"),
        ({"reference": torch.full((3, 6), 0.5)}, "^reference: .*sum to 1"),
        ({"reference": torch.tensor([[1.0, 0, 0, 0, 0, 0]] * 3)}, "^reference: .*above 0"),
        ({"reward": torch.full((3, 6), math.nan)}, "^reward: .*finite"),
    ],
)
def test_an_invalid_table_of_a_world_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(film_world(), **change)

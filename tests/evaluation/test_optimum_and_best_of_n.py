"""The closed-form optimum and best-of-n estimated from samples, in cases where both are known exactly."""

import itertools
import json
import math

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from dpo_teach.evaluation import (
    FrontierPoint,
    ReferenceSamples,
    ReviewScores,
    TooFewSamplesError,
    best_of_n_kl,
    best_of_n_kl_bound,
    best_of_n_policy,
    best_of_n_scores,
    best_of_n_weights,
    draw_reference_samples,
    estimate_optimum,
    evaluate_reviews,
    optimum_scores,
    reference_samples,
)
from dpo_teach.sampling import sample_tokens
from dpo_teach.worlds.tabular import expected_reward, film_world, kl, log_partition, optimal_policy

WORLD = film_world()


def in_exact_proportion(table, times=50):
    """5000 samples per prompt with each response exactly as often as the film world's reference says."""
    counts = (WORLD.reference * 100 * times).round().long()
    return torch.stack([row.repeat_interleave(count) for row, count in zip(table, counts, strict=True)])


def drawn(count, seed, policy=WORLD.reference):
    """The indices of the responses drawn, shape (prompts, count)."""
    return torch.multinomial(policy, count, replacement=True, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_samples_in_exact_proportion_give_the_exact_optimum(beta):
    found = estimate_optimum(in_exact_proportion(WORLD.reward), beta)
    optimum = optimal_policy(WORLD.reference, WORLD.reward, beta)
    assert found.reward == pytest.approx(expected_reward(optimum, WORLD.reward).mean().item(), rel=1e-9)
    assert found.kl == pytest.approx(kl(optimum, WORLD.reference).mean().item(), rel=1e-9)
    assert found.log_partition == pytest.approx(
        log_partition(WORLD.reference, WORLD.reward, beta).mean().item(), rel=1e-9
    )


def test_the_optimum_for_two_reward_values_worked_out_by_hand():
    # 300 samples worth 0 and 100 worth ln 3, beta 1: weights 1 and 3, so each group sums to 300. E[r] = ln 3 / 2, mean
    # weight Z = 600 / 400 = 1.5, KL = ln 3 / 2 - ln 1.5. Effective: 600^2 / (300 + 900) = 300.
    rewards = torch.tensor([0.0] * 300 + [math.log(3)] * 100, dtype=torch.float64).unsqueeze(0)
    found = estimate_optimum(rewards, beta=1.0)
    assert found.reward == pytest.approx(math.log(3) / 2)
    assert found.log_partition == pytest.approx(math.log(1.5))
    assert found.kl == pytest.approx(math.log(3) / 2 - math.log(1.5))
    assert found.effective_samples == pytest.approx(300)
    # Error of the reward: weights with mean 1 are 2/3 and 2, times r - E[r] = -+ ln 3 / 2: variance
    # 3/4 (2/3 a)^2 + 1/4 (2 a)^2 = 4/3 a^2, a = ln 3 / 2; divided by 400 samples, then the square root.
    assert found.reward_error == pytest.approx(math.log(3) / 2 * math.sqrt(4 / 3 / 400))
    # Error of the KL: 2/3 * -a + 1/3 = 0.333 - 0.3662 and 2 a - 1 = 0.0986, three to one: mean 0.
    first, second = 1 / 3 - math.log(3) / 3, math.log(3) - 1
    assert found.kl_error == pytest.approx(math.sqrt((0.75 * first**2 + 0.25 * second**2) / 400))


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_the_standard_errors_match_the_spread_of_many_repetitions(beta):
    optimum = optimal_policy(WORLD.reference, WORLD.reward, beta)
    runs = [estimate_optimum(WORLD.reward.gather(1, drawn(1000, seed)), beta) for seed in range(200)]
    truths = {"reward": expected_reward(optimum, WORLD.reward), "kl": kl(optimum, WORLD.reference)}
    for name, truth in truths.items():
        found = torch.tensor([getattr(run, name) for run in runs])
        reported = torch.tensor([getattr(run, f"{name}_error") for run in runs]).mean()
        assert 0.85 < reported / found.std() < 1.15, name
        assert abs(found.mean() - truth.mean()) < 0.3 * found.std(), name  # the bias is small compared with the error


def test_a_constant_per_prompt_changes_the_reward_but_not_the_kl():
    rewards, offsets = in_exact_proportion(WORLD.reward), torch.tensor([[5.0], [-3.0], [1.0]], dtype=torch.float64)
    one, other = estimate_optimum(rewards, 1.0), estimate_optimum(rewards + offsets, 1.0)
    assert other.reward == pytest.approx(one.reward + 1.0)  # (5 - 3 + 1) / 3
    assert other.kl == pytest.approx(one.kl) and other.kl_error == pytest.approx(one.kl_error)
    assert other.effective_samples == pytest.approx(one.effective_samples)


def test_too_few_effective_samples_are_refused_with_their_number():
    rewards = torch.zeros(2, 1000, dtype=torch.float64)
    rewards[1, :3] = 100.0
    with pytest.raises(
        TooFewSamplesError, match=r"^beta=1\.0: the 1000 samples of prompt 1 .* 3\.0, expected at least 50"
    ):
        estimate_optimum(rewards, 1.0)
    assert estimate_optimum(rewards, 1.0, least_effective_samples=2.0).effective_samples == pytest.approx(3.0)
    assert estimate_optimum(rewards, 1e6).effective_samples == pytest.approx(1000, rel=1e-3)
    with pytest.raises(ValueError, match="beta must be"):
        estimate_optimum(rewards, 0.0)
    with pytest.raises(ValueError, match="rewards must be finite"):
        estimate_optimum(torch.full((1, 100), math.nan), 1.0)


def test_samples_of_a_policy_nearer_to_the_optimum_work_where_those_of_the_reference_do_not():
    beta = 0.1
    optimum = optimal_policy(WORLD.reference, WORLD.reward, beta)
    with pytest.raises(TooFewSamplesError):
        estimate_optimum(WORLD.reward.gather(1, drawn(1000, 0)), beta)
    nearer = optimal_policy(WORLD.reference, WORLD.reward, 0.3)
    which = drawn(1000, 0, nearer)
    log_ratios = (WORLD.reference / nearer).log().gather(1, which)
    found = estimate_optimum(WORLD.reward.gather(1, which), beta, log_ratios=log_ratios)
    assert abs(found.reward - expected_reward(optimum, WORLD.reward).mean()) < 4 * found.reward_error
    assert abs(found.kl - kl(optimum, WORLD.reference).mean()) < 4 * found.kl_error
    assert 0 < found.kl_error < 0.1


def test_all_scores_of_the_optimum_use_the_same_weights():
    optimum = optimal_policy(WORLD.reference, WORLD.reward, 1.0)
    fluent, tokens = torch.tensor([[0.0, 1, 1, 1, 1, 0]] * 3), torch.tensor([[9.0, 8, 7, 6, 5, 4]] * 3)
    samples = ReferenceSamples(*(in_exact_proportion(table.double()) for table in (WORLD.reward, fluent, tokens)))
    found = optimum_scores(samples, 1.0)
    assert found.true_reward == pytest.approx(expected_reward(optimum, WORLD.reward).mean().item())
    assert found.fluency == pytest.approx((optimum * fluent).sum(-1).mean().item())
    assert found.mean_tokens == pytest.approx((optimum * tokens).sum(-1).mean().item())
    assert found.samples == 15_000
    assert all(0 < getattr(found, f"{name}_error") < 0.1 for name in ("true_reward", "kl", "fluency", "mean_tokens"))


def test_the_pooled_optimum_is_at_least_as_good_as_that_of_the_prompts():
    samples = ReferenceSamples(*[in_exact_proportion(WORLD.reward)] * 3)
    one_by_one, pooled = (optimum_scores(table, 0.5) for table in (samples, samples.pooled()))
    assert pooled.true_reward - 0.5 * pooled.kl > one_by_one.true_reward - 0.5 * one_by_one.kl + 0.01


def test_tables_of_different_shapes_are_refused(unchecked_shapes):
    with pytest.raises(ValueError, match=r"tokens has shape \(2, 4\)"):
        ReferenceSamples(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_best_of_n_policy_equals_an_enumeration_of_all_draws(n):
    """All 6^n ways to draw, each with its probability; ties are broken at random."""
    reward = torch.tensor([[0.0, 1.0, 1.0, 2.0, 1.0, -1.0]], dtype=torch.float64)
    reference = WORLD.reference[:1]
    expected = torch.zeros(6, dtype=torch.float64)
    for draw in itertools.product(range(6), repeat=n):
        probability = math.prod(reference[0, y].item() for y in draw)
        best = max(reward[0, y].item() for y in draw)
        winners = [y for y in draw if reward[0, y].item() == best]
        for winner in winners:
            expected[winner] += probability / len(winners)
    torch.testing.assert_close(best_of_n_policy(reference, reward, n)[0], expected)


def test_the_kl_of_best_of_n_worked_out_by_hand_is_below_its_bound():
    # Two responses, 1/2 each: best-of-2 gives the better one 3/4. KL = 1/4 ln 1/2 + 3/4 ln 3/2.
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    policy = best_of_n_policy(half, torch.tensor([0.0, 1.0], dtype=torch.float64), 2)
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert kl(policy, half).item() == pytest.approx(expected)
    rewards = torch.tensor([[0.0] * 50 + [1.0] * 50], dtype=torch.float64)
    assert best_of_n_kl(rewards, 2).item() == pytest.approx(expected)
    assert expected < best_of_n_kl_bound(2) == math.log(2) - 0.5


@pytest.mark.parametrize("n", [2, 4, 16])
def test_without_ties_the_measured_kl_reaches_the_bound_and_with_ties_it_does_not(n):
    distinct = torch.randn(2, 4096, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for value in best_of_n_kl(distinct, n).tolist():
        assert best_of_n_kl_bound(n) - 0.005 < value <= best_of_n_kl_bound(n)
    assert (best_of_n_kl(distinct.round(), n) < best_of_n_kl_bound(n) - 0.01).all()
    exact = kl(best_of_n_policy(WORLD.reference, WORLD.reward, n), WORLD.reference)
    torch.testing.assert_close(best_of_n_kl(in_exact_proportion(WORLD.reward), n), exact)


def test_the_weights_equal_an_enumeration_of_all_ways_to_pick_n():
    rewards = torch.tensor([[3.0, 1.0, 2.0, 3.0, 0.0, 2.0]], dtype=torch.float64)
    for n in (1, 2, 3, 6):
        picks = list(itertools.combinations(range(6), n))
        expected = torch.zeros(6, dtype=torch.float64)
        for pick in picks:
            best = max(rewards[0, i].item() for i in pick)
            winners = [i for i in range(6) if rewards[0, i].item() == best]  # tied samples share, whichever was picked
            for winner in winners:
                expected[winner] += 1 / len(winners) / len(picks)
        torch.testing.assert_close(best_of_n_weights(rewards, n)[0], expected)


def test_best_of_n_scores_match_the_exact_policy():
    which = drawn(400, 5)
    tables = [WORLD.reward.gather(1, which), (which > 0).double(), which.double()]
    found, exact = best_of_n_scores(ReferenceSamples(*tables), 4), best_of_n_policy(WORLD.reference, WORLD.reward, 4)
    expected = {
        "true_reward": expected_reward(exact, WORLD.reward).mean(),
        "kl": kl(exact, WORLD.reference).mean(),
        "fluency": exact[:, 1:].sum(-1).mean(),
        "mean_tokens": (exact * torch.arange(6)).sum(-1).mean(),
    }
    for name, value in expected.items():
        error = getattr(found, f"{name}_error")
        assert 0 < error < 0.1
        assert abs(getattr(found, name) - value) < 4 * error, name
    assert found == best_of_n_scores(ReferenceSamples(*tables), 4)
    plain = best_of_n_scores(ReferenceSamples(*tables), 1)
    assert plain.true_reward == pytest.approx(tables[0].mean().item()) and plain.kl == pytest.approx(0.0, abs=1e-9)
    # For a plain mean, the bootstrap error matches the textbook formula.
    textbook = (tables[0].var(dim=1).sum() / 400).sqrt().item() / 3
    assert plain.true_reward_error == pytest.approx(textbook, rel=0.2)


def test_an_invalid_n_is_refused():
    table = torch.zeros(1, 4)
    with pytest.raises(ValueError, match="n must be at least 1, found 0"):
        best_of_n_kl_bound(0)
    with pytest.raises(ValueError, match="n must be at most the 4 samples of a prompt, found 5"):
        best_of_n_weights(table, 5)
    with pytest.raises(ValueError, match="samples: expected samples of the reference"):
        best_of_n_scores(ReferenceSamples(table, table, table, log_ratios=table), 2)


def test_reference_samples_are_grouped_by_prompt_and_scored(monkeypatch):
    received = []

    def record_prompts(model, tokenizer, prompts, **options):
        received.extend(prompts)
        return sample_tokens(model, tokenizer, prompts, **options)

    monkeypatch.setattr(reference_samples, "sample_tokens", record_prompts)
    model, tokenizer = tiny_model(), tiny_tokenizer()
    found = draw_reference_samples(model, tokenizer, ["the plot", "the"], 6, max_new_tokens=12, seed=2)
    assert received == ["the plot"] * 6 + ["the"] * 6
    lengths = [len(s.response_ids) for s in sample_tokens(model, tokenizer, received, max_new_tokens=12, seed=2)]
    assert found.tokens.tolist() == [lengths[:6], lengths[6:]] and len(set(lengths)) > 2
    assert found.log_ratios is None
    assert (found.rewards == -4).all() and (found.fluent == 0).all(), "the tiny model writes no reviews"
    with pytest.raises(ValueError, match="at least one prompt"):
        draw_reference_samples(model, tokenizer, [], 3)


@pytest.mark.slow
def test_samples_of_a_mixture_come_with_log_ratios_to_the_reference():
    model, tokenizer, other = tiny_model(), tiny_tokenizer(), tiny_model(seed=1)
    same = draw_reference_samples(model, tokenizer, ["the plot"], 8, proposals=[tiny_model()], max_new_tokens=5)
    assert same.log_ratios.abs().max() < 1e-5
    found = draw_reference_samples(model, tokenizer, ["the plot"], 4000, proposals=[other], max_new_tokens=1)
    assert found.log_ratios.exp().mean().item() == pytest.approx(1.0, abs=0.05)  # E_q[pi_ref / q] = 1
    assert found.log_ratios.max() < math.log(2), "the reference is half of the mixture"
    assert found.log_ratios[0, :2000].mean() > 0.1 > found.log_ratios[0, 2000:].mean() + 0.2
    with pytest.raises(ValueError, match="a multiple of 2 samples"):
        draw_reference_samples(model, tokenizer, ["the plot"], 3, proposals=[other])


def test_a_frontier_point_survives_json_and_scores_of_samples_have_errors():
    scores = evaluate_reviews(tiny_model(1), tiny_model(), tiny_tokenizer(), ["the plot"] * 20, max_new_tokens=6)
    errors = [scores.true_reward_error, scores.kl_error, scores.fluency_error, scores.mean_tokens_error]
    assert errors[0] == 0.0 and errors[2] == 0.0, "the tiny model writes no reviews"
    assert errors[1] > 0 and errors[3] > 0
    point = FrontierPoint("dpo", 0.3, scores, seed=2)
    assert FrontierPoint.from_dict(json.loads(json.dumps(point.as_dict()))) == point
    assert math.isnan(ReviewScores(2, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0).fluency_error)

"""Evaluating a policy, in cases where the result is known in advance."""

import math
from dataclasses import asdict

import pytest
import torch
from tiny import EOS, GOOD, PAD, tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.evaluation import evaluate_pairs, evaluate_reviews, score_samples
from dpo_teach.models import load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.sampling import Sample, decode, sample_responses, sample_tokens


def test_a_policy_equal_to_its_reference_has_accuracy_one_half_and_zero_log_ratios():
    scores = evaluate_pairs(tiny_model(), tiny_model(), tiny_tokenizer(), tiny_pairs())
    assert asdict(scores) == {
        "pairs": 24, "preference_accuracy": 0.5, "loss": pytest.approx(math.log(2)), "margin": 0.0,
        "chosen_log_ratio": 0.0, "rejected_log_ratio": 0.0,
    }  # fmt: skip


def test_swapping_policy_and_reference_flips_every_sign():
    tokenizer, pairs = tiny_tokenizer(), tiny_pairs()
    one = evaluate_pairs(tiny_model(0), tiny_model(1), tokenizer, pairs, beta=0.5)
    other = evaluate_pairs(tiny_model(1), tiny_model(0), tokenizer, pairs, beta=0.5)
    assert other.margin == pytest.approx(-one.margin) and abs(one.margin) > 0.1
    assert other.preference_accuracy == pytest.approx(1 - one.preference_accuracy)
    assert other.loss - one.loss == pytest.approx(one.margin, rel=1e-4)  # loss(-m) - loss(m) = m
    assert one.margin == pytest.approx(0.5 * (one.chosen_log_ratio - one.rejected_log_ratio), rel=1e-4)


@pytest.mark.slow
def test_samples_follow_the_model_s_full_distribution():
    """Draw one token from one prompt many times: the shares match the model's probabilities."""
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with torch.no_grad():
        expected = model(torch.tensor([tokenizer("the plot")["input_ids"]])).logits[0, -1].softmax(-1)
    drawn = sample_tokens(model, tokenizer, ["the plot"] * 4000, max_new_tokens=1, seed=0, batch_size=4000)
    shares = torch.bincount(torch.tensor([sample.response_ids[0] for sample in drawn]), minlength=10) / 4000
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_the_same_seed_gives_the_same_samples_without_touching_the_global_generator():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = sample_responses(model, tokenizer, ["the", "the plot was"] * 4, max_new_tokens=6, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first == sample_responses(model, tokenizer, ["the", "the plot was"] * 4, max_new_tokens=6, seed=1)
    assert first != sample_responses(model, tokenizer, ["the", "the plot was"] * 4, max_new_tokens=6, seed=2)


def test_a_sample_ends_with_eos_or_is_truncated():
    drawn = sample_tokens(tiny_model(), tiny_tokenizer(), ["the"] * 200, max_new_tokens=5, seed=0)
    assert all(EOS not in sample.response_ids[:-1] for sample in drawn)
    assert all(sample.response_ids[-1] == EOS or len(sample.response_ids) == 5 for sample in drawn)
    assert {sample.response_ids[-1] == EOS for sample in drawn} == {True, False}
    assert decode([Sample((1,), (GOOD, EOS))], tiny_tokenizer()) == ["good"]


def test_prompts_of_different_lengths_do_not_affect_each_other():
    """Left padding must not shift positions: a near-greedy draw is the same alone and in a batch."""
    model, tokenizer = tiny_model(), tiny_tokenizer()
    prompts = ["the", "the plot was very very", "the plot"]
    cold = {"max_new_tokens": 6, "temperature": 1e-4}
    alone = [sample_responses(model, tokenizer, [prompt], **cold)[0] for prompt in prompts]
    assert sample_responses(model, tokenizer, prompts, **cold) == alone


def test_samples_are_scored_by_exactly_the_tokens_that_were_drawn():
    model = tiny_model()
    samples = [Sample((1, 3), (GOOD, EOS)), Sample((1,), (GOOD, GOOD, GOOD))]  # the second was truncated: no EOS
    found = score_samples(model, samples, PAD)
    with torch.no_grad():
        rows = model(torch.tensor([[1, GOOD, GOOD, GOOD]])).logits.log_softmax(-1)[0]
    assert found[1].item() == pytest.approx(sum(rows[t, GOOD].item() for t in range(3)), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": 0.0}, "temperature must be above 0"), ({"max_new_tokens": 31}, "exceeds the model's context")],
)
def test_invalid_sampling_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sample_responses(tiny_model(), tiny_tokenizer(), ["the plot"], **options)


@pytest.mark.slow
def test_the_bundled_model_writes_fluent_reviews_with_the_mean_reward_of_the_grammar():
    model, tokenizer = load_model("reviews-gpt2")
    prompts = [pair.prompt for pair in load_pairs("reviews-preferences", split="test")][:256]
    scores = evaluate_reviews(model, model, tokenizer, prompts)
    assert (
        scores.fluency >= 0.90 - 0.04
    )  # the documented fluency is 0.90; the standard error of 256 samples is about 0.02
    assert abs(scores.true_reward) < 0.5 + 2 * scores.true_reward_error
    assert scores.kl == 0.0


@pytest.mark.slow
def test_the_bundled_policy_writes_better_reviews_than_its_reference():
    model, tokenizer = load_model("reviews-gpt2-dpo")
    reference, _ = load_model("reviews-gpt2")
    prompts = [pair.prompt for pair in load_pairs("reviews-preferences", split="test")][:128]
    after = evaluate_reviews(model, reference, tokenizer, prompts)
    before = evaluate_reviews(reference, reference, tokenizer, prompts)
    assert after.true_reward > before.true_reward + 1
    assert after.kl > 1

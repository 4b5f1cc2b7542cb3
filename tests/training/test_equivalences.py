"""Settings that affect only memory or speed do not change the results: whole trajectories, and the loss of each pair.

Related tests: one and two processes (test_processes.py), resumed runs (test_training.py), values and gradients of
packed batches (test_packing.py).
"""

import pytest
import torch
from tiny import PAD, tiny_model, tiny_pairs, tiny_tokenizer
from two_processes import largest_differences

from dpo_teach.batches import lay_out_pairs, split_pairs, tokenize_pairs
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import pair_metrics
from dpo_teach.models import load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.training import DPOConfig, DPOTrainer, Example, SFTConfig, SFTTrainer, plan_steps

# 21 examples in steps of 8: the last step of an epoch has 5 examples, so the micro-batches are uneven.
SETTINGS = {"batch_size": 8, "learning_rate": 1e-2, "epochs": 2, "length_window": 8, "save_every": 0, "eval_every": 1}
CLOSE = 1e-5


def train_dpo(**changes):
    return trained(DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(21), DPOConfig(**SETTINGS | changes),
                              eval_pairs=tiny_pairs(6, seed=1)))  # fmt: skip


def train_sft(**changes):
    examples = [Example(pair.prompt, pair.chosen) for pair in tiny_pairs(27)]
    return trained(SFTTrainer(tiny_model(), tiny_tokenizer(), examples[:21], SFTConfig(**SETTINGS | changes),
                              eval_examples=examples[21:]))  # fmt: skip


def trained(trainer):
    assert trainer.packed == trainer.config.packed
    return trainer.train()


def assert_same(ones, others):
    assert len(ones) == 6
    assert max(largest_differences(ones, others).values()) <= CLOSE, largest_differences(ones, others)
    assert ones[-1]["loss"] < ones[0]["loss"] - 0.1, "if the loss did not fall, this test could not fail"


def test_the_examples_of_a_step_have_different_lengths():
    """Otherwise these tests could not detect a mean over micro-batches or over tokens instead of over pairs."""
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(21), DPOConfig(**SETTINGS))
    for step in trainer.plan():
        assert len({len(trainer.pairs[i].chosen_ids) for i in step}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("train", [train_dpo, train_sft])
@pytest.mark.parametrize("micro_batch_size", [1, 3])
def test_micro_batches_do_not_change_the_results(train, micro_batch_size):
    assert_same(train(micro_batch_size=micro_batch_size), train())


@pytest.mark.slow
def test_precomputing_the_reference_does_not_change_the_results():
    assert_same(train_dpo(precompute_reference=False), train_dpo())


@pytest.mark.slow
@pytest.mark.parametrize("train", [train_dpo, train_sft])
def test_packing_does_not_change_the_results(train):
    assert_same(train(packed=False), train(packed=True))


@pytest.mark.parametrize("packed", [True, False])
def test_other_pairs_in_a_batch_do_not_change_the_loss_of_a_pair(packed):
    policy, reference = tiny_model(), tiny_model(seed=1)
    pairs = tokenize_pairs(tiny_pairs(21), tiny_tokenizer(), max_length=32).pairs
    lengths = [pair.tokens for pair in pairs]
    reference_logps = pair_logps(reference, pairs, PAD)

    def losses(batches):
        found = torch.full((len(pairs),), torch.nan)
        for indices in batches:
            batch = lay_out_pairs([pairs[i] for i in indices], PAD, packed=packed)
            policy_logps = torch.stack(split_pairs(response_logps(policy, batch)), dim=1)
            found[indices] = pair_metrics(policy_logps, reference_logps[indices], 0.1)["loss"]
        return found

    with torch.no_grad():
        alone = losses([[i] for i in range(len(pairs))])
        bucketed = plan_steps(lengths, batch_size=8, length_window=24)
        unbucketed = plan_steps(lengths, batch_size=8, length_window=8)
        assert sorted(map(sorted, bucketed)) != sorted(map(sorted, unbucketed))
        for batches in (bucketed, unbucketed):
            torch.testing.assert_close(losses(batches), alone, rtol=0, atol=CLOSE)
    assert alone.std() > 0.01, "with equal losses, this test could not detect swapped pairs"


@pytest.mark.slow
def test_bfloat16_is_within_a_hundredth_of_float32():
    """For the 64 responses of 32 bundled pairs, the measured differences were 0.006 at most and 0.002 on average."""
    model, tokenizer = load_model("reviews-gpt2")
    pairs = tokenize_pairs(load_pairs("reviews-preferences", split="test")[:32], tokenizer, max_length=512).pairs
    exact = pair_logps(model, pairs, tokenizer.pad_token_id)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = pair_logps(model, pairs, tokenizer.pad_token_id)
    distance = ((rounded - exact) / exact).abs()
    assert distance.max() < 1e-2
    assert distance.mean() < 3e-3
    assert distance.max() > 1e-5, "nothing was rounded"


def test_the_losses_of_a_bfloat16_run_are_within_a_thousandth_of_float32():
    """Over six steps, in which the loss falls by 0.4; the measured difference was at most 0.0003."""
    exact, rounded = ([row["loss"] for row in train_dpo(precision=name)] for name in ("fp32", "bf16"))
    assert rounded == pytest.approx(exact, abs=1e-3)
    assert rounded != pytest.approx(exact, abs=1e-6), "nothing was rounded"

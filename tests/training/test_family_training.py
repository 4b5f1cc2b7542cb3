"""The trainer with every loss of the family: equivalent settings, KTO's mismatched pairs, and refused settings."""

import math

import pytest
import torch
from tiny import PAD, tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.batches import TokenizedPair
from dpo_teach.logps import pair_logps
from dpo_teach.loss_family import LOSSES
from dpo_teach.training import DPOConfig, DPOTrainer

# 21 pairs in steps of 8: the last step of an epoch has 5 pairs, so the micro-batches are uneven.
SETTINGS = {"batch_size": 8, "learning_rate": 1e-2, "epochs": 2, "length_window": 8, "save_every": 0, "eval_every": 2}
CLOSE = 1e-5


def make_trainer(loss, *, count=21, output=None, on_step=None, **changes):
    reference = tiny_model(seed=1) if LOSSES[loss].needs_reference else None
    return DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(count), DPOConfig(loss=loss, **SETTINGS | changes),
                      eval_pairs=tiny_pairs(6, seed=1), reference=reference, output=output,
                      on_step=on_step)  # fmt: skip


def assert_same(ones, others):
    assert [row.keys() for row in ones] == [row.keys() for row in others]
    for one, other in zip(ones, others, strict=True):
        found, expected = ({k: v for k, v in row.items() if k != "seconds"} for row in (one, other))
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_micro_batches_and_packing_do_not_change_the_results(loss):
    whole = make_trainer(loss).train()
    assert len(whole) == 6
    assert whole[-1]["loss"] < whole[0]["loss"], "if the loss did not fall, this test could not fail"
    assert_same(make_trainer(loss, micro_batch_size=3, packed=False).train(), whole)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ipo_mean", "kto"])
def test_precomputing_the_reference_does_not_change_the_results(loss):
    assert_same(make_trainer(loss, precompute_reference=False).train(), make_trainer(loss).train())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["kto", "simpo"])
def test_an_interrupted_run_resumes(loss, tmp_path):
    def interrupt(row):
        if row["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_trainer(loss, output=tmp_path, on_step=interrupt).train()
    assert_same(make_trainer(loss, output=tmp_path).train(resume=True), make_trainer(loss).train())


# KTO's mismatched pairs


def mismatched_kl(pairs, *, max_length=32):
    """max(0, mean log-ratio) of each prompt with both responses of the pair before it, at the start of training."""
    shifted = []
    for pair, other in zip(pairs, [pairs[-1], *pairs[:-1]], strict=True):
        budget = max_length - len(pair.prompt_ids)
        shifted.append(TokenizedPair(pair.prompt_ids, other.chosen_ids[:budget], other.rejected_ids[:budget]))
    policy, reference = (pair_logps(tiny_model(seed=seed), shifted, PAD) for seed in (0, 1))
    return max(0.0, (policy - reference).mean().item())


@pytest.mark.parametrize("max_length", [32, 12])
def test_kto_estimates_the_kl_from_the_previous_pair_of_the_step(max_length):
    """A prompt of 8 tokens leaves 4 of 12 for the mismatched response, which may need 6."""
    trainer = make_trainer("kto", max_steps=1, max_length=max_length)
    row = trainer.train()[0]
    expected = mismatched_kl([trainer.pairs[i] for i in trainer.plan()[0]], max_length=max_length)
    assert expected > 0.1, "with a KL of 0, this test could not see the mismatched pairs"
    assert row["mismatched_kl"] == pytest.approx(expected, abs=CLOSE)
    assert row["loss"] != pytest.approx(0.5, abs=1e-3)


def test_kto_estimates_the_kl_of_the_held_out_pairs_as_one_step():
    trainer = make_trainer("kto", max_steps=1, learning_rate=1e-12)
    row = trainer.train()[0]
    assert row["eval_mismatched_kl"] == pytest.approx(mismatched_kl(list(trainer.eval_tokenized.pairs)), abs=CLOSE)
    assert row["eval_mismatched_kl"] > 0.1


@pytest.mark.parametrize("precompute", [True, False])
def test_kto_refuses_a_step_with_a_single_pair(precompute):
    with pytest.raises(ValueError, match=r"^loss 'kto' joins each prompt .* single pair; change batch_size"):
        make_trainer("kto", count=9, precompute_reference=precompute).train()


# Losses without a reference


@pytest.mark.parametrize("loss", ["simpo", "orpo"])
def test_losses_without_a_reference_precompute_nothing_and_report_no_rewards(loss):
    trainer = make_trainer(loss, max_steps=2)
    assert trainer.prepare() == {}
    row = trainer.train()[-1]
    names = {"loss", "chosen_logps", "rejected_logps", "chosen_mean_logps", "rejected_mean_logps", "mean_logp_margin",
             "mean_logp_accuracy"}  # fmt: skip
    assert {name.removeprefix("eval_") for name in row if name.startswith("eval_")} == names
    assert names <= row.keys()
    assert not {"margin", "preference_accuracy", "chosen_rewards", "rejected_rewards"} & row.keys()
    assert all(math.isfinite(value) for value in row.values())


def test_lengths_count_the_tokens_of_each_response():
    """With uniform probabilities every token has the same logp, so its mean is -ln of the vocabulary's size."""
    trainer = make_trainer("simpo", max_steps=1, learning_rate=1e-12)
    with torch.no_grad():
        trainer.model.lm_head.weight.zero_()
    row = trainer.train()[0]
    for name in ("chosen_mean_logps", "rejected_mean_logps", "eval_chosen_mean_logps"):
        assert row[name] == pytest.approx(-math.log(10), abs=1e-5)


def test_a_reference_that_is_not_used_is_refused():
    with pytest.raises(ValueError, match=r"^loss 'simpo' uses no reference; omit reference \(--reference\)$"):
        DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(), DPOConfig(loss="simpo"), reference=tiny_model(1))


@pytest.mark.parametrize("loss", ["hinge", "kto"])
def test_a_policy_that_does_not_move_is_reported_without_ln_2(loss):
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(44), DPOConfig(
        loss=loss, batch_size=4, max_steps=10, learning_rate=1e-12, save_every=0))  # fmt: skip
    with pytest.warns(UserWarning, match="the margin is still 0 after 10 steps"):
        trainer.train()


# Settings


@pytest.mark.parametrize(("settings", "message"), [
    ({"loss": "ipo", "label_smoothing": 0.1}, "label_smoothing=0.1 is not used by loss 'ipo'; remove it"),
    ({"gamma": 1.0}, "gamma=1.0 is not used by loss 'sigmoid'; remove it"),
    ({"loss": "hinge", "sft_weight": 0.5}, "sft_weight=0.5 is not used by loss 'hinge'; remove it"),
    ({"loss": "orpo", "precompute_reference": False},
     "precompute_reference=False is not used by loss 'orpo'; remove it"),
    ({"label_smoothing": 0.5}, "label_smoothing must be at least 0 and below 0.5, found 0.5"),
    ({"loss": "simpo", "gamma": -1.0}, "gamma must be a finite number of at least 0, found -1.0"),
    ({"loss": "ipo", "beta": 0.0}, "beta must be a finite number above 0, found 0.0"),
    ({"loss": "kto", "batch_size": 1},
     "loss 'kto' needs a batch_size of at least 2, found 1: it pairs each prompt with a response of another pair of "
     "the step"),
])  # fmt: skip
def test_settings_that_do_not_fit_the_loss_are_refused(settings, message):
    with pytest.raises(ValueError) as caught:
        DPOConfig(**settings)
    assert str(caught.value) == message


def test_an_unknown_loss_is_refused(unchecked_shapes):
    with pytest.raises(ValueError, match=r"^loss must be one of sigmoid, .*, found 'dpo'$"):
        DPOConfig(loss="dpo")


def test_settings_that_the_loss_uses_are_accepted():
    assert DPOConfig(label_smoothing=0.1).loss_settings() == {"beta": 0.1, "label_smoothing": 0.1}
    assert DPOConfig(loss="robust", label_smoothing=0.1).loss_settings() == {"beta": 0.1, "label_smoothing": 0.1}
    assert DPOConfig(loss="simpo", beta=2.0, gamma=1.0).loss_settings() == {"beta": 2.0, "gamma": 1.0}
    assert DPOConfig(loss="rpo", sft_weight=0.2).loss_settings() == {"beta": 0.1, "sft_weight": 0.2}

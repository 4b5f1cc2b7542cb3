"""Reward models and PPO, on models small enough to train in seconds."""

import math

import pytest
import torch
from tiny import BAD, BOS, EOS, GOOD, PAD, PLOT, THE, VERY, WAS, tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.batches import collate
from dpo_teach.logps import response_token_logps
from dpo_teach.models import freeze_reference
from dpo_teach.rlhf import (
    LearnedReward,
    PPOConfig,
    PPOTrainer,
    RewardModel,
    RewardModelConfig,
    ValueModel,
    bradley_terry_loss,
    collect_rollouts,
    evaluate_reward_model,
    train_reward_model,
)

PROMPTS = ["the plot was", "the plot the plot was"]
SHORT = {"iterations": 2, "rollouts": 16, "minibatch_size": 8, "epochs": 2, "max_new_tokens": 6}


def praise(prompts, responses):
    """A reward of 1 for every "good"."""
    return [float(response.split().count("good")) for response in responses]


def with_a_head(model, seed=0):
    """Give the model a random head, since the initial head is 0."""
    torch.manual_seed(seed)
    torch.nn.init.normal_(model.head.weight)
    return model


def trainer(reward=praise, policy=None, **changes):
    policy = tiny_model() if policy is None else policy
    config = PPOConfig(**{**SHORT, "learning_rate": 1e-2, **changes})
    return PPOTrainer(policy, tiny_tokenizer(), PROMPTS, reward, config)


def test_the_bradley_terry_loss_is_ln_2_at_a_tie_and_ignores_an_offset():
    # leads 2 and -1: -(log sigma(2) + log sigma(-1)) / 2 = (0.126928 + 1.313262) / 2
    chosen, rejected = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0])
    assert bradley_terry_loss(chosen, rejected).item() == pytest.approx((0.126928 + 1.313262) / 2, abs=1e-6)
    assert bradley_terry_loss(chosen + 7, rejected + 7).item() == bradley_terry_loss(chosen, rejected).item()
    assert bradley_terry_loss(chosen, chosen).item() == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="one reward per pair"):
        bradley_terry_loss(torch.empty(0), torch.empty(0))


def test_the_reward_is_read_at_the_last_real_token_regardless_of_padding():
    model = with_a_head(RewardModel(tiny_model()))
    short, long = ((BOS, THE, PLOT), (GOOD, EOS)), ((BOS, THE, PLOT, WAS), (VERY, VERY, BAD, EOS))
    with torch.no_grad():
        alone, in_company = model(collate([short], PAD)), model(collate([short, long], PAD))
        at_the_end = model.head(model.body(torch.tensor([[BOS, THE, PLOT, GOOD, EOS]]))[0][:, -1]).squeeze(-1)
        batch = collate([short, long], PAD)
        last_column = torch.arange(1, 3) * batch.input_ids.shape[1] - 1
        wrong = model.values_at(batch, last_column)
    torch.testing.assert_close(alone, at_the_end)
    torch.testing.assert_close(in_company[:1], alone)
    assert (wrong[0] - alone[0]).abs() > 0.1, "the output at padding must differ"


def test_a_value_does_not_depend_on_its_own_token():
    model = with_a_head(ValueModel(tiny_model()))
    with torch.no_grad():
        good, bad = (model(collate([((BOS, THE), (GOOD, word, EOS))], PAD)) for word in (GOOD, BAD))
    torch.testing.assert_close(good[:2], bad[:2])  # the values before "good" and before the differing word
    assert (good[2] - bad[2]).abs() > 0.01


def test_a_reward_model_learns_the_tiny_pairs_and_has_mean_reward_0():
    tokenizer, model = tiny_tokenizer(), RewardModel(tiny_model())
    assert evaluate_reward_model(model, tokenizer, tiny_pairs(6, seed=1)).accuracy == 0.5  # the head starts at 0
    config = RewardModelConfig(learning_rate=1e-2, epochs=6, batch_size=8)
    metrics = train_reward_model(model, tokenizer, tiny_pairs(), config)
    assert metrics[0]["loss"] == pytest.approx(math.log(2)) and len(metrics) == 18
    scores = evaluate_reward_model(model, tokenizer, tiny_pairs(6, seed=1))
    assert scores.accuracy == 1.0 and scores.loss < 0.2
    pairs, reward = tiny_pairs(), LearnedReward(model, tokenizer)
    prompts = [pair.prompt for pair in pairs]
    chosen, rejected = (reward(prompts, [getattr(p, side) for p in pairs]) for side in ("chosen", "rejected"))
    assert sum(chosen) + sum(rejected) == pytest.approx(0.0, abs=1e-3)
    assert min(chosen) > max(rejected)


def test_reward_model_training_is_reproducible_and_does_not_change_the_source_model():
    policy, tokenizer, runs = tiny_model(), tiny_tokenizer(), []
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    for seed in (0, 0, 1):
        config = RewardModelConfig(learning_rate=1e-2, batch_size=8, seed=seed)
        runs.append([row["loss"] for row in train_reward_model(RewardModel(policy), tokenizer, tiny_pairs(), config)])
    assert runs[0] == runs[1] != runs[2]
    torch.testing.assert_close(policy.state_dict(), before, rtol=0, atol=0)


def test_a_learned_reward_does_not_depend_on_the_batch():
    model, tokenizer = with_a_head(RewardModel(tiny_model())), tiny_tokenizer()
    prompts, responses = PROMPTS * 3, ["good", "not bad", "very very good", "bad", "good", "not very bad"]
    together, alone = (LearnedReward(model, tokenizer, batch_size=size)(prompts, responses) for size in (6, 1))
    assert together == pytest.approx(alone, abs=1e-5)
    long = LearnedReward(model, tokenizer)(
        ["the plot was"], [" ".join(["very"] * 60)]
    )  # longer than the context of 32: truncated
    assert len(long) == 1


@pytest.mark.parametrize("setting", ["learning_rate", "epochs", "batch_size", "max_grad_norm"])
def test_invalid_reward_model_settings_are_named(setting, unchecked_shapes):
    with pytest.raises(ValueError, match=f"^{setting} must be a finite number above 0, found 0"):
        RewardModelConfig(**{setting: 0})


def test_rollouts_record_the_results_of_a_plain_forward_pass():
    policy, reference, value = tiny_model(0), tiny_model(1), with_a_head(ValueModel(tiny_model(2)))
    rollouts = collect_rollouts(
        policy, reference, value, praise, tiny_tokenizer(), PROMPTS * 4, max_new_tokens=6, seed=3, batch_size=3
    )
    assert rollouts.rewards.tolist() == praise(PROMPTS * 4, rollouts.texts)
    for row, sample in enumerate(rollouts.samples):
        batch, length = collate([(sample.prompt_ids, sample.response_ids)], PAD), len(sample.response_ids)
        assert rollouts.mask[row].sum() == length
        with torch.no_grad():
            expected = {
                "logps": response_token_logps(policy, batch)[0],
                "reference_logps": response_token_logps(reference, batch)[0],
                "values": value(batch),
            }
        for name, numbers in expected.items():
            torch.testing.assert_close(getattr(rollouts, name)[row, :length], numbers, msg=name)
            assert getattr(rollouts, name)[row, length:].abs().sum() == 0
    assert 0 < rollouts.entropy < math.log(10)


def test_the_first_step_has_kl_0_and_ratio_1():
    rows = trainer().train()
    assert rows[0]["kl"] == 0.0
    assert rows[0]["first_ratio_gap"] < 1e-5 and rows[1]["first_ratio_gap"] < 1e-5
    assert rows[0]["step_kl"] > 1e-5, "later minibatches of the iteration have changed the policy"
    assert rows[1]["kl"] != 0.0


@pytest.mark.slow
@pytest.mark.parametrize("constant", [0.0, 0.7, -3.0])
def test_a_constant_reward_leaves_the_policy_at_the_reference(constant):
    run = trainer(lambda prompts, responses: [constant] * len(responses), iterations=4)
    rows = run.train()
    assert [row["kl"] for row in rows] == [0.0] * 4
    torch.testing.assert_close(run.policy.state_dict(), tiny_model().state_dict(), atol=1e-6, rtol=0)
    assert run.value.head.bias.item() == pytest.approx(constant)


@pytest.mark.slow
def test_ppo_raises_the_reward_and_a_higher_beta_lowers_the_kl():
    free, held = (trainer(beta=beta, iterations=12, rollouts=32).train() for beta in (0.02, 2.0))
    assert free[-1]["reward"] > free[0]["reward"] + 1.0
    assert free[-1]["kl"] > 2 * max(held[-1]["kl"], 0.0)
    assert free[-1]["entropy"] < free[0]["entropy"]
    assert free[-1]["objective"] == pytest.approx(free[-1]["reward"] - 0.02 * free[-1]["kl"])


@pytest.mark.slow
def test_the_value_model_learns_to_predict_returns():
    rows = trainer(beta=0.02, iterations=10, rollouts=64, learning_rate=1e-5, value_learning_rate=1e-2).train()
    assert rows[0]["explained_variance"] == pytest.approx(0.0, abs=1e-5), "the value model starts as a constant"
    assert sum(row["explained_variance"] for row in rows[-3:]) / 3 > 0.2, "it is 0.3 to 0.4 for any seed"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run():
    def without_seconds(rows):
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    one, same, other = (without_seconds(trainer(seed=seed).train()) for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_metrics_have_every_documented_field():
    seen = []
    run = PPOTrainer(tiny_model(), tiny_tokenizer(), PROMPTS, praise, PPOConfig(**SHORT), on_iteration=seen.append)
    rows = run.train()
    assert seen == rows
    assert [row["samples"] for row in rows] == [16, 32]
    assert set(rows[0]) == {
        "iteration", "reward", "kl", "objective", "entropy", "response_tokens", "explained_variance", "policy_loss",
        "value_loss", "clip_fraction", "step_kl", "first_ratio_gap", "samples", "seconds",
    }  # fmt: skip
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_dropout_is_off_and_the_reference_does_not_change():
    policy = tiny_model()
    policy.transformer.drop.p = 0.5
    policy.train()
    run = trainer(policy=policy)
    rows = run.train()
    assert rows[0]["kl"] == 0.0 and rows[0]["first_ratio_gap"] < 1e-5
    torch.testing.assert_close(run.reference.state_dict(), tiny_model().state_dict(), rtol=0, atol=0)


def test_a_learned_reward_needs_four_models_and_no_two_share_weights():
    assert list(trainer().models) == ["policy", "value", "reference"]
    reward = LearnedReward(RewardModel(tiny_model()), tiny_tokenizer())
    models = trainer(reward).models
    assert list(models) == ["policy", "value", "reference", "reward"]
    pointers = [parameter.data_ptr() for model in models.values() for parameter in model.parameters()]
    assert len(set(pointers)) == len(pointers)


def test_invalid_trainer_arguments_are_named():
    policy = tiny_model()
    with pytest.raises(ValueError, match="no trainable weight"):
        trainer(policy=freeze_reference(policy))
    with pytest.raises(ValueError, match="same object as the policy"):
        PPOTrainer(policy, tiny_tokenizer(), PROMPTS, praise, reference=policy)
    with pytest.raises(ValueError, match="prompts is empty"):
        PPOTrainer(policy, tiny_tokenizer(), [], praise)
    with pytest.raises(ValueError, match=r"reward: .* shape \(1,\) for 16 responses"):
        trainer(lambda prompts, responses: [1.0]).train()
    with pytest.raises(ValueError, match=r"reward: .* found nan for response"):
        trainer(lambda prompts, responses: [math.nan] * len(responses)).train()


def test_a_gradient_that_is_not_finite_raises_before_the_weights_change():
    run = trainer()
    experience = run.compute_advantages(run.collect_rollouts())
    experience.advantages.fill_(math.inf)
    with pytest.raises(ValueError, match="the policy's gradient in iteration 1 is not finite"):
        run.update(experience)
    torch.testing.assert_close(run.policy.state_dict(), tiny_model().state_dict(), rtol=0, atol=0)

"""Each fault changes one part of a healthy run, as its first step shows."""

import math
from functools import cache

import pytest

from dpo_teach.batches import TokenizedPair
from dpo_teach.clinic.faults import FAULTS
from dpo_teach.clinic.recipe import Recipe, Row, sample_pairs, train
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair
from dpo_teach.training import DPOConfig, DPOTrainer

BETA = 0.3
pytestmark = pytest.mark.slow


@cache
def pairs() -> dict[str, list[PreferencePair]]:
    return sample_pairs(0, count=16, held_out=4)


def recipe(**fields: object) -> Recipe:
    return Recipe(**(pairs() | {"steps": 2, "batch_size": 8, "beta": BETA} | fields))


@cache
def rows(fault: str = "") -> list[Row]:
    healthy = recipe()
    return train(FAULTS[fault].change(healthy) if fault else healthy)


def test_the_healthy_run_is_that_of_the_trainer() -> None:
    ours, (model, tokenizer) = recipe(batch_size=8), load_model("reviews-gpt2")
    config = DPOConfig(beta=BETA, learning_rate=ours.learning_rate, batch_size=8, seed=0)
    trained = DPOTrainer(model, tokenizer, ours.pairs, config, eval_pairs=ours.held_out).train()
    rows_of_ours = train(ours)
    for row, expected in zip(rows_of_ours, trained, strict=True):
        for name in ("loss", "margin", "chosen_logps", "rejected_rewards", "grad_norm", "learning_rate"):
            assert row[name] == pytest.approx(expected[name], abs=2e-5), name
    assert rows_of_ours[-1]["eval_loss"] == pytest.approx(trained[-1]["eval_loss"], abs=2e-5)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "half-precision"])
def test_the_first_loss_is_ln_2_unless_policy_and_reference_differ(fault: str) -> None:
    differ = fault in {"other-reference", "stale-reference", "no-reference", "dropout"}
    first = rows(fault)[0]
    assert (abs(first["loss"] - math.log(2)) > 1e-3) == differ
    if fault != "stale-reference":  # the mean over the step does not notice that the pairs are exchanged
        assert (max(abs(first["chosen_rewards"]), abs(first["rejected_rewards"])) > 1e-3) == differ


def test_without_a_reference_the_rewards_are_beta_times_the_log_probability() -> None:
    first = rows("no-reference")[0]
    assert first["chosen_rewards"] == pytest.approx(BETA * first["chosen_logps"])


@pytest.mark.parametrize("fault", ["beta-zero", "detached", "same-reference"])
def test_a_margin_that_stays_0_has_a_gradient_only_if_the_reference_moves_too(fault: str) -> None:
    assert [row["margin"] for row in rows(fault)] == [0, 0]
    assert (rows(fault)[0]["grad_norm"] > 0.1) == (fault == "same-reference")


def test_half_precision_ends_the_run_at_the_second_step() -> None:
    assert math.isnan(rows("half-precision")[-1]["loss"])
    assert len(rows("half-precision")) == 2


def test_exchanged_labels_and_an_exchanged_loss_start_with_the_same_gradient() -> None:
    norms = [rows(fault)[0]["grad_norm"] for fault in ("", "reversed-loss", "swapped-labels")]
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-4)
    assert rows("swapped-labels")[0]["chosen_logps"] == pytest.approx(rows()[0]["rejected_logps"])
    assert rows("reversed-loss")[1]["margin"] == pytest.approx(-rows("swapped-labels")[1]["margin"], abs=1e-4)


def test_a_mean_is_the_sum_divided_by_the_length() -> None:
    per_token = rows()[0]["chosen_logps"] / rows("mean")[0]["chosen_logps"]
    assert 10 < per_token < 40  # tokens


def test_without_the_shift_and_with_padding_the_text_is_far_less_probable() -> None:
    assert rows("no-shift")[0]["chosen_logps"] < 4 * rows()[0]["chosen_logps"]
    assert rows("padding-scored")[0]["chosen_logps"] < 2 * rows()[0]["chosen_logps"]


def test_the_rates_differ_by_a_factor() -> None:
    assert rows("high-rate")[0]["learning_rate"] == pytest.approx(20 * rows()[0]["learning_rate"])
    assert rows("low-rate")[0]["learning_rate"] == pytest.approx(rows()[0]["learning_rate"] / 100)


def test_the_data_of_the_faults_in_the_pairs() -> None:
    healthy = recipe()
    changed = {name: FAULTS[name].change(healthy) for name in ("swapped-labels", "random-labels", "trained-evaluation")}
    assert all(a.chosen == b.rejected for a, b in zip(changed["swapped-labels"].pairs, healthy.pairs, strict=True))
    flipped = [a.chosen == b.rejected for a, b in zip(changed["random-labels"].pairs, healthy.pairs, strict=True)]
    assert 0 < sum(flipped) < len(flipped)
    assert set(changed["trained-evaluation"].held_out) <= set(changed["trained-evaluation"].pairs)
    assert changed["swapped-labels"].held_out == healthy.held_out


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("no-end", TokenizedPair((5, 6), (7, 8), (9,))),
        ("two-starts", TokenizedPair((1, 1, 5, 6), (7, 8, 1), (9, 1))),
        ("prompt-scored", TokenizedPair((5,), (6, 7, 8, 1), (6, 9, 1))),
    ],
)
def test_the_tokens_of_the_faults_that_no_curve_shows(fault: str, expected: TokenizedPair) -> None:
    pair = TokenizedPair((5, 6), (7, 8, 1), (9, 1))  # 1 ends a text
    assert FAULTS[fault].change(recipe()).edit_tokens(pair) == expected


def test_many_passes_repeat_a_few_pairs() -> None:
    several = recipe(pairs=pairs()["pairs"] * 96, steps=48, batch_size=32)
    many = FAULTS["many-passes"].change(several)
    assert many.steps * many.batch_size / len(many.pairs) == 16

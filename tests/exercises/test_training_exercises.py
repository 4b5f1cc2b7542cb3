"""The exercises of notebook 04: the check of a training step compares the losses of three steps."""

from typing import Any

import pytest
import torch
from exercises.wrong_answers.training import no_step, right_step, zeroed_too_late

from dpo_teach.exercises.exercise import Verdict
from dpo_teach.exercises.training import choose_beta, training_step
from dpo_teach.logps import response_logps


def message(step: Any) -> str:
    verdict = training_step.check(step)
    assert verdict.status == "wrong"
    return verdict.message


def test_an_equivalent_training_step_solves() -> None:
    assert training_step.check(right_step) == Verdict("solved", training_step.praise)


def test_gradients_zeroed_too_late_get_the_diagnosis_of_weights_that_do_not_change() -> None:
    assert "between `backward` and `step`" in message(zeroed_too_late)


def test_the_diagnosis_of_unchanged_weights_shows_the_loss_after_the_first_step() -> None:
    # No weight has changed, so the loss of the first batch is still ln 2.
    assert "After step 1 of test case 1 the loss of its batch is 0.6931, and 0." in message(no_step)


@pytest.mark.slow
def test_an_unknown_mistake_is_described_by_its_first_loss_or_by_its_weights() -> None:
    def smooth(*arguments: Any) -> Any:
        return right_step(*arguments) + 0.25

    def twice(*arguments: Any) -> Any:
        loss = right_step(*arguments)
        right_step(*arguments)
        return loss

    assert message(smooth) == (
        "Your loss is wrong even in the first step, before any weight has changed. "
        "In step 1 of test case 1 you return 0.9431, and 0.6931 is right. "
        "To see its first step, run `my_training_step(**training_step.case(1))`."
    )
    assert "does not change the weights as it should" in message(twice)


def test_a_loss_that_is_not_a_number_is_reported() -> None:
    each = message(lambda p, o, b, r, beta: response_logps(p, b))
    assert each == "Expected one number, the loss, but your step returns a tensor of shape (8,)."
    several = message(lambda p, o, b, r, beta: (torch.tensor(0.69), 1.0))
    assert several.startswith("Expected one number, the loss, but your step returns a tuple of 2.")
    assert message(lambda p, o, b, r, beta: "0.69") == "Expected one number, the loss, but your step returns a str."
    assert message(lambda p, o, b, r, beta: torch.tensor(torch.nan)).startswith("Your step returns nan")
    assert message(0.6931).startswith("Expected a function, but this is a float.")


def test_a_step_that_computes_logps_but_returns_nothing_is_not_a_stub() -> None:
    def half_way(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> None:
        response_logps(policy, batch)

    assert "returns nothing" in message(half_way)


@torch.no_grad()
def without_gradients(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    return right_step(policy, optimizer, batch, reference, beta)


def test_an_error_names_its_line_even_under_a_decorator() -> None:
    assert message(without_gradients).startswith("Your function stopped at its line 3, `return right_step(")
    assert "with RuntimeError: `element 0 of tensors does not require grad" in message(without_gradients)


@pytest.mark.parametrize("other", [7.0, -1.0])
def test_the_message_for_an_unknown_beta_includes_the_correct_one(other: float) -> None:
    text = f"In test case 1 your result is {other:.4f}, expected 0.3000."
    assert choose_beta.check(lambda *_: other).message.startswith(text)
    assert "cannot be called with 3 values, `runs, most_kl, least_fluency`" in choose_beta.check(lambda runs: 1).message

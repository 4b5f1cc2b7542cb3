"""Every check of notebook 04 on the solution, on the stub, and on every planted wrong answer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_

from dpo_teach.batches import split_pairs
from dpo_teach.exercises.base import FunctionExercise, Verdict
from dpo_teach.exercises.training import Run, choose_beta, training_step
from dpo_teach.logps import response_logps
from dpo_teach.loss import compute_dpo_loss

EXERCISES = {"training_step": training_step, "choose_beta": choose_beta}


def stub(*_: Any) -> Any: ...


def not_implemented(*_: Any) -> Any:
    raise NotImplementedError


def ellipsis(*_: Any) -> Any:
    return ...


# Training steps, without a call of the exercise's own code


def own_loss(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch)
    half = len(logps) // 2
    ratios = logps - torch.cat([reference[:, 0], reference[:, 1]])
    return F.softplus(-beta * (ratios[:half] - ratios[half:])).mean()


def another_right_step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    policy.zero_grad()
    loss.backward()
    clip_grad_norm_(list(policy.parameters()), max_norm=1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def no_zero_grad(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    loss.backward()
    clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def zeroed_too_late(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def no_step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    optimizer.zero_grad()
    loss.backward()
    return loss


def clipped_after_the_step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    clip_grad_norm_(policy.parameters(), 1.0)
    return loss.item()


def step_with(loss_of: Callable[..., Any]) -> Callable[..., Any]:
    def step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
        optimizer.zero_grad()
        loss = loss_of(policy, batch, reference, beta)
        loss.backward()
        clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def default_beta(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return compute_dpo_loss(*split_pairs(response_logps(policy, batch)), *reference.T)


def no_reference(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def crossed_references(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return own_loss(policy, batch, reference[:, [1, 0]], beta)


def swapped(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    rejected, chosen = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, reference[:, 1], reference[:, 0], beta)


def every_second_row(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch)
    return compute_dpo_loss(logps[0::2], logps[1::2], reference[:, 0], reference[:, 1], beta)


def mean_over_tokens(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch) / batch.response_mask.sum(1)
    return compute_dpo_loss(*split_pairs(logps), reference[:, 0], reference[:, 1], beta)


STEP_MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "returns nothing": (lambda *a: [another_right_step(*a), None][1], "returns nothing"),
    "no step": (no_step, "the weights are where they were"),
    "no zero_grad": (no_zero_grad, "gradients of earlier steps"),
    "clipped too late": (clipped_after_the_step, "not clipped"),
    "default beta": (step_with(default_beta), "whatever β is asked for"),
    "no reference": (step_with(no_reference), "reference is missing"),
    "crossed references": (step_with(crossed_references), "two columns"),
    "swapped": (step_with(swapped), "Chosen and rejected are swapped"),
    "every second row": (step_with(every_second_row), "every second row"),
    "mean over tokens": (step_with(mean_over_tokens), "number of tokens"),
}


# Choices of beta


def within(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


BETA_MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "no limits": (lambda runs, k, f: sorted(runs, key=lambda r: r.true_reward)[-1].beta, "no regard to the limits"),
    "no fluency": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.kl <= k)[1],
        "one on fluency is not",
    ),
    "no KL": (lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.fluency >= f)[1], "one on KL is not"),
    "smallest beta": (lambda *a: min(r.beta for r in within(*a)), "smallest β"),
    "closest": (lambda *a: min((r.kl, r.beta) for r in within(*a))[1], "closest to the reference"),
    "furthest": (lambda *a: max((r.kl, r.beta) for r in within(*a))[1], "went furthest"),
    "reward": (lambda *a: max(r.true_reward for r in within(*a)), "Its beta is wanted"),
}
PLANTED = [
    *((training_step, name, *mistake) for name, mistake in STEP_MISTAKES.items()),
    *((choose_beta, name, *mistake) for name, mistake in BETA_MISTAKES.items()),
]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_revealed_solution_solves(exercise: FunctionExercise) -> None:
    assert "Tensor" not in exercise.reveal()
    names: dict[str, Any] = {"torch": torch, "split_pairs": split_pairs, "response_logps": response_logps,
                             "compute_dpo_loss": compute_dpo_loss}  # fmt: skip
    exec(exercise.reveal(), names)  # the text that the learner is shown, run as it stands
    function = next(value for name, value in names.items() if name.startswith("my_"))
    assert exercise.check(function) == Verdict("solved", exercise.praise)


def test_another_way_to_the_same_step_solves() -> None:
    assert training_step.check(another_right_step).status == "solved"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
@pytest.mark.parametrize("blank", [None, ..., stub, not_implemented, ellipsis])
def test_unattempted_is_no_error_and_says_what_to_do(exercise: FunctionExercise, blank: Any) -> None:
    verdict = exercise.check(blank)
    assert verdict.status == "unattempted"
    assert exercise.task in verdict.message


@pytest.mark.parametrize(("exercise", "name", "answer", "words"), PLANTED, ids=[p[1] for p in PLANTED])
def test_every_planted_mistake_gets_its_own_diagnosis(
    exercise: FunctionExercise, name: str, answer: Callable[..., Any], words: str
) -> None:
    verdict = exercise.check(answer)
    assert verdict.status == "wrong"
    assert words in verdict.message
    others = [mistake.diagnosis for mistake in exercise.mistakes if words in mistake.diagnosis]
    assert others == [verdict.message], "the words do not tell the diagnoses apart"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_every_diagnosis_has_a_test(exercise: FunctionExercise) -> None:
    assert len([p for p in PLANTED if p[0] is exercise]) == len(exercise.mistakes)


def test_gradients_set_to_zero_too_late_are_told_as_a_policy_that_stays() -> None:
    assert "between `backward` and `step`" in training_step.check(zeroed_too_late).message


def test_an_unforeseen_step_is_told_by_its_first_number_or_by_its_weights() -> None:
    def smooth(*arguments: Any) -> Any:
        return another_right_step(*arguments) + 0.25

    def twice(*arguments: Any) -> Any:
        loss = another_right_step(*arguments)
        another_right_step(*arguments)
        return loss

    assert "you return 0.9431, and the loss is 0.6931" in training_step.check(smooth).message
    assert "does not leave the weights where it should" in training_step.check(twice).message


def test_an_answer_that_stops_is_told_and_not_raised() -> None:
    @torch.no_grad()
    def without_gradients(*arguments: Any) -> Any:
        return another_right_step(*arguments)

    assert "stopped with RuntimeError" in training_step.check(without_gradients).message
    assert (
        "shape (8,), where one number is wanted"
        in training_step.check(lambda p, o, b, r, beta: response_logps(p, b)).message
    )
    assert "this is a float" in training_step.check(0.6931).message
    assert "stopped with TypeError" in choose_beta.check(lambda runs: 0.1).message
    assert "in test case 1 your result is 7.0000, and 0.3000 is wanted" in choose_beta.check(lambda *_: 7.0).message

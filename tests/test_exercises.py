"""Every check on the solution, on the stub, and on every planted wrong answer, each of which gets its own words."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from dpo_teach import compute_dpo_loss, compute_implicit_reward, margin
from dpo_teach.exercises import introduction
from dpo_teach.exercises.base import ChoiceExercise, Exercise, FunctionExercise, Verdict

FUNCTIONS = {"loss": introduction.loss, "implicit_reward": introduction.implicit_reward}
CHOICES = {"confused_pair": introduction.confused_pair}
EXERCISES: dict[str, Exercise] = {**FUNCTIONS, **CHOICES}


def stub(*_: Any, **__: Any) -> Any: ...


def not_implemented(*_: Any) -> Any:
    raise NotImplementedError


def ellipsis(*_: Any) -> Any:
    return ...


# The answers below are written out here, as a learner would write them, and not taken from the exercise.


def m(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
    return beta * (pc - rc - pr + rr)


LOSS_MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "sign flipped": (lambda *a: F.logsigmoid(m(*a)).mean(), "sign flipped"),
    "chosen and rejected swapped": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pr - rr - pc + rc)).mean(),
        "swapped, or",
    ),
    "no reference": (lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - pr)).mean(), "reference is missing"),
    "crossed references": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - rr - pr + rc)).mean(),
        "references are swapped",
    ),
    "no beta": (lambda pc, pr, rc, rr, b: -F.logsigmoid(pc - rc - pr + rr).mean(), "Beta is missing"),
    "fixed beta": (lambda pc, pr, rc, rr, b: -F.logsigmoid(0.1 * (pc - rc - pr + rr)).mean(), "whatever β is asked"),
    "sum": (lambda *a: -F.logsigmoid(m(*a)).sum(), "summed over the batch"),
    "no mean": (lambda *a: -F.logsigmoid(m(*a)), "one loss for each pair"),
    "sigmoid": (lambda *a: m(*a).sigmoid().mean(), "stopped at the probability"),
    "minus sigmoid": (lambda *a: -m(*a).sigmoid().mean(), "the logarithm is missing"),
    "mean first": (lambda *a: -F.logsigmoid(m(*a).mean()), "averaged the margins"),
}
REWARD_MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "sign flipped": (lambda p, r, b: b * (r - p), "sign is flipped"),
    "no reference": (lambda p, r, b: b * p, "reference is missing"),
    "no beta": (lambda p, r, b: p - r, "Beta is missing"),
    "divided": (lambda p, r, b: (p - r) / b, "divided by β"),
    "ratio of logarithms": (lambda p, r, b: b * p / r, "difference* of logarithms"),
    "ratio of probabilities": (lambda p, r, b: b * p.exp() / r.exp(), "ratio of the probabilities"),
    "mean": (lambda p, r, b: (b * (p - r)).mean(), "mean reward of the batch"),
}
PLANTED = [
    *((introduction.loss, name, *mistake) for name, mistake in LOSS_MISTAKES.items()),
    *((introduction.implicit_reward, name, *mistake) for name, mistake in REWARD_MISTAKES.items()),
]


@pytest.mark.parametrize("exercise", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_revealed_solution_solves(exercise: FunctionExercise) -> None:
    names: dict[str, Any] = {"F": F}
    exec(exercise.reveal(), names)  # the text that the learner is shown, run as it stands
    function = next(value for name, value in names.items() if name.startswith("my_"))
    assert exercise.check(function) == Verdict("solved", exercise.praise)


def test_the_package_itself_solves() -> None:
    assert introduction.loss.check(compute_dpo_loss).status == "solved"
    assert introduction.implicit_reward.check(compute_implicit_reward).status == "solved"


def test_another_way_to_the_same_numbers_solves() -> None:
    assert introduction.loss.check(lambda *a: torch.log1p(torch.exp(-m(*a))).mean()).status == "solved"
    assert introduction.loss.check(lambda *a: float(-F.logsigmoid(m(*a)).mean())).status == "solved"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_unattempted_is_no_error_and_says_what_to_do(exercise: Exercise) -> None:
    blanks: list[Any] = [None, ...]
    if isinstance(exercise, FunctionExercise):
        blanks += [stub, not_implemented, ellipsis]
    for blank in blanks:
        verdict = exercise.check(blank)
        assert verdict.status == "unattempted"
        assert exercise.task in verdict.message


@pytest.mark.parametrize(("exercise", "name", "answer", "words"), PLANTED, ids=[f"{p[1]}" for p in PLANTED])
def test_every_planted_mistake_gets_its_own_diagnosis(
    exercise: FunctionExercise, name: str, answer: Callable[..., Any], words: str
) -> None:
    verdict = exercise.check(answer)
    assert verdict.status == "wrong"
    assert words in verdict.message


@pytest.mark.parametrize("exercise", FUNCTIONS.values(), ids=FUNCTIONS)
def test_no_two_messages_are_the_same(exercise: FunctionExercise) -> None:
    planted = [p for p in PLANTED if p[0] is exercise]
    assert len(planted) == len(exercise.mistakes), "a mistake that no test plants"
    answers = [p[2] for p in planted] + [stub, exercise.solution, lambda *_: torch.tensor(0.25), lambda *_: "text", 3.0]
    messages = [exercise.check(answer).message for answer in answers]
    assert len(set(messages)) == len(messages)


def test_an_unforeseen_answer_is_told_in_numbers() -> None:
    check = introduction.implicit_reward.check
    assert "in test case 1 your result is" in check(lambda p, r, b: b * (p - r) + 1).message
    assert "shape (2, 4), and (4,) is wanted" in check(lambda p, r, b: torch.stack([p, r])).message
    assert "got a str" in check(lambda p, r, b: "0.1").message
    assert check(lambda p, r, b: p + torch.nan).status == "wrong"


def test_an_answer_that_stops_is_told_and_not_raised() -> None:
    verdict = introduction.loss.check(lambda *_: 1 / 0)
    assert verdict == Verdict("wrong", "Your function stopped with ZeroDivisionError: division by zero")
    assert "stopped with TypeError" in introduction.loss.check(lambda x: x).message
    assert "this is a float" in introduction.loss.check(0.6262).message


def test_a_function_that_writes_into_its_arguments_spoils_nothing() -> None:
    def rude(policy: Any, reference: Any, beta: float) -> Any:
        policy.sub_(reference)
        return policy.mul_(beta)

    assert introduction.implicit_reward.check(rude).status == "solved"
    assert introduction.implicit_reward.check(compute_implicit_reward).status == "solved"


# The confused pair


def test_the_confused_pair_is_confused_and_the_only_one() -> None:
    margins = margin(*introduction.PAIRS.values(), beta=0.1)
    assert (margins < 0).tolist() == [False, False, True, False]
    assert list(introduction.PAIRS) == ["policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"]
    chosen = introduction.PAIRS["policy_chosen"] - introduction.PAIRS["reference_chosen"]
    rejected = introduction.PAIRS["policy_rejected"] - introduction.PAIRS["reference_rejected"]
    assert chosen.tolist() == [2, 3, 1, -2]  # as the explanation says
    assert rejected.tolist() == [-1, 1, 4, -6]
    assert introduction.confused_pair.check(3).status == "solved"


def test_each_wrong_pair_has_its_own_diagnosis() -> None:
    verdicts = [introduction.confused_pair.check(pair) for pair in (1, 2, 4, 0, "three", [3])]
    assert {verdict.status for verdict in verdicts} == {"wrong"}
    assert len({verdict.message for verdict in verdicts}) == 6
    assert "The choices are 1, 2, 3, 4, and this is 0." in verdicts[3].message


# Hints


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_hints_come_one_by_one_and_the_solution_is_folded(exercise: Exercise) -> None:
    assert len(exercise.hints) >= 2
    assert [exercise.hint(i + 1) for i in range(len(exercise.hints))] == list(exercise.hints)
    with pytest.raises(ValueError, match=f"number must lie between 1 and {len(exercise.hints)}, found 0"):
        exercise.hint(0)
    html = exercise.help()._repr_html_()
    assert html.count("<details>") == html.count("</details>") == len(exercise.hints) + 1
    assert "<details open" not in html
    assert repr(exercise.help()) == f"{len(exercise.hints)} hints and a solution, folded: open them one at a time."
    if isinstance(exercise, ChoiceExercise):
        assert exercise.reveal() == exercise.explanation


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_a_verdict_reads_as_one_line(exercise: Exercise) -> None:
    assert repr(exercise.check(None)).startswith("✏️ Nothing to check yet.")
    assert "\n" not in repr(exercise.check(None))

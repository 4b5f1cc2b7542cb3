"""Exercises with choices: each wrong choice has its own diagnosis, which does not reveal the answer."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from dpo_teach import margin
from dpo_teach.exercises import EXERCISES
from dpo_teach.exercises.choice import MatchExercise, Question
from dpo_teach.exercises.exercise import Verdict
from dpo_teach.exercises.gradients import WORLDS, first_step, logp_signs
from dpo_teach.exercises.introduction import PAIRS, confused_pair
from dpo_teach.exercises.training import diagnose_runs

MATCHES = [exercise for found in EXERCISES.values() for exercise in found if isinstance(exercise, MatchExercise)]
every_match = pytest.mark.parametrize("exercise", MATCHES, ids=lambda exercise: exercise.answer_name)


def key(exercise: MatchExercise) -> dict[str, Any]:
    return {label: question.answer for label, question in exercise.questions.items()}


def listed(labels: list[str]) -> str:
    """Labels as a list in a message; a label of `count_models` contains a comma."""
    return ("; " if any("," in label for label in labels) else ", ").join(labels)


# The confused pair


def test_the_confused_pair_is_confused_and_the_only_one() -> None:
    margins = margin(*PAIRS.values(), beta=0.1)
    assert (margins < 0).tolist() == [False, False, True, False]
    assert list(PAIRS) == ["policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"]
    chosen = PAIRS["policy_chosen"] - PAIRS["reference_chosen"]
    rejected = PAIRS["policy_rejected"] - PAIRS["reference_rejected"]
    assert chosen.tolist() == [2, 3, 1, -2]  # as the explanation says
    assert rejected.tolist() == [-1, 1, 4, -6]
    assert confused_pair.check(3).status == "solved"


def test_each_wrong_pair_has_its_own_diagnosis() -> None:
    verdicts = [confused_pair.check(pair) for pair in (1, 2, 4, 0, "three", [3], True)]
    assert {verdict.status for verdict in verdicts} == {"wrong"}
    assert len({verdict.message for verdict in verdicts}) == 7
    assert verdicts[3].message == "Expected one of 1, 2, 3, 4, found `0`."
    assert verdicts[4].message == 'Expected one of 1, 2, 3, 4, found `"three"`.'


@pytest.mark.parametrize("answer", [3, 3.0, "3", " 3 ", torch.tensor(3), torch.tensor([3])])
def test_a_choice_is_recognised_in_every_form(answer: Any) -> None:
    assert confused_pair.check(answer).status == "solved"


# One choice for each label


@every_match
def test_each_wrong_choice_has_its_own_diagnosis_and_none_reveals_the_right_one(exercise: MatchExercise) -> None:
    messages = set()
    for label, question in exercise.questions.items():
        for choice in set(exercise.choices) - {question.answer}:
            verdict = exercise.check(key(exercise) | {label: choice})
            total = len(exercise.questions)
            assert verdict.status == "wrong"
            assert verdict.message == f"{total - 1} of {total} right. {label}: {question.diagnoses[choice]}"
            assert not re.search(rf"\b{re.escape(question.answer)}\b", question.diagnoses[choice])
            messages.add(verdict.message)
    assert len(messages) == len(exercise.questions) * (len(exercise.choices) - 1)


@every_match
def test_the_first_wrong_choice_is_explained_and_all_are_counted(exercise: MatchExercise) -> None:
    labels = list(exercise.questions)
    wrong = {label: next(iter(exercise.questions[label].diagnoses)) for label in labels}
    message = exercise.check(wrong).message
    assert message.startswith(f"0 of {len(labels)} right. {labels[0]}: ")
    last_two = exercise.check(key(exercise) | {label: wrong[label] for label in labels[-2:]}).message
    assert last_two.startswith(f"{len(labels) - 2} of {len(labels)} right. {labels[-2]}: ")


@every_match
def test_answers_may_be_given_one_by_one(exercise: MatchExercise) -> None:
    labels = list(exercise.questions)
    nothing: list[Mapping[str, Any]] = [{}, dict.fromkeys(labels, ...), dict.fromkeys(labels)]
    for blank in nothing:
        assert exercise.check(blank) == Verdict("unattempted", f"Nothing to check yet. {exercise.task}")
    first = {labels[0]: exercise.questions[labels[0]].answer, labels[1]: ...}
    text = f"1 of {len(labels)} right; not answered yet: {listed(labels[1:])}."
    assert exercise.check(first) == Verdict("unfinished", text)
    assert repr(exercise.check(first)).startswith("✏️ 1 of")
    second = {labels[1]: next(iter(exercise.questions[labels[1]].diagnoses))}
    text = f"0 of {len(labels)} right; not answered yet: {listed([labels[0], *labels[2:]])}. {labels[1]}: "
    assert exercise.check(second).message.startswith(text)


@every_match
def test_unknown_labels_and_choices_are_reported(exercise: MatchExercise) -> None:
    labels = list(exercise.questions)
    assert exercise.check({"Z": "healthy"}).message == f'Unknown label `"Z"`: the labels are {listed(labels)}.'
    assert exercise.check({1: "healthy"}).message.startswith("Unknown label `1`")
    strange = exercise.check({labels[0]: "sideways"}).message
    shown = exercise.choices[0] if exercise.choices[0].isdigit() else f'`"{exercise.choices[0]}"`'
    assert strange.startswith(f"{labels[0]}: expected one of {shown}, ")
    assert strange.endswith('found `"sideways"`.')
    no_dict = exercise.check(list(exercise.choices)).message
    assert no_dict.startswith(f'Expected a dict, `{exercise.answer_name} = {{"{labels[0]}": ..., "{labels[1]}": ..., ')
    assert no_dict.endswith("but this is a list.")


def test_capitals_and_spaces_do_not_matter() -> None:
    answers = {label: f"  {choice.upper()} " for label, choice in key(logp_signs).items()}
    assert logp_signs.check(answers).status == "solved"


def test_a_question_needs_a_diagnosis_for_each_wrong_choice() -> None:
    question = Question(answer="up", explanation="", diagnoses={})
    with pytest.raises(ValueError, match="question 'A': expected one diagnosis for each wrong choice"):
        replace(logp_signs, choices=("up", "down"), questions={"A": question})
    with pytest.raises(ValueError, match="question 'A'"):
        leak = Question(answer="up", explanation="", diagnoses={"up": "", "down": ""})
        replace(logp_signs, choices=("up", "down"), questions={"A": leak})


# The right answers


def signs(changes: torch.Tensor) -> str:
    chosen, rejected = (changes[:2] > 0).tolist()
    return {(True, False): "chosen up, rejected down", (False, False): "both down", (True, True): "both up"}[
        (chosen, rejected)
    ]


@pytest.mark.parametrize("label", WORLDS)
@pytest.mark.parametrize(("beta", "learning_rate"), [(0.1, 0.01), (0.1, 0.5), (1.0, 0.1)])
def test_the_signs_are_those_of_one_step_of_dpo(label: str, beta: float, learning_rate: float) -> None:
    assert signs(first_step(WORLDS[label], beta, learning_rate)) == logp_signs.questions[label].answer


def test_a_small_step_changes_logps_as_worked_out_by_hand() -> None:
    # Δθ = rate x beta/2 x (φ_w - φ_l) = 0.0005 x (φ_w - φ_l); Δ log P(y) = (φ(y) - mean φ) · Δθ.
    by_hand = {
        "A": [0.0005, -0.0005, 0.0],  # (2/3, -1/3)·(1, -1) = 1; (-1/3, 2/3)·(1, -1) = -1; (-1/3, -1/3)·(1, -1) = 0
        "B": [-0.000125, -0.00025, 0.000375],  # mean 1.5: -0.5 x 0.5, -1.0 x 0.5, 1.5 x 0.5
        "C": [0.000375, 0.00025, -0.000625],  # mean -0.5: 1.5 x 0.5, 1.0 x 0.5, -2.5 x 0.5
    }
    for label, expected in by_hand.items():
        changes = first_step(WORLDS[label].double(), beta=0.1, learning_rate=0.01)
        assert changes.tolist() == pytest.approx(expected, abs=1e-6)
        assert changes[0] > changes[1], "the margin grows in every world"


def test_the_first_step_is_computed_even_under_no_grad() -> None:
    with torch.no_grad():
        assert first_step(WORLDS["A"])[0] > 0


def test_each_run_has_a_diagnosis_of_its_own() -> None:
    assert key(diagnose_runs) == {
        "A": "trained too long",
        "B": "healthy",
        "C": "reference is not the start",
        "D": "learning rate too high",
        "E": "nothing moves",
    }

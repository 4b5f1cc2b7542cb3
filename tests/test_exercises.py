"""What holds for every exercise: on its solution, on its stub, and on every planted mistake, which is told its own."""

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
import torch.nn.functional as F
from planted import PLANTED, VARIANTS
from planted_gradients import token_logps
from planted_introduction import m

from dpo_teach import compute_dpo_loss, compute_implicit_reward, gradient_weight
from dpo_teach.batches import split_pairs
from dpo_teach.exercises import EXERCISES, gradients, introduction, rlhf
from dpo_teach.exercises.base import Exercise
from dpo_teach.exercises.comparing import TOLERANCE, close
from dpo_teach.exercises.function import FunctionExercise
from dpo_teach.exercises.verdict import Verdict
from dpo_teach.logps import response_logps, sequence_logps
from dpo_teach.rlhf import bradley_terry_loss

ALL = [exercise for exercises in EXERCISES.values() for exercise in exercises]
MISTAKES = [(exercise, name, *told) for exercise, mistakes in PLANTED.items() for name, told in mistakes.items()]
NAMES = {"F": F, "torch": torch, "split_pairs": split_pairs, "response_logps": response_logps,
         "compute_dpo_loss": compute_dpo_loss}  # fmt: skip
"""What the notebooks have imported before the stubs."""

every_exercise = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.answer_name)
every_function = pytest.mark.parametrize("exercise", PLANTED, ids=lambda exercise: exercise.answer_name)


def stub(*_: Any) -> Any: ...


def documented_stub(*_: Any) -> Any:
    """To be written."""


def not_implemented(*_: Any) -> Any:
    raise NotImplementedError


def ellipsis(*_: Any) -> Any:
    return ...


def begun(*arguments: Any) -> Any:
    print(len(arguments))
    return ...


# The catalogue


def test_every_exercise_is_in_the_catalogue_under_its_notebook_and_its_own_names() -> None:
    notebooks = sorted(path.name[:2] for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
    assert list(EXERCISES) == notebooks
    assert all(exercise.notebook == notebook for notebook, found in EXERCISES.items() for exercise in found)
    assert len({exercise.answer_name for exercise in ALL}) == len({exercise.name for exercise in ALL}) == len(ALL)
    assert set(PLANTED) == {exercise for exercise in ALL if isinstance(exercise, FunctionExercise)}


@pytest.mark.slow
def test_the_catalogue_does_not_wait_for_transformers() -> None:
    code = "import sys, dpo_teach.exercises; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Right answers


@every_exercise
def test_the_cell_with_the_solution_solves(exercise: Exercise) -> None:
    names = dict(NAMES)
    exec(exercise.solution_cell(), names)  # the text that goes into the stub's cell, run as it stands
    assert set(names) - set(NAMES) - {"__builtins__"} == {exercise.answer_name}
    assert exercise.check(names[exercise.answer_name]) == Verdict("solved", exercise.praise)


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        (introduction.loss, compute_dpo_loss),
        (introduction.loss, lambda *a: F.softplus(-m(*a)).mean()),
        (introduction.loss, lambda *a: F.binary_cross_entropy_with_logits(m(*a), torch.ones_like(a[0]))),
        (introduction.implicit_reward, compute_implicit_reward),
        (introduction.implicit_reward, lambda p, r, b: [float(b * (x - y)) for x, y in zip(p, r, strict=True)]),
        (rlhf.bradley_terry, bradley_terry_loss),
        (rlhf.bradley_terry, lambda c, r: F.binary_cross_entropy_with_logits(c - r, torch.ones_like(c))),
        (rlhf.bradley_terry, lambda c, r: -torch.stack([c, r]).log_softmax(0)[0].mean()),
        (rlhf.bradley_terry, lambda c, r: -torch.sigmoid(c.float() - r.float()).log().mean()),
        (gradients.gradient_weight, gradient_weight),
        (gradients.gradient_weight, lambda m, b: (b * (1 - torch.sigmoid(m))).float().numpy()),
        (gradients.sequence_logps, sequence_logps),
        (gradients.sequence_logps, lambda x, ids, mask: (token_logps(x, ids) * mask[:, 1:]).sum(1)),
    ],
)
def test_the_package_and_other_ways_to_the_same_numbers_solve(exercise: Exercise, function: Callable[..., Any]) -> None:
    assert exercise.check(function).status == "solved"


# Stubs


@pytest.mark.slow
@every_exercise
def test_unattempted_is_no_error_and_says_what_to_do(exercise: Exercise) -> None:
    blanks: list[Any] = [None, ...]
    if isinstance(exercise, FunctionExercise):
        blanks += [stub, documented_stub, not_implemented, ellipsis, begun]
    for blank in blanks:
        assert exercise.check(blank) == Verdict("unattempted", f"Nothing to check yet. {exercise.task}")


# Planted mistakes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [(exercise, answer, words) for exercise, _, answer, words in MISTAKES],
    ids=[f"{exercise.answer_name}: {name}" for exercise, name, *_ in MISTAKES],
)
def test_every_planted_mistake_gets_its_own_diagnosis_and_both_numbers(
    exercise: FunctionExercise, answer: Callable[..., Any], words: str
) -> None:
    verdict = exercise.check(answer)
    assert verdict.status == "wrong"
    (diagnosis,) = (mistake.diagnosis for mistake in exercise.mistakes if words in mistake.diagnosis)
    told = verdict.message.removeprefix(f"{diagnosis} ")
    number = r"(\[.*\]|-?\d+\.\d+|-?inf|nan|nothing)"
    where = r"(?:In|After) (?:step \d of )?test case (\d)(?:,? .*)?"
    how = (
        rf"To see it(?:s first step)?, run `{exercise.answer_name}\(\*\*{exercise.name_in_notebook}\.case\((\d)\)\)`\."
    )
    shown = re.fullmatch(rf"{where} {number}, and {number} is right\. {how}", told)
    assert shown, verdict.message
    case, found, right, case_to_see = shown.groups()
    assert found != right
    assert case == case_to_see


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [(exercise, *variant) for exercise, variants in VARIANTS.items() for variant in variants],
)
def test_a_mistake_is_recognised_in_its_other_forms(
    exercise: FunctionExercise, answer: Callable[..., Any], words: str
) -> None:
    assert planted.is_recognised(exercise, answer, words), exercise.check(answer).message


@every_function
def test_every_diagnosis_has_a_planted_mistake(exercise: FunctionExercise) -> None:
    words = [words for _, words in PLANTED[exercise].values()]
    assert len(words) == len(exercise.mistakes) >= 3
    assert all(any(word in mistake.diagnosis for word in words) for mistake in exercise.mistakes)


@pytest.mark.slow
@every_function
def test_planted_answers_differ_from_each_other_and_from_the_solution(exercise: FunctionExercise) -> None:
    answers = {"solution": exercise.solution} | {name: answer for name, (answer, _) in PLANTED[exercise].items()}
    results = {name: exercise.results(answer) for name, answer in answers.items()}
    alike = [
        (one, other)
        for one, other in combinations(results, 2)
        if all(close(*pair, tolerance=10 * TOLERANCE) for pair in zip(results[one], results[other], strict=True))
    ]
    assert not alike


@every_function
def test_a_diagnosis_says_what_is_wrong_and_why_it_matters(exercise: FunctionExercise) -> None:
    for mistake in exercise.mistakes:
        assert len(re.findall(r"[.?](?= |$)", mistake.diagnosis)) == 2, mistake.diagnosis
        assert "\n" not in mistake.diagnosis


@pytest.mark.slow
def test_the_table_counts_every_planted_mistake() -> None:
    lines = planted.table().splitlines()
    assert len(lines) == 1 + len(PLANTED) + 2
    assert lines[-2].split() == ["total", str(len(MISTAKES)), str(len(MISTAKES))]
    assert lines[-1] == "100.0% of the planted mistakes are named"

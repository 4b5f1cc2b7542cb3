"""The test cases of an exercise, in the learner's own hands: `my_dpo_loss(**exercises.loss.case(1))`."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
from planted import PLANTED

from dpo_teach.exercises.function import FunctionExercise
from dpo_teach.exercises.introduction import implicit_reward, loss
from dpo_teach.exercises.training import training_step
from tools.notebooks.form import read

FOLDER = Path(__file__).parent.parent / "notebooks"

every_function = pytest.mark.parametrize("exercise", PLANTED, ids=lambda exercise: exercise.answer_name)


def imports_and_checks(exercise: FunctionExercise) -> tuple[str, str]:
    """Of the notebook of an exercise: what its check cells import, and all that they say."""
    (path,) = FOLDER.glob(f"{exercise.notebook}_*.ipynb")
    cells = [cell["source"] for cell in read(path)["cells"] if "check" in cell["metadata"].get("tags", [])]
    lines = "\n".join(cells).splitlines()
    return "\n".join(line for line in lines if line.startswith(("from ", "import "))), "\n".join(lines)


@every_function
def test_the_notebook_reaches_an_exercise_by_the_name_that_it_has_there(exercise: FunctionExercise) -> None:
    imports, checks = imports_and_checks(exercise)
    assert f"\n{exercise.name_in_notebook}.check({exercise.answer_name})" in f"\n{checks}"
    names: dict[str, object] = {}
    exec(imports, names)
    assert eval(exercise.name_in_notebook, names) is exercise


@every_function
def test_a_case_has_the_names_of_the_stub_and_can_be_given_to_it(exercise: FunctionExercise) -> None:
    for number in range(1, len(exercise.cases) + 1):
        assert list(exercise.case(number)) == list(inspect.signature(exercise.solution).parameters)
        exercise.solution(**exercise.case(number))


def test_what_a_check_says_to_run_shows_the_number_that_it_told() -> None:
    def my_implicit_reward(policy_logps: torch.Tensor, reference_logps: torch.Tensor, beta: float) -> torch.Tensor:
        return policy_logps - reference_logps

    told = implicit_reward.check(my_implicit_reward).message
    exercises = importlib.import_module("dpo_teach.exercises.introduction")
    call = re.search(r"run `(.*)`", told)
    assert call
    numbers = eval(call[1], {"my_implicit_reward": my_implicit_reward, "exercises": exercises})
    assert f"you get [{', '.join(f'{number:.4f}' for number in numbers)}]" in told


def test_writing_into_a_case_spoils_nothing() -> None:
    for values in (loss.case(1), loss.case(1)):
        assert loss.solution(**values).item() == pytest.approx(0.7848, abs=5e-5)
        values["policy_chosen"].zero_()
        values.clear()


@pytest.mark.parametrize("number", [0, 5, -1])
def test_a_case_that_there_is_not_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"number must lie between 1 and 4, found {number}"):
        loss.case(number)


def test_a_case_of_the_training_step_is_its_first_step_from_a_fresh_policy() -> None:
    first, second = training_step.case(1), training_step.case(2)
    assert (first["beta"], second["beta"]) == (0.5, 1.0)
    assert not torch.equal(first["batch"].input_ids, second["batch"].input_ids)
    for _ in range(2):
        assert training_step.solution(**training_step.case(1)) == pytest.approx(0.6931, abs=5e-5)

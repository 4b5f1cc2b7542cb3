"""How the results of a learner's function are checked and described, and the cases on which it is run."""

import importlib
import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from exercises.wrong_answers import WRONG_ANSWERS
from exercises.wrong_answers.training import right_step
from toy_exercise import DOUBLE, SEE, message

from dpo_teach.exercises.exercise import Verdict
from dpo_teach.exercises.function import FunctionExercise, Mistake
from dpo_teach.exercises.gradients import logp_signs
from dpo_teach.exercises.introduction import confused_pair, implicit_reward, loss
from dpo_teach.exercises.training import training_step

FOLDER = Path(__file__).parents[2] / "notebooks"

every_function = pytest.mark.parametrize("exercise", WRONG_ANSWERS, ids=lambda exercise: exercise.answer_name)

# Results


def test_a_known_mistake_is_shown_with_both_numbers_of_the_first_case_that_differs() -> None:
    # 2 doubled and 2 squared are both 4; 3 squared is 9, but 6 is right.
    assert message(lambda x: x * x) == (
        "You squared it. A square grows faster. In test case 2 you get 9.0000, but 6.0000 is right. "
        "To see it, run `double(**exercises.double.case(2))`."
    )


def test_an_unknown_mistake_is_shown_with_both_numbers() -> None:
    assert "In test case 1 your result is 5.0000, expected 4.0000" in message(lambda x: 2 * x + 1)
    assert "In test case 1 your result is 4.0005, expected 4.0000" in message(lambda x: 2 * x + 0.0005)
    assert "is inf, expected 4.0000" in message(lambda x: float("inf"))


def test_numbers_are_right_within_a_tolerance_of_four_decimals() -> None:
    small = replace(DOUBLE, cases=({"x": 1e-3},))
    assert "is 0.0021, expected 0.0020" in small.check(lambda x: 0.00211).message
    assert small.check(lambda x: 0.00209).status == "solved"


def test_nan_a_wrong_shape_and_a_wrong_type_are_distinguished() -> None:
    assert "your result is nan, expected 4.0000. NaN results from" in message(lambda x: x * torch.nan)
    assert message(lambda x: torch.zeros(2, 3)) == (
        "In test case 1 your result has shape (2, 3), expected the shape () of a single number." + SEE
    )
    shape = "In test case 1 your result has shape (2, 4), expected shape (4,)."
    assert implicit_reward.check(lambda p, r, b: torch.stack([p, r])).message.startswith(shape)
    text = "Expected a number or a tensor, but in test case 1 your function returns a str."
    assert message(lambda x: "4") == text + SEE
    assert "returns an object" in message(lambda x: object())
    assert message(4.0) == "Expected a function, but this is a float. Double it."
    assert message("double").startswith("Expected a function, but this is a str.")


def test_a_long_result_is_described_by_its_first_position_that_differs() -> None:
    ten = replace(
        DOUBLE, cases=({"x": torch.zeros(10)},), mistakes=(Mistake(lambda x: torch.arange(10) // 3, "A. B."),)
    )
    text = "A. B. In test case 1, at position 4, you get 1.0000, but 0.0000 is right."
    assert ten.check(lambda x: torch.arange(10) // 3).message == text + SEE


def test_infinity_is_explained() -> None:
    assert message(lambda x: -x / torch.tensor(0.0)) == (
        "In test case 1 your result is -inf, expected 4.0000. Infinity results from the logarithm of 0, from a "
        "division by 0, or from `exp` of a number in the hundreds." + SEE
    )


def test_a_tuple_is_described_with_the_position_of_the_right_value() -> None:
    text = "In test case 1 your function returns a tuple of {}, expected one result."
    comma = " A comma at the end of `return ...,` creates such a tuple: remove it."
    assert message(lambda x: (2 * x,)) == text.format(1) + comma + SEE
    assert message(lambda x: (x, 2 * x)) == (
        text.format(2) + " Value 2 of the tuple is the right one: return only that." + SEE
    )
    assert message(lambda x: (x, "x", None)) == text.format(3) + SEE


def test_complex_numbers_are_reported_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    text = "Expected a number or a tensor, but in test case 1 your function returns complex numbers"
    assert message(lambda x: complex(2 * x)).startswith(text)
    assert message(lambda x: torch.tensor(2j * x)).startswith(text)
    assert not recwarn.list


def test_a_factor_common_to_all_cases_is_reported() -> None:
    three = replace(DOUBLE, cases=({"x": 2.0}, {"x": 3.0}, {"x": -1.0}))
    text = "In test case 1 your result is 2.0000, expected 4.0000."
    assert three.check(lambda x: x).message == text + " In every test case it is 0.5 times the right one." + SEE
    assert "times the right one" not in three.check(lambda x: 0.0).message
    assert "times the right one" not in three.check(lambda x: 1e-9 * x * x).message, "small, but no common factor"
    assert "times the right one" not in message(lambda x: x), "two numbers may share a factor by chance"


def test_a_function_without_return_is_distinguished_from_a_stub() -> None:
    def forgetful(x: float) -> None:
        2 * x

    def half(x: float) -> float | None:
        return 2 * x if x < 3 else None

    assert "it returns nothing. End it with `return`" in message(forgetful)
    assert message(half) == (
        "Your function returns nothing in test case 2, but a result in others. "
        "Does every branch of it end with `return`? To see it, run `double(**exercises.double.case(2))`."
    )


# What an answer is allowed to do


def test_an_answer_may_print(capsys: pytest.CaptureFixture[str]) -> None:
    def prints(x: float) -> float:
        print("x is", x)
        return 2 * x

    assert DOUBLE.check(prints) == Verdict("solved", "Doubled.")
    assert capsys.readouterr().out == "x is 2.0\nx is 3.0\n"


def test_a_function_may_modify_its_arguments() -> None:
    def in_place(policy: Any, reference: Any, beta: float) -> Any:
        policy.sub_(reference)
        return policy.mul_(beta)

    assert implicit_reward.check(in_place).status == "solved"
    assert implicit_reward.check(lambda p, r, b: b * (p - r)).status == "solved"


def test_the_gradient_mode_is_on_inside_a_check_and_unchanged_outside() -> None:
    def with_gradients(*arguments: Any) -> Any:
        torch.set_grad_enabled(True)
        return right_step(*arguments)

    fresh = replace(training_step)  # without cached results
    with torch.no_grad():
        assert fresh.check(right_step).status == "solved"
        assert fresh.check(with_gradients).status == "solved"
        assert not torch.is_grad_enabled()
    assert training_step.check(lambda *a: torch.set_grad_enabled(False)).status == "wrong"
    assert torch.is_grad_enabled()


def test_an_answer_whose_methods_all_raise_leads_to_a_verdict() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise OSError("no")

        __repr__ = __eq__ = __hash__ = __float__ = __getattr__ = __call__ = __str__  # type: ignore[assignment]

    for exercise in (DOUBLE, confused_pair, logp_signs):
        assert exercise.check(Hostile()).status == "wrong"
    assert logp_signs.check({"A": Hostile()}).status == "wrong"


# Cases


def imports_and_checks(exercise: FunctionExercise) -> tuple[str, str]:
    """For the notebook of an exercise: the import before its exercises, and the source of its check cells."""
    (path,) = FOLDER.glob(f"{exercise.notebook}_*.ipynb")
    cells = [
        cell["source"]
        for cell in nbformat.read(path, as_version=4)["cells"]
        if "check" in cell["metadata"].get("tags", []) or cell["id"] == "exercises-loaded"
    ]
    return cells[0], "\n".join(cells)


@every_function
def test_the_name_in_the_notebook_refers_to_the_exercise(exercise: FunctionExercise) -> None:
    imports, checks = imports_and_checks(exercise)
    assert f"\n{exercise.name_in_notebook}.check({exercise.answer_name})" in f"\n{checks}"
    names: dict[str, object] = {}
    exec(imports, names)
    assert eval(exercise.name_in_notebook, names) is exercise


@every_function
def test_a_case_has_the_names_of_the_stub_and_can_be_passed_to_it(exercise: FunctionExercise) -> None:
    for number in range(1, len(exercise.cases) + 1):
        assert list(exercise.case(number)) == list(inspect.signature(exercise.solution).parameters)
        exercise.solution(**exercise.case(number))


def test_the_call_that_a_check_suggests_shows_the_number_in_its_message() -> None:
    def my_implicit_reward(policy_logps: torch.Tensor, reference_logps: torch.Tensor, beta: float) -> torch.Tensor:
        return policy_logps - reference_logps

    text = implicit_reward.check(my_implicit_reward).message
    exercises = importlib.import_module("dpo_teach.exercises.introduction")
    call = re.search(r"run `(.*)`", text)
    assert call
    numbers = eval(call[1], {"my_implicit_reward": my_implicit_reward, "exercises": exercises})
    assert f"you get [{', '.join(f'{number:.4f}' for number in numbers)}]" in text


def test_modifying_a_case_does_not_change_later_ones() -> None:
    for values in (loss.case(1), loss.case(1)):
        assert loss.solution(**values).item() == pytest.approx(0.7848, abs=5e-5)
        values["policy_chosen"].zero_()
        values.clear()


@pytest.mark.parametrize("number", [0, 5, -1])
def test_a_case_that_does_not_exist_raises(number: int) -> None:
    with pytest.raises(ValueError, match=f"number must be between 1 and 4, found {number}"):
        loss.case(number)


def test_a_case_of_the_training_step_is_its_first_step_from_a_fresh_policy() -> None:
    first, second = training_step.case(1), training_step.case(2)
    assert (first["beta"], second["beta"]) == (0.5, 1.0)
    assert not torch.equal(first["batch"].input_ids, second["batch"].input_ids)
    for _ in range(2):
        assert training_step.solution(**training_step.case(1)) == pytest.approx(0.6931, abs=5e-5)

"""Answers that are no numbers, or strange ones: each is met with words; and what an answer may do."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from doubling import DOUBLE, SEE, message
from planted_steps import right_step

from dpo_teach.exercises.function import Mistake
from dpo_teach.exercises.gradients import logp_signs
from dpo_teach.exercises.introduction import confused_pair, implicit_reward
from dpo_teach.exercises.training import training_step
from dpo_teach.exercises.verdict import Verdict


def test_a_known_mistake_is_told_with_both_numbers_of_the_first_case_that_differs() -> None:
    # 2 doubled and 2 squared are both 4; 3 squared is 9, and 6 is right.
    assert message(lambda x: x * x) == (
        "You squared it. A square grows faster. In test case 2 you get 9.0000, and 6.0000 is right. "
        "To see it, run `double(**exercises.double.case(2))`."
    )


def test_an_unforeseen_number_is_told_beside_the_right_one() -> None:
    assert "in test case 1 your result is 5.0000, and 4.0000 is wanted" in message(lambda x: 2 * x + 1)
    assert "in test case 1 your result is 4.0005, and 4.0000 is wanted" in message(lambda x: 2 * x + 0.0005)
    assert "is inf, and 4.0000 is wanted" in message(lambda x: float("inf"))


def test_numbers_count_as_right_within_what_four_decimals_show() -> None:
    small = replace(DOUBLE, cases=({"x": 1e-3},))
    assert "is 0.0021, and 0.0020 is wanted" in small.check(lambda x: 0.00211).message
    assert small.check(lambda x: 0.00209).status == "solved"


def test_nan_wrong_shape_and_wrong_type_are_told_apart() -> None:
    assert "your result is nan, and 4.0000 is wanted. Not a number comes of" in message(lambda x: x * torch.nan)
    assert message(lambda x: torch.zeros(2, 3)) == (
        "In test case 1 your result has shape (2, 3), and the shape () of a single number is wanted." + SEE
    )
    shape = "In test case 1 your result has shape (2, 4), and shape (4,) is wanted."
    assert implicit_reward.check(lambda p, r, b: torch.stack([p, r])).message.startswith(shape)
    text = "A number or a tensor is wanted, and in test case 1 your function returns a str."
    assert message(lambda x: "4") == text + SEE
    assert "returns an object" in message(lambda x: object())
    assert message(4.0) == "A function is wanted, and this is a float. Double it."
    assert message("double").startswith("A function is wanted, and this is a str.")


def test_a_long_result_is_told_by_its_first_position_that_differs() -> None:
    ten = replace(
        DOUBLE, cases=({"x": torch.zeros(10)},), mistakes=(Mistake(lambda x: torch.arange(10) // 3, "A. B."),)
    )
    told = "A. B. In test case 1, at position 4, you get 1.0000, and 0.0000 is right."
    assert ten.check(lambda x: torch.arange(10) // 3).message == told + SEE


def test_infinity_is_told_where_it_may_come_from() -> None:
    # 2 / 0 and -2 / 0 are not foreseen; they are no "not yet" either
    assert message(lambda x: -x / torch.tensor(0.0)) == (
        "In test case 1 your result is -inf, and 4.0000 is wanted. Infinity comes of the logarithm of 0, of a division "
        "by 0, or of `exp` of a number in the hundreds." + SEE
    )


def test_a_tuple_is_told_with_the_place_of_the_right_value_in_it() -> None:
    told = "In test case 1 your function returns a tuple of {}, and one result is wanted."
    comma = " A comma at the end of `return ...,` makes such a tuple: take it away."
    assert message(lambda x: (2 * x,)) == told.format(1) + comma + SEE
    assert message(lambda x: (x, 2 * x)) == (
        told.format(2) + " Number 2 of the tuple is the right one: return it alone." + SEE
    )
    assert message(lambda x: (x, "x", None)) == told.format(3) + SEE


def test_complex_numbers_are_told_and_warn_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    told = "A number or a tensor is wanted, and in test case 1 your function returns complex numbers"
    assert message(lambda x: complex(2 * x)).startswith(told)
    assert message(lambda x: torch.tensor(2j * x)).startswith(told)
    assert not recwarn.list


def test_one_factor_in_all_cases_is_told() -> None:
    three = replace(DOUBLE, cases=({"x": 2.0}, {"x": 3.0}, {"x": -1.0}))
    told = "Not yet: in test case 1 your result is 2.0000, and 4.0000 is wanted."
    assert three.check(lambda x: x).message == told + " In every test case it is 0.5 times the right one." + SEE
    assert "times the right one" not in three.check(lambda x: 0.0).message
    assert "times the right one" not in three.check(lambda x: 1e-9 * x * x).message, "small, and no factor in common"
    assert "times the right one" not in message(lambda x: x), "two numbers are too few to tell"


def test_nothing_returned_is_told_apart_from_nothing_done() -> None:
    def forgetful(x: float) -> None:
        2 * x

    def half(x: float) -> float | None:
        return 2 * x if x < 3 else None

    assert message(forgetful).startswith("Your function works, and then returns nothing. End it with `return`")
    assert message(half) == (
        "Your function returns nothing in test case 2, and a result in others. "
        "Does every way through it end with `return`? To see it, run `double(**exercises.double.case(2))`."
    )


# What an answer may do


def test_an_answer_may_print(capsys: pytest.CaptureFixture[str]) -> None:
    def prints(x: float) -> float:
        print("x is", x)
        return 2 * x

    assert DOUBLE.check(prints) == Verdict("solved", "Doubled.")
    assert capsys.readouterr().out == "x is 2.0\nx is 3.0\n"


def test_a_function_that_writes_into_its_arguments_spoils_nothing() -> None:
    def rude(policy: Any, reference: Any, beta: float) -> Any:
        policy.sub_(reference)
        return policy.mul_(beta)

    assert implicit_reward.check(rude).status == "solved"
    assert implicit_reward.check(lambda p, r, b: b * (p - r)).status == "solved"


def test_gradients_are_on_inside_a_check_and_as_they_were_outside() -> None:
    def with_gradients(*arguments: Any) -> Any:
        torch.set_grad_enabled(True)
        return right_step(*arguments)

    fresh = replace(training_step)  # with nothing computed yet
    with torch.no_grad():
        assert fresh.check(right_step).status == "solved"
        assert fresh.check(with_gradients).status == "solved"
        assert not torch.is_grad_enabled()
    assert training_step.check(lambda *a: torch.set_grad_enabled(False)).status == "wrong"
    assert torch.is_grad_enabled()


def test_an_answer_that_nothing_can_be_done_with_is_a_verdict_all_the_same() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise OSError("no")

        __repr__ = __eq__ = __hash__ = __float__ = __getattr__ = __call__ = __str__  # type: ignore[assignment]

    for exercise in (DOUBLE, confused_pair, logp_signs):
        assert exercise.check(Hostile()).status == "wrong"
    assert logp_signs.check({"A": Hostile()}).status == "wrong"

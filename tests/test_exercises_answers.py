"""Answers that stop, never end, or are no numbers: each is met with words, and none of them raises."""

import threading
import time
from dataclasses import replace
from typing import Any

import planted  # it switches the learner's progress off
import pytest
import torch

from dpo_teach.exercises.function import FunctionExercise, Mistake
from dpo_teach.exercises.introduction import implicit_reward
from dpo_teach.exercises.training import training_step
from dpo_teach.exercises.verdict import Verdict


def _double(x: float) -> float:
    return 2 * x


DOUBLE = FunctionExercise(
    name="the double",
    notebook="00",
    answer_name="double",
    task="Double it.",
    hints=("Think.", "Add.", "x + x"),
    praise="Doubled.",
    solution=_double,
    cases=({"x": 2.0}, {"x": 3.0}),
    mistakes=(Mistake(lambda x: x * x, "You squared it. A square grows faster."),),
    time_limit=0.3,
)


def message(answer: Any) -> str:
    """What the exercise says to a wrong answer, on one line."""
    verdict = DOUBLE.check(answer)
    assert verdict.status == "wrong"
    assert "\n" not in verdict.message
    return verdict.message


def test_a_known_mistake_is_told_with_both_numbers_of_the_first_case_that_differs() -> None:
    # 2 doubled and 2 squared are both 4; 3 squared is 9, and 6 is right.
    assert message(lambda x: x * x) == (
        "You squared it. A square grows faster. In test case 2 you get 9.0000, and 6.0000 is right."
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
        "In test case 1 your result has shape (2, 3), and the shape () of a single number is wanted."
    )
    shape = "In test case 1 your result has shape (2, 4), and shape (4,) is wanted."
    assert implicit_reward.check(lambda p, r, b: torch.stack([p, r])).message == shape
    assert message(lambda x: "4") == "A number or a tensor is wanted, and in test case 1 your function returns a str."
    assert "returns an object" in message(lambda x: object())
    assert message(4.0) == "A function is wanted, and this is a float. Double it."
    assert message("double").startswith("A function is wanted, and this is a str.")


def test_a_long_result_is_told_by_its_first_position_that_differs() -> None:
    ten = replace(
        DOUBLE, cases=({"x": torch.zeros(10)},), mistakes=(Mistake(lambda x: torch.arange(10) // 3, "A. B."),)
    )
    assert ten.check(lambda x: torch.arange(10) // 3).message == (
        "A. B. In test case 1, at position 4, you get 1.0000, and 0.0000 is right."
    )


def test_nothing_returned_is_told_apart_from_nothing_done() -> None:
    def forgetful(x: float) -> None:
        2 * x

    def half(x: float) -> float | None:
        return 2 * x if x < 3 else None

    assert message(forgetful).startswith("Your function works, and then returns nothing. End it with `return`")
    assert message(half) == (
        "Your function returns nothing in test case 2, and a result in others. "
        "Does every way through it end with `return`?"
    )


# Answers that stop


def test_an_answer_that_raises_is_told_with_its_line() -> None:
    def divides(x: float) -> float:
        nothing = 0
        return x / nothing

    def through_a_helper(x: float) -> float:
        return divides(x)

    assert message(divides) == (
        "Your function stopped at its line 3, `return x / nothing`, with ZeroDivisionError: `float division by zero`."
    )
    assert "at its line 2, `return divides(x)`, with" in message(through_a_helper)


def test_an_answer_from_a_cell_that_nobody_kept_is_told_by_its_line_number() -> None:
    names: dict[str, Any] = {}
    exec("def double(x):\n    y = x\n    return [][0]", names)
    assert message(names["double"]) == "Your function stopped at its line 3 with IndexError: `list index out of range`."


def test_long_messages_of_other_people_are_quoted_on_one_line() -> None:
    def shouts(x: float) -> None:
        raise ValueError("*so* <b>bold</b>\n`a` " + "long " * 200)

    assert "with ValueError: `*so* <b>bold</b> 'a' long long" in message(shouts)
    assert len(message(shouts)) < 500


def test_an_error_without_words_is_told_by_its_name() -> None:
    def asserts(x: float) -> None:
        assert x < 0

    assert message(asserts).endswith(".")
    assert "with AssertionError" in message(asserts)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_answer_that_would_end_the_kernel_ends_only_itself(error: type[BaseException]) -> None:
    def leaves(x: float) -> None:
        raise error

    assert message(leaves).endswith(f"with {error.__name__}.")


@pytest.mark.parametrize("function", [lambda: 4.0, lambda x, y: x * y, lambda *, x: 2 * x, lambda: None])
def test_a_function_of_other_parameters_is_told_before_it_runs(function: Any) -> None:
    assert message(function) == (
        "Your function cannot be called with 1 value, `x`. Leave the first line of the stub as it was."
    )


def test_more_parameters_with_defaults_are_no_mistake() -> None:
    assert DOUBLE.check(lambda x, factor=2: factor * x).status == "solved"
    assert DOUBLE.check(lambda *values: 2 * values[0]).status == "solved"


# Answers that never end


def alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "exercise"]


def test_an_answer_that_never_ends_is_stopped() -> None:
    def forever(x: float) -> None:
        while True:
            x += 1

    assert message(forever) == (
        "Your function was still running after 0.3 seconds, and was stopped. "
        "Look for a loop that never ends, such as a `while` whose condition stays true."
    )
    assert not alive()


def test_a_loop_that_swallows_every_error_is_stopped_all_the_same() -> None:
    swallowed = []

    def stubborn(x: float) -> None:
        while len(swallowed) < 3:
            try:
                while True:
                    x += 1
            except:  # noqa: E722
                swallowed.append(x)

    assert message(stubborn).startswith("Your function was still running after 0.3 seconds, and was stopped.")
    assert not alive()


@pytest.mark.slow
def test_an_answer_that_cannot_be_stopped_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpo_teach.exercises.running._PATIENCE", 1)
    done = threading.Event()

    def waits_in_c(x: float) -> None:
        time.sleep(3)  # the request to stop is heard only afterwards
        done.set()

    assert "and could not be stopped: restart the kernel before you go on." in message(waits_in_c)
    for thread in alive():
        thread.join()
    assert not done.is_set()


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
        return planted.steps.right_step(*arguments)

    fresh = replace(training_step)  # with nothing computed yet
    with torch.no_grad():
        assert fresh.check(planted.steps.right_step).status == "solved"
        assert fresh.check(with_gradients).status == "solved"
        assert not torch.is_grad_enabled()
    assert training_step.check(lambda *a: torch.set_grad_enabled(False)).status == "wrong"
    assert torch.is_grad_enabled()


def test_an_answer_that_nothing_can_be_done_with_is_a_verdict_all_the_same() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise OSError("no")

        __repr__ = __eq__ = __hash__ = __float__ = __getattr__ = __call__ = __str__  # type: ignore[assignment]

    for exercise in (DOUBLE, planted.introduction.confused_pair, planted.gradients.logp_signs):
        assert exercise.check(Hostile()).status == "wrong"
    assert planted.gradients.logp_signs.check({"A": Hostile()}).status == "wrong"

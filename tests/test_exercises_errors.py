"""Answers that stop or never end: each is met with words, and none of them raises."""

import threading
import time
from typing import Any

import pytest
import torch
from doubling import DOUBLE, SEE, message

from dpo_teach.exercises.introduction import implicit_reward

# Answers that stop


def test_an_answer_that_raises_is_told_with_its_line() -> None:
    def divides(x: float) -> float:
        nothing = 0
        return x / nothing

    def through_a_helper(x: float) -> float:
        return divides(x)

    assert message(divides) == (
        "Your function stopped at its line 3, `return x / nothing`, with ZeroDivisionError: `float division by zero`."
        + SEE
    )
    assert "at its line 2, `return divides(x)`, with" in message(through_a_helper)


def test_an_answer_from_a_cell_that_nobody_kept_is_told_by_its_line_number() -> None:
    names: dict[str, Any] = {}
    exec("def double(x):\n    y = x\n    return [][0]", names)
    told = "Your function stopped at its line 3 with IndexError: `list index out of range`."
    assert message(names["double"]) == told + SEE


def test_what_pytorch_has_not_implemented_is_an_error_and_no_stub() -> None:
    whole = message(lambda x: torch.arange(3).log_softmax(-1))
    assert whole.startswith("Your function stopped at its line 1")
    assert "with NotImplementedError: `" in whole


def test_a_stub_that_says_what_is_not_implemented_has_its_words_told() -> None:
    def double(x: float) -> float:
        raise NotImplementedError("the doubling")

    assert "with NotImplementedError: `the doubling`." in message(double)


def test_a_name_that_is_nowhere_is_told_with_the_cells_to_run() -> None:
    names: dict[str, Any] = {}
    exec("def double(x):\n    return F.relu(2 * x)", names)  # as after a restart of the kernel
    assert message(names["double"]) == (
        "Your function stopped at its line 2 with NameError: `name 'F' is not defined`. If `F` is imported or defined "
        "further up, run the cells above first (Run > Run All Above Selected Cell); if it is not, look how it is spelt."
        + SEE
    )


def test_a_name_of_its_own_that_is_still_empty_is_no_matter_of_cells() -> None:
    def double(x: float) -> float:
        if x < 0:
            y = -x
        return 2 * y

    assert "with UnboundLocalError" in message(double)
    assert "run the cells above" not in message(double)


def test_the_case_in_which_an_answer_stops_is_told() -> None:
    assert message(lambda x: 4.0 if x == 2.0 else 1 / 0).endswith("run `double(**exercises.double.case(2))`.")


def test_long_messages_of_other_people_are_quoted_on_one_line() -> None:
    def shouts(x: float) -> None:
        raise ValueError("*so* <b>bold</b>\n`a` " + "long " * 200 + "and its end")

    assert "with ValueError: `*so* <b>bold</b> 'a' long long" in message(shouts)
    assert " ... " in message(shouts)
    assert "and its end`." in message(shouts), "which often says what is wrong"
    assert len(message(shouts)) < 450


def test_an_error_without_words_is_told_by_its_name() -> None:
    def asserts(x: float) -> None:
        assert x < 0

    assert message(asserts).endswith(".")
    assert "with AssertionError" in message(asserts)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_answer_that_would_end_the_kernel_ends_only_itself(error: type[BaseException]) -> None:
    def leaves(x: float) -> None:
        raise error

    assert message(leaves).endswith(f"with {error.__name__}." + SEE)


@pytest.mark.parametrize("function", [lambda: 4.0, lambda x, y: x * y, lambda *, x: 2 * x, lambda: None])
def test_a_function_of_other_parameters_is_told_before_it_runs(function: Any) -> None:
    assert message(function) == (
        "Your function cannot be called with 1 value, `x`. Leave the first line of the stub as it was."
    )


def test_values_in_another_order_are_told_before_it_runs() -> None:
    def swapped(reference_logps: Any, policy_logps: Any, beta: float) -> Any:
        return beta * (policy_logps - reference_logps)

    assert implicit_reward.check(swapped).message == (
        "Your function takes its values in another order, `reference_logps, policy_logps, beta`, than they are given "
        "to it, `policy_logps, reference_logps, beta`. Leave the first line of the stub as it was."
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

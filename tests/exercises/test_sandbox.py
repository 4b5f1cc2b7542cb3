"""Answers that raise or never end: each leads to a verdict that explains why."""

import threading
import time
from typing import Any

import pytest
import torch
from toy_exercise import DOUBLE, SEE, message

from dpo_teach.exercises.introduction import implicit_reward

# Answers that raise


def test_the_message_of_an_error_contains_its_line() -> None:
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


def test_the_message_of_an_error_without_source_contains_its_line_number() -> None:
    names: dict[str, Any] = {}
    exec("def double(x):\n    y = x\n    return [][0]", names)
    text = "Your function stopped at its line 3 with IndexError: `list index out of range`."
    assert message(names["double"]) == text + SEE


def test_a_not_implemented_error_from_pytorch_is_an_error_and_not_a_stub() -> None:
    whole = message(lambda x: torch.arange(3).log_softmax(-1))
    assert whole.startswith("Your function stopped at its line 1")
    assert "with NotImplementedError: `" in whole


def test_the_message_of_a_not_implemented_error_is_quoted() -> None:
    def double(x: float) -> float:
        raise NotImplementedError("the doubling")

    assert "with NotImplementedError: `the doubling`." in message(double)


def test_for_an_undefined_name_the_message_suggests_running_the_cells_above() -> None:
    names: dict[str, Any] = {}
    exec("def double(x):\n    return F.relu(2 * x)", names)  # as after a restart of the kernel
    assert message(names["double"]) == (
        "Your function stopped at its line 2 with NameError: `name 'F' is not defined`. If `F` is imported or defined "
        "further up, run the cells above first (Run > Run All Above Selected Cell); if it is not, check its spelling."
        + SEE
    )


def test_for_an_unassigned_local_variable_the_message_does_not_suggest_it() -> None:
    def double(x: float) -> float:
        if x < 0:
            y = -x
        return 2 * y

    assert "with UnboundLocalError" in message(double)
    assert "run the cells above" not in message(double)


def test_the_message_of_an_error_contains_its_test_case() -> None:
    assert message(lambda x: 4.0 if x == 2.0 else 1 / 0).endswith("run `double(**exercises.double.case(2))`.")


def test_a_long_error_message_is_quoted_on_one_line() -> None:
    def shouts(x: float) -> None:
        raise ValueError("*so* <b>bold</b>\n`a` " + "long " * 200 + "and its end")

    assert "with ValueError: `*so* <b>bold</b> 'a' long long" in message(shouts)
    assert " ... " in message(shouts)
    assert "and its end`." in message(shouts), "the end of a message often says what is wrong"
    assert len(message(shouts)) < 450


def test_a_stop_iteration_is_an_error_like_any_other() -> None:
    assert "with StopIteration." in message(lambda x: next(iter([])))


def test_an_error_without_a_message_is_reported_by_its_type() -> None:
    def asserts(x: float) -> None:
        assert x < 0

    assert message(asserts).endswith(".")
    assert "with AssertionError" in message(asserts)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_answer_that_would_end_the_kernel_is_an_error(error: type[BaseException]) -> None:
    def leaves(x: float) -> None:
        raise error

    assert message(leaves).endswith(f"with {error.__name__}." + SEE)


@pytest.mark.parametrize("function", [lambda: 4.0, lambda x, y: x * y, lambda *, x: 2 * x, lambda: None])
def test_wrong_parameters_are_reported_before_the_function_runs(function: Any) -> None:
    assert message(function) == (
        "Your function cannot be called with 1 value, `x`. Leave the first line of the stub as it was."
    )


def test_parameters_in_another_order_are_reported_before_the_function_runs() -> None:
    def swapped(reference_logps: Any, policy_logps: Any, beta: float) -> Any:
        return beta * (policy_logps - reference_logps)

    assert implicit_reward.check(swapped).message == (
        "Your function takes its values in the order `reference_logps, policy_logps, beta`, but they are passed in the "
        "order `policy_logps, reference_logps, beta`. Leave the first line of the stub as it was."
    )


def test_additional_parameters_with_defaults_are_accepted() -> None:
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
        "Your function was still running after 0.3 seconds and was stopped. "
        "Look for a loop that never ends, such as a `while` whose condition stays true."
    )
    assert not alive()


def test_a_loop_that_catches_every_error_is_stopped() -> None:
    caught = []

    def stubborn(x: float) -> None:
        while len(caught) < 3:
            try:
                while True:
                    x += 1
            except:  # noqa: E722
                caught.append(x)

    assert message(stubborn).startswith("Your function was still running after 0.3 seconds and was stopped.")
    assert not alive()


@pytest.mark.slow
def test_an_answer_that_cannot_be_stopped_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpo_teach.exercises.sandbox._STOP_ATTEMPTS", 1)
    done = threading.Event()

    def waits_in_c(x: float) -> None:
        time.sleep(3)  # the request to stop takes effect only afterwards
        done.set()

    assert "and could not be stopped: restart the kernel before you continue." in message(waits_in_c)
    for thread in alive():
        thread.join()
    assert not done.is_set()

"""A loss must have the right gradient too, also where `exp` overflows: the DPO loss and the Bradley-Terry loss."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercises.wrong_answers.introduction import margin

from dpo_teach.exercises.exercise import Verdict
from dpo_teach.exercises.introduction import loss
from dpo_teach.exercises.rlhf import bradley_terry

CUT = "The value is right, but the loss has no gradient"
ANYTHING = "something like `.item()`, `.detach()`, `torch.no_grad()` or NumPy"


def right(*arguments: Any) -> Any:
    return F.softplus(-margin(*arguments)).mean()


def by_lists(*arguments: Any) -> Any:
    total = 0.0
    for value in margin(*arguments).tolist():
        total += max(0.0, -value) + math.log1p(math.exp(-abs(value)))
    return torch.tensor(total / len(arguments[0]))


def by_a_helper(*arguments: Any) -> Any:
    def number(value: Any) -> Any:
        return value.item()

    return number(right(*arguments))


def half_detached(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
    return right(pc, pr.detach(), rc, rr, beta)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda *a: right(*a).item(), ": `.item()` cuts it off."),
        (lambda *a: float(right(*a)), ": `float(...)` cuts it off."),
        (lambda *a: right(*a).float().detach(), ": `.detach()` cuts it off."),
        (lambda *a: right(*a).data, ": `.data` cuts it off."),
        (lambda *a: np.logaddexp(0, -margin(*a).numpy()).mean(), ": NumPy or `.numpy()` cuts it off."),
        (by_lists, ": `.tolist()` or `math` or `torch.tensor(...)` cuts it off."),
        (by_a_helper, ": `.item()` cuts it off."),
        (torch.no_grad()(right), f": {ANYTHING} cuts it off."),
        (half_detached, " by `policy_rejected`: `.detach()` cuts it off."),
    ],
)
def test_a_right_value_without_a_gradient_comes_with_the_call_that_detached_it(
    answer: Callable[..., Any], text: str
) -> None:
    verdict = loss.check(answer)
    assert verdict.status == "wrong"
    assert verdict.message.startswith(CUT + text), verdict.message


def test_computing_the_gradient_emits_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    torch.set_warn_always(True)  # and not only the first time
    try:
        loss.check(lambda *a: float(right(*a)))
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


def test_what_an_answer_prints_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    def prints(*arguments: Any) -> Any:
        print("beta", arguments[-1])
        return right(*arguments)

    assert loss.check(prints).status == "solved"
    assert capsys.readouterr().out == "beta 0.1\nbeta 0.5\nbeta 2.0\nbeta 1.0\n"


def test_the_reference_may_be_detached_and_arguments_modified() -> None:
    def in_place(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
        pc -= rc.detach()
        pr -= rr.detach()
        return F.softplus(-(pc.sub_(pr).mul_(beta))).mean()

    assert loss.check(in_place) == Verdict("solved", loss.praise)


def test_the_gradient_is_computed_even_under_no_grad() -> None:
    with torch.no_grad():
        assert loss.check(right).status == "solved"
        assert not torch.is_grad_enabled()


def test_a_gradient_that_is_nan_comes_with_its_case() -> None:
    # The branch that `where` does not take is infinite, and infinity times 0 is not a number.
    def where(*arguments: Any) -> Any:
        margins = margin(*arguments)
        return torch.where(margins < -50, -margins, torch.log1p(torch.exp(-margins))).mean()

    text = loss.check(where).message
    assert text.startswith("The value is right, but its gradient by `policy_chosen` is not.")
    assert text.endswith("run `my_dpo_loss(**exercises.loss.case(4))`.")


def test_an_error_that_occurs_only_with_gradients_is_reported() -> None:
    def by_hand(pc: Any, *others: Any) -> Any:
        if pc.requires_grad:
            raise RuntimeError("what now?")
        return right(pc, *others)

    assert "with RuntimeError: `what now?`" in loss.check(by_hand).message


def test_the_loss_of_the_last_case_is_its_margin() -> None:
    # chosen -300 from -180 is -120 nats, rejected -60 from -140 is +80: a margin of -200, and -log σ(-200) = 200
    case = loss.case(len(loss.cases))
    assert {value.dtype for value in case.values() if isinstance(value, torch.Tensor)} == {torch.float32}
    assert loss.solution(**case).item() == 200.0


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        (lambda c, r: F.softplus(r - c).mean().item(), "`.item()`"),
        (lambda c, r: F.softplus(r - c.detach()).mean(), "`.detach()`"),
    ],
)
def test_the_loss_of_the_reward_model_needs_a_gradient_too(answer: Callable[..., Any], cut: str) -> None:
    assert bradley_terry.check(answer).message.startswith(CUT)
    assert f": {cut} cuts it off" in bradley_terry.check(answer).message

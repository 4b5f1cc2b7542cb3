"""The checks of the DPO loss and of the Bradley-Terry loss compare gradients, too, even where `exp` overflows."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercises.wrong_answers.introduction import margin

from dpo_teach.exercises.gradients import sequence_logps
from dpo_teach.exercises.introduction import loss
from dpo_teach.exercises.rlhf import bradley_terry

SUSPECTS = ["`.item()`", "`.detach()`", "`torch.no_grad()`", "NumPy"]
"""Named if no call is found in the answer."""
CALLS = [*SUSPECTS, "`float(...)`", "`.data`", "`.numpy()`", "`.tolist()`", "`math`", "`torch.tensor(...)`"]


def calls_named(message: str) -> list[str]:
    """The calls which, according to a message, may have detached the gradient."""
    assert "no gradient" in message, message
    return [call for call in CALLS if call in message.partition(". ")[0]]


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
    ("answer", "calls"),
    [
        (lambda *a: right(*a).item(), ["`.item()`"]),
        (lambda *a: float(right(*a)), ["`float(...)`"]),
        (lambda *a: right(*a).float().detach(), ["`.detach()`"]),
        (lambda *a: right(*a).data, ["`.data`"]),
        (lambda *a: np.logaddexp(0, -margin(*a).numpy()).mean(), ["NumPy", "`.numpy()`"]),
        (by_lists, ["`.tolist()`", "`math`", "`torch.tensor(...)`"]),
        (by_a_helper, ["`.item()`"]),
        (torch.no_grad()(right), SUSPECTS),
        (half_detached, ["`.detach()`"]),
    ],
)
def test_the_diagnosis_of_a_missing_gradient_names_the_call_that_detached_it(
    answer: Callable[..., Any], calls: list[str]
) -> None:
    verdict = loss.check(answer)
    assert verdict.status == "wrong"
    assert calls_named(verdict.message) == calls
    assert ("`policy_rejected`" in verdict.message) is (answer is half_detached)


def test_computing_the_gradient_emits_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    torch.set_warn_always(True)  # not only the first time
    try:
        loss.check(lambda *a: float(right(*a)))
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


def test_the_output_of_an_answer_is_printed_once_per_case(capsys: pytest.CaptureFixture[str]) -> None:
    def prints(*arguments: Any) -> Any:
        print("beta", arguments[-1])
        return right(*arguments)

    assert loss.check(prints).status == "solved"
    assert capsys.readouterr().out == "beta 0.1\nbeta 0.5\nbeta 2.0\nbeta 1.0\n"


def test_an_answer_may_detach_the_reference_and_modify_its_arguments() -> None:
    def in_place(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
        pc -= rc.detach()
        pr -= rr.detach()
        return F.softplus(-(pc.sub_(pr).mul_(beta))).mean()

    verdict = loss.check(in_place)
    assert verdict.status == "solved"
    assert verdict.message.startswith(loss.praise)
    assert "modifies its argument `policy_chosen` in place" in verdict.message


def test_the_gradient_is_checked_even_under_no_grad() -> None:
    with torch.no_grad():
        assert loss.check(right).status == "solved"
        assert not torch.is_grad_enabled()


def test_the_diagnosis_of_a_nan_gradient_names_the_argument_and_the_case() -> None:
    # The branch that `where` does not select is infinite, and infinity times 0 is NaN.
    def where(*arguments: Any) -> Any:
        margins = margin(*arguments)
        return torch.where(margins < -50, -margins, torch.log1p(torch.exp(-margins))).mean()

    text = loss.check(where).message
    assert "gradient" in text
    assert "`policy_chosen`" in text
    assert "`my_dpo_loss(**exercises.loss.case(4))`" in text


def test_an_error_that_occurs_only_with_gradients_is_reported() -> None:
    def by_hand(pc: Any, *others: Any) -> Any:
        if pc.requires_grad:
            raise RuntimeError("what now?")
        return right(pc, *others)

    assert "RuntimeError: `what now?`" in loss.check(by_hand).message


def test_the_last_case_has_a_loss_of_200_in_float32() -> None:
    # chosen -300 from -180 is -120 nats, rejected -60 from -140 is +80: a margin of -200, and -log σ(-200) = 200
    case = loss.case(len(loss.cases))
    assert {value.dtype for value in case.values() if isinstance(value, torch.Tensor)} == {torch.float32}
    assert loss.solution(**case).item() == 200.0


@pytest.mark.parametrize(
    ("answer", "call"),
    [
        (lambda c, r: F.softplus(r - c).mean().item(), "`.item()`"),
        (lambda c, r: F.softplus(r - c.detach()).mean(), "`.detach()`"),
    ],
)
def test_the_bradley_terry_loss_needs_a_gradient_too(answer: Callable[..., Any], call: str) -> None:
    assert calls_named(bradley_terry.check(answer).message) == [call]


def test_a_list_of_tensors_is_not_called_detached() -> None:
    def by_response(logits: Any, input_ids: Any, response_mask: Any) -> list[Any]:
        return list(sequence_logps.solution(logits, input_ids, response_mask))

    message = sequence_logps.check(by_response).message
    assert "you return a list: make one tensor with `torch.stack`" in message
    assert "no gradient" not in message

"""Write one training step."""

from typing import Any

import torch
from torch import Tensor

from dpo_teach.batches import TokenBatch, split_pairs
from dpo_teach.exercises.function import Mistake
from dpo_teach.exercises.training.trajectory import StepExercise, loss_of
from dpo_teach.logps import response_logps
from dpo_teach.losses import compute_dpo_loss

__all__ = ["training_step"]


def _my_training_step(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    reference_chosen, reference_rejected = reference_logps.T
    loss = compute_dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _descend(policy: Any, optimizer: Any, loss: Tensor, *, zero: bool = True, clip: bool = True) -> float:
    if zero:
        optimizer.zero_grad()
    loss.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _step_too_early(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    optimizer.step()
    optimizer.zero_grad()
    loss = loss_of(policy, batch, reference_logps, beta)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    return loss.item()


def _step_on_halves(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    logps = response_logps(policy, batch)
    loss = compute_dpo_loss(logps[::2], logps[1::2], reference_logps[:, 0], reference_logps[:, 1], beta)
    return _descend(policy, optimizer, loss)


def _step_on_swapped(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    rejected, chosen = split_pairs(response_logps(policy, batch))
    loss = compute_dpo_loss(chosen, rejected, reference_logps[:, 1], reference_logps[:, 0], beta)
    return _descend(policy, optimizer, loss)


def _step_on_means(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    chosen, rejected = split_pairs(response_logps(policy, batch) / batch.response_mask.sum(dim=1))
    loss = compute_dpo_loss(chosen, rejected, reference_logps[:, 0], reference_logps[:, 1], beta)
    return _descend(policy, optimizer, loss)


def _step_from_itself(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    itself = response_logps(policy, batch).detach()
    return _descend(policy, optimizer, loss_of(policy, batch, torch.stack(split_pairs(itself), dim=1), beta))


def _step_clipped_by_value(
    policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float
) -> float:
    loss = loss_of(policy, batch, reference_logps, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _loss_afterwards(policy: Any, optimizer: Any, *arguments: Any) -> float:
    _my_training_step(policy, optimizer, *arguments)
    return loss_of(policy, *arguments).item()


def _step_without_return(*arguments: Any) -> None:
    _my_training_step(*arguments)


def _swapped(logps: Tensor) -> Tensor:
    return logps.flip(dims=(1,))


_MISTAKES = (
    Mistake(
        _step_without_return,
        "The step itself is right, but your function returns nothing: end it with `return loss.item()`. "
        "Without the numbers there is no curve, and nobody sees a run go wrong.",
    ),
    Mistake(
        lambda p, o, b, r, beta: loss_of(p, b, r, beta).item(),
        "The loss is right, but the weights are where they were: either the optimizer never steps, or the gradients "
        "are set to zero between `backward` and `step`. Such a run stays at ln 2 for ever.",
    ),
    Mistake(
        _step_too_early,
        "The optimizer steps before `backward`, with the gradients of the batch before. "
        "The first step does nothing, and every later one answers to a policy that is no longer there.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, loss_of(p, b, r, beta), zero=False),
        "The gradients of earlier steps are still there: set them to zero before `backward`. "
        "PyTorch adds new gradients to old ones, so that each step would repeat all that came before it.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, loss_of(p, b, r, beta), clip=False),
        "The gradients are not clipped, or not between `backward` and `step`, where it counts. "
        "One wild batch could throw the policy far off.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, -loss_of(p, b, r, beta)),
        "The sign of the loss is flipped: you make minus the loss small, and the loss large. "
        "`compute_dpo_loss` has its minus already, and with another one the policy learns what people rejected.",
    ),
    Mistake(
        lambda p, o, b, r, beta: -_descend(p, o, -loss_of(p, b, r, beta)),
        "This is gradient ascent: the loss that you return is right, and your step makes it larger. "
        "`backward` belongs to the loss itself, since the optimizer goes downhill by its own minus sign.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, loss_of(p, b, r, 0.1)),
        "You use β = 0.1 whatever β is asked for: it is the default of `compute_dpo_loss`. "
        "Runs that are meant to differ in β would all be the same run.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, loss_of(p, b, torch.zeros_like(r), beta)),
        "The reference is missing: you compare the policy's two logps with each other. "
        "The first loss is then not ln 2, and what the policy knew before counts as learned.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, loss_of(p, b, _swapped(r), beta)),
        "The two columns of `reference_logps` are swapped, of which chosen is the first, or they are added where they "
        "are to be taken away, which comes to the same number. "
        "Each response must be measured against its own reference, or the margin is made of two strangers.",
    ),
    Mistake(
        _step_on_swapped,
        "The margin has the wrong sign: chosen and rejected are swapped, or policy and reference are, which is the "
        "same step; `split_pairs` gives chosen first, and `compute_dpo_loss` takes the policy's two first. "
        "The first loss is ln 2 all the same, and from there on the policy learns what people rejected.",
    ),
    Mistake(
        _step_on_halves,
        "You took every second row for chosen, and in a batch all the chosen responses come first: use `split_pairs`. "
        "As it is, responses to different prompts are compared with each other.",
    ),
    Mistake(
        _step_from_itself,
        "Your reference is the policy itself, as it is at this step, and it has to be the one of the start. "
        "The loss would be ln 2 in every step, and nothing would hold the policy back.",
    ),
    Mistake(
        _loss_afterwards,
        "You return the loss after the step, and the one that led to it is wanted. "
        "The first number of a run has to be ln 2: it is the best test that there is, and you would never see it.",
    ),
    Mistake(
        _step_clipped_by_value,
        "You clipped each gradient by its value, and the length of all of them together is to be clipped: "
        "`clip_grad_norm_`. "
        "Clipped one by one they point elsewhere; a length can be cut without a change of direction.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, loss_of(p, b, r, beta) * len(r)),
        "The loss is summed over the batch, and its mean is wanted. "
        "A batch of twice the size would pull twice as hard, so that the learning rate fits one size only.",
    ),
    Mistake(
        _step_on_means,
        "You divided the policy's logps by the number of tokens, and DPO sums. "
        "The reference's are sums, so the two no longer measure the same thing.",
    ),
)

training_step = StepExercise(
    name="the training step",
    notebook="04",
    answer_name="my_training_step",
    task="Replace the `...` of the stub by one training step: logps, loss, gradients, clipping, optimizer. Return the "
    "loss as a number.",
    hints=(
        "The way of the data: `response_logps` of the policy, `split_pairs`, `compute_dpo_loss` with the reference's "
        "logps, whose two columns are chosen and rejected.",
        "Then five lines that are the same in every PyTorch loop: gradients to zero, backward, clip them to a length "
        "of 1.0, let the optimizer step, return the loss.",
        "`reference_logps.T` unpacks into chosen and rejected. Clipping is `torch.nn.utils.clip_grad_norm_(...)`, and "
        "its place is between `loss.backward()` and `optimizer.step()`.",
    ),
    praise="That is a DPO training step: three steps of yours, from a fresh policy, lead to the same losses as the "
    "trainer's.",
    solution=_my_training_step,
    name_in_notebook="training_step",
    cases=({"seed": 0, "beta": 0.5}, {"seed": 1, "beta": 1.0}),
    mistakes=_MISTAKES,
)

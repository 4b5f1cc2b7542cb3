"""Training steps that go wrong, as a learner would write them: for `planted.py`."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_

from dpo_teach.batches import split_pairs
from dpo_teach.logps import response_logps
from dpo_teach.losses import compute_dpo_loss

# The loss of one batch, right and wrong


def own_loss(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch)
    half = len(logps) // 2
    ratios = logps - torch.cat([reference[:, 0], reference[:, 1]])
    return F.softplus(-beta * (ratios[:half] - ratios[half:])).mean()


def negative_loss(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return -compute_dpo_loss(*split_pairs(response_logps(policy, batch)), *reference.T, beta)


def default_beta(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return compute_dpo_loss(*split_pairs(response_logps(policy, batch)), *reference.T)


def no_reference(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def crossed_references(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return own_loss(policy, batch, reference[:, [1, 0]], beta)


def swapped(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    rejected, chosen = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, reference[:, 1], reference[:, 0], beta)


def policy_for_reference(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return compute_dpo_loss(*reference.T, *split_pairs(response_logps(policy, batch)), beta)


def added_references(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return F.softplus(-beta * (chosen + reference[:, 0] - rejected - reference[:, 1])).mean()


def own_reference(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, chosen.detach(), rejected.detach(), beta)


def summed(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return own_loss(policy, batch, reference, beta) * len(reference)


def every_second_row(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch)
    return compute_dpo_loss(logps[0::2], logps[1::2], reference[:, 0], reference[:, 1], beta)


def mean_over_tokens(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch) / batch.response_mask.sum(1)
    return compute_dpo_loss(*split_pairs(logps), reference[:, 0], reference[:, 1], beta)


# The step itself


def right_step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    policy.zero_grad()
    loss.backward()
    clip_grad_norm_(list(policy.parameters()), max_norm=1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def no_return(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> None:
    right_step(policy, optimizer, batch, reference, beta)


def no_step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    optimizer.zero_grad()
    loss.backward()
    return loss


def zeroed_too_late(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def stepped_too_early(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    optimizer.step()
    policy.zero_grad()
    loss = own_loss(policy, batch, reference, beta)
    loss.backward()
    clip_grad_norm_(policy.parameters(), 1.0)
    return loss.item()


def no_zero_grad(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    loss.backward()
    clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def clipped_after_the_step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    clip_grad_norm_(policy.parameters(), 1.0)
    return loss.item()


def clipped_by_value(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def loss_afterwards(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    right_step(policy, optimizer, batch, reference, beta)
    return own_loss(policy, batch, reference, beta).item()


def ascent(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
    loss = own_loss(policy, batch, reference, beta)
    optimizer.zero_grad()
    (-loss).backward()
    clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def step_with(loss_of: Callable[..., Any]) -> Callable[..., Any]:
    def step(policy: Any, optimizer: Any, batch: Any, reference: Any, beta: float) -> Any:
        optimizer.zero_grad()
        loss = loss_of(policy, batch, reference, beta)
        loss.backward()
        clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step

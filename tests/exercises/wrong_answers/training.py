"""Wrong answers to the exercises of notebook 04, each with words that appear only in its own diagnosis."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_

from dpo_teach import compute_dpo_loss
from dpo_teach.batches import split_pairs
from dpo_teach.exercises import training
from dpo_teach.exercises.training import Run
from dpo_teach.logps import response_logps

# The training step: the loss of one batch, right and wrong


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


def attached_reference(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, chosen, rejected, beta)


def rejected_first(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    rejected, chosen = response_logps(policy, batch).chunk(2)
    return compute_dpo_loss(chosen, rejected, *reference.T, beta)


def summed(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    return own_loss(policy, batch, reference, beta) * len(reference)


def every_second_row(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch)
    return compute_dpo_loss(logps[0::2], logps[1::2], reference[:, 0], reference[:, 1], beta)


def mean_over_tokens(policy: Any, batch: Any, reference: Any, beta: float) -> Any:
    logps = response_logps(policy, batch) / batch.response_mask.sum(1)
    return compute_dpo_loss(*split_pairs(logps), reference[:, 0], reference[:, 1], beta)


# The training step: the step itself, right and wrong


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


STEP = {
    "returns nothing": (no_return, "returns nothing"),
    "no step": (no_step, "the weights do not change"),
    "step too early": (stepped_too_early, "steps before `backward`"),
    "no zero_grad": (no_zero_grad, "gradients of earlier steps"),
    "clipped too late": (clipped_after_the_step, "not clipped"),
    "loss negated": (step_with(negative_loss), "sign of the loss is flipped"),
    "gradient ascent": (ascent, "gradient ascent"),
    "default beta": (step_with(default_beta), "default of `compute_dpo_loss`"),
    "beta of the loop": (step_with(lambda p, b, r, beta: own_loss(p, b, r, 0.07)), "one fixed β"),
    "no pull": (step_with(attached_reference), "the two pulls cancel"),
    "rejected first": (step_with(rejected_first), "two halves"),
    "no reference": (step_with(no_reference), "reference is missing"),
    "crossed references": (step_with(crossed_references), "two columns"),
    "swapped": (step_with(swapped), "margin has the wrong sign"),
    "every second row": (step_with(every_second_row), "every second row"),
    "policy as its reference": (step_with(own_reference), "the policy itself at the current step"),
    "loss afterwards": (loss_afterwards, "loss after the step"),
    "clipped by value": (clipped_by_value, "by its value"),
    "sum": (step_with(summed), "summed over the batch"),
    "mean over tokens": (step_with(mean_over_tokens), "number of tokens"),
}

# The choice of beta


def within(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


BETA = {
    "no limits": (lambda runs, k, f: sorted(runs, key=lambda r: r.true_reward)[-1].beta, "ignored the limits"),
    "smallest of all": (lambda runs, k, f: min(run.beta for run in runs), "smallest β of all the runs"),
    "no fluency": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.kl <= k)[1],
        "one on fluency is not",
    ),
    "no KL": (lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.fluency >= f)[1], "one on KL is not"),
    "or": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if not (r.kl > k and r.fluency < f))[1],
        "one limit or the other",
    ),
    "strict in KL": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in within(runs, k, f) if r.kl != k)[1],
        "limit of KL is left out",
    ),
    "strict in fluency": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in within(runs, k, f) if r.fluency != f)[1],
        "limit of fluency is left out",
    ),
    "strict in both": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.kl < k and r.fluency > f)[1],
        "exactly on a limit are left out",
    ),
    "smallest beta": (lambda runs, k, f: min(r.beta for r in within(runs, k, f)), "smallest β that keeps"),
    "closest": (lambda runs, k, f: min((r.kl, r.beta) for r in within(runs, k, f))[1], "closest to the reference"),
    "furthest": (lambda runs, k, f: max((r.kl, r.beta) for r in within(runs, k, f))[1], "went furthest within"),
    "largest beta": (lambda runs, k, f: max(within(runs, k, f)).beta, "took the largest β"),
    "least reward": (
        lambda runs, k, f: min((r.true_reward, r.beta) for r in within(runs, k, f))[1],
        "lowest true reward",
    ),
    "best fluency": (lambda runs, k, f: max((r.fluency, r.beta) for r in within(runs, k, f))[1], "best fluency"),
    "reward over KL": (
        lambda runs, k, f: max((r.true_reward / r.kl, r.beta) for r in within(runs, k, f))[1],
        "for a nat of KL",
    ),
    "reward less KL": (
        lambda runs, k, f: max((r.true_reward - r.kl, r.beta) for r in within(runs, k, f))[1],
        "reward minus KL, as if",
    ),
    "reward and fluency": (
        lambda runs, k, f: max((r.true_reward + r.fluency, r.beta) for r in within(runs, k, f))[1],
        "mixed reward and fluency",
    ),
    "the first": (lambda runs, k, f: within(runs, k, f)[0].beta, "the first run"),
    "the last": (lambda runs, k, f: [r.beta for r in within(runs, k, f)].pop(), "the last run"),
    "KL": (lambda runs, k, f: max((r.true_reward, r.kl) for r in within(runs, k, f))[1], "That is the KL"),
    "place": (
        lambda runs, k, f: max(range(len(runs)), key=lambda i: (runs[i] in within(runs, k, f), runs[i].true_reward)),
        "position of the right run",
    ),
    "reward less price": (
        lambda runs, k, f: max((r.true_reward - r.beta * r.kl, r.beta) for r in within(runs, k, f))[1],
        "reward minus β times KL",
    ),
    "reward": (lambda runs, k, f: max(r.true_reward for r in within(runs, k, f)), "true reward of the right run"),
    "whole run": (lambda runs, k, f: sorted(within(runs, k, f), key=lambda r: r.true_reward)[-1], "its beta alone"),
}

STEP_OTHER_FORMS = [
    (step_with(policy_for_reference), "policy and reference are"),
    (step_with(added_references), "added instead of subtracted"),
]

BETA_OTHER_FORMS = [
    (lambda runs, k, f: max((r.true_reward, r.fluency) for r in within(runs, k, f))[1], "or its fluency"),
    (lambda runs, k, f: max((r.true_reward * r.fluency, r.beta) for r in within(runs, k, f))[1], "mixed reward"),
    (lambda runs, k, f: max((run.kl, run.beta) for run in runs)[1], "smallest β of all the runs"),
    (lambda runs, k, f: max(runs).beta, "a `max` without a `key`"),
    (lambda runs, k, f: sorted(within(runs, k, f), reverse=True)[0].beta, "a `max` without a `key`"),
    (lambda runs, k, f: min(within(runs, k, f)).beta, "smallest β that keeps"),
]

WRONG_ANSWERS = {training.training_step: STEP, training.choose_beta: BETA}
OTHER_FORMS = {training.training_step: STEP_OTHER_FORMS, training.choose_beta: BETA_OTHER_FORMS}

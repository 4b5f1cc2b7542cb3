"""Wrong answers to the exercises of notebook 04."""

import planted_steps as steps
from planted_form import Planted, Variants

from dpo_teach.exercises.training import Run

# The training step

STEP: Planted = {
    "returns nothing": (steps.no_return, "returns nothing"),
    "no step": (steps.no_step, "the weights are where they were"),
    "step too early": (steps.stepped_too_early, "steps before `backward`"),
    "no zero_grad": (steps.no_zero_grad, "gradients of earlier steps"),
    "clipped too late": (steps.clipped_after_the_step, "not clipped"),
    "loss negated": (steps.step_with(steps.negative_loss), "sign of the loss is flipped"),
    "gradient ascent": (steps.ascent, "gradient ascent"),
    "default beta": (steps.step_with(steps.default_beta), "whatever β is asked for"),
    "no reference": (steps.step_with(steps.no_reference), "reference is missing"),
    "crossed references": (steps.step_with(steps.crossed_references), "two columns"),
    "swapped": (steps.step_with(steps.swapped), "margin has the wrong sign"),
    "every second row": (steps.step_with(steps.every_second_row), "every second row"),
    "policy as its reference": (steps.step_with(steps.own_reference), "reference is the policy itself"),
    "loss afterwards": (steps.loss_afterwards, "loss after the step"),
    "clipped by value": (steps.clipped_by_value, "by its value"),
    "sum": (steps.step_with(steps.summed), "summed over the batch"),
    "mean over tokens": (steps.step_with(steps.mean_over_tokens), "number of tokens"),
}

# The choice of beta


def within(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


BETA: Planted = {
    "no limits": (lambda runs, k, f: sorted(runs, key=lambda r: r.true_reward)[-1].beta, "no regard to the limits"),
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
        "place of the right run",
    ),
    "reward less price": (
        lambda runs, k, f: max((r.true_reward - r.beta * r.kl, r.beta) for r in within(runs, k, f))[1],
        "reward minus β times KL",
    ),
    "reward": (lambda runs, k, f: max(r.true_reward for r in within(runs, k, f)), "true reward of the right run"),
    "whole run": (lambda runs, k, f: sorted(within(runs, k, f), key=lambda r: r.true_reward)[-1], "its beta alone"),
}

STEP_VARIANTS: Variants = [
    (steps.step_with(steps.policy_for_reference), "policy and reference are"),
    (steps.step_with(steps.added_references), "added where they are to be taken away"),
]

BETA_VARIANTS: Variants = [
    (lambda runs, k, f: max((r.true_reward, r.fluency) for r in within(runs, k, f))[1], "or its fluency"),
    (lambda runs, k, f: max((r.true_reward * r.fluency, r.beta) for r in within(runs, k, f))[1], "mixed reward"),
    (lambda runs, k, f: max((run.kl, run.beta) for run in runs)[1], "smallest β of all the runs"),
    (lambda runs, k, f: max(runs).beta, "a `max` without a `key`"),
    (lambda runs, k, f: sorted(within(runs, k, f), reverse=True)[0].beta, "a `max` without a `key`"),
    (lambda runs, k, f: min(within(runs, k, f)).beta, "smallest β that keeps"),
]

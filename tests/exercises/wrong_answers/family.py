"""Wrong answers to the exercises of notebook 05, each with words that appear only in its own diagnosis."""

from typing import Any

import torch
import torch.nn.functional as F

from dpo_teach.exercises import family


def lead(a: Any, b: Any, c: Any, d: Any) -> Any:
    """The difference of the log-ratios, in another order of operations."""
    return (a - b) - (c - d)


def squared(x: Any, target: Any) -> Any:
    return F.mse_loss(x, torch.full_like(x, float(target)))


IPO = {
    "target 1 / beta": (lambda a, b, c, d, t: squared(lead(a, b, c, d), 1 / t), "the factor 2 is missing"),
    "target beta / 2": (lambda a, b, c, d, t: squared(lead(a, b, c, d), t / 2), "keep the policy *nearer*"),
    "target negative": (lambda a, b, c, d, t: squared(lead(a, b, c, d), -0.5 / t), "a sign is wrong"),
    "no reference": (lambda a, b, c, d, t: squared(a - b, 0.5 / t), "The reference is missing"),
    "beta twice": (lambda a, b, c, d, t: squared(t * lead(a, b, c, d), 0.5 / t), "*and* divided the target by it"),
    "margin to one half": (lambda a, b, c, d, t: squared(t * lead(a, b, c, d), 0.5), "β² times too small"),
    "no square": (lambda a, b, c, d, t: lead(a, b, c, d).mean() - 0.5 / t, "The square is missing"),
    "absolute": (lambda a, b, c, d, t: F.l1_loss(lead(a, b, c, d), torch.full_like(a, 0.5 / t)), "absolute value"),
    "square of the mean": (lambda a, b, c, d, t: (lead(a, b, c, d).mean() - 0.5 / t) ** 2, "squared then"),
    "sum": (lambda a, b, c, d, t: ((lead(a, b, c, d) - 0.5 / t) ** 2).sum(), "summed over the batch"),
    "no mean": (lambda a, b, c, d, t: torch.square(lead(a, b, c, d) - 0.5 / t), "one loss for each pair"),
    "squared hinge": (lambda a, b, c, d, t: (0.5 / t - lead(a, b, c, d)).relu().pow(2).mean(), "pulls a pair *back*"),
    "hinge": (lambda a, b, c, d, t: (1 - t * lead(a, b, c, d)).clamp(min=0).mean(), "This is the hinge loss"),
    "dpo": (lambda a, b, c, d, t: F.softplus(-t * lead(a, b, c, d)).mean(), "This is the loss of DPO"),
    "half": (lambda a, b, c, d, t: squared(lead(a, b, c, d), 0.5 / t) / 2, "factor of 1/2"),
    "fixed beta": (lambda a, b, c, d, t: squared(lead(a, b, c, d), 0.5 / 0.2), "whatever β is passed"),
    "two targets": (
        lambda a, b, c, d, t: squared(a - c, 0.5 / t) + squared(b - d, -0.5 / t),
        "a target of its own",
    ),
}  # fmt: skip


def mean_lead(a: Any, b: Any, m: Any, n: Any) -> Any:
    return a / m - b / n


def cost(x: Any) -> Any:
    return F.softplus(-x)


SIMPO = {
    "sums": (lambda a, b, m, n, t, g: cost(t * a - t * b - g).mean(), "The lengths are missing"),
    "gamma added": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n) + g).mean(), "γ has the wrong sign"),
    "no gamma": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n)).mean(), "target margin γ is missing"),
    "gamma times beta": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n) - t * g).mean(), "multiplied γ by β"),
    "no beta": (lambda a, b, m, n, t, g: cost(mean_lead(a, b, m, n) - g).mean(), "Beta is missing"),
    "divided by beta": (lambda a, b, m, n, t, g: cost(mean_lead(a, b, m, n) / t - g).mean(), "You divided by β"),
    "swapped": (lambda a, b, m, n, t, g: cost(-t * mean_lead(a, b, m, n) - g).mean(), "rejected are swapped"),
    "lengths swapped": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, n, m) - g).mean(), "The lengths are swapped"),
    "both lengths": (lambda a, b, m, n, t, g: cost(t * (a - b) / (m + n) - g).mean(), "by both lengths together"),
    "multiplied": (lambda a, b, m, n, t, g: cost(t * (m * a - n * b) - g).mean(), "You multiplied by the lengths"),
    "sign": (lambda a, b, m, n, t, g: -cost(t * mean_lead(a, b, m, n) - g).mean(), "sign is flipped"),
    "sum": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n) - g).sum(), "summed over the batch"),
    "no mean": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n) - g), "one loss for each pair"),
    "mean first": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n).mean() - g), "took one loss then"),
    "sigmoid": (lambda a, b, m, n, t, g: -torch.sigmoid(t * mean_lead(a, b, m, n) - g).mean(), "without the logarithm"),
    "hinge": (lambda a, b, m, n, t, g: (g - t * mean_lead(a, b, m, n)).clamp(min=0).mean(), "This is a hinge"),
    "probabilities": (
        lambda a, b, m, n, t, g: cost(t * (torch.exp(a / m) - torch.exp(b / n)) - g).mean(),
        "remove `exp`",
    ),
    "gamma outside": (lambda a, b, m, n, t, g: cost(t * mean_lead(a, b, m, n)).mean() - g, "γ from the loss"),
}  # fmt: skip

IPO_OTHER_FORMS = [
    (lambda a, b, c, d, t: squared(lead(a, b, c, d), 0.5 * t), "keep the policy *nearer*"),
    (lambda a, b, c, d, t: squared(lead(c, d, a, b), 0.5 / t), "a sign is wrong"),
    (lambda a, b, c, d, t: squared(lead(b, a, d, c), 0.5 / t), "a sign is wrong"),
]

SIMPO_OTHER_FORMS = [
    (lambda a, b, m, n, t, g: cost(t / m * (a - b) - g).mean(), "by both lengths together"),
    (
        lambda a, b, m, n, t, g: (1 - torch.sigmoid(t * mean_lead(a, b, m, n) - g)).mean(),
        "without the logarithm",
    ),
]

WRONG_ANSWERS = {family.ipo: IPO, family.simpo: SIMPO}
OTHER_FORMS = {family.ipo: IPO_OTHER_FORMS, family.simpo: SIMPO_OTHER_FORMS}

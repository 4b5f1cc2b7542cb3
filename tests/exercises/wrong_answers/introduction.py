"""Wrong answers to the exercises of notebook 01, each with words that occur in its diagnosis only."""

from typing import Any

import torch
import torch.nn.functional as F

from dpo_teach.exercises import introduction

# The loss


def margin(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
    return beta * (pc - rc - pr + rr)


LOSS = {
    "sign flipped": (lambda pc, pr, rc, rr, b: F.logsigmoid(margin(pc, pr, rc, rr, b)).mean(), "sign flipped"),
    "chosen and rejected swapped": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pr - rr - pc + rc)).mean(),
        "swapped, or",
    ),
    "no reference": (lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - pr)).mean(), "reference is missing"),
    "crossed references": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - rr - pr + rc)).mean(),
        "swapped the two references",
    ),
    "log-ratios added": (
        lambda pc, pr, rc, rr, b: F.softplus(-b * (pc - rc + pr - rr)).mean(),
        "added the two log-ratios",
    ),
    "chosen alone": (lambda pc, pr, rc, rr, b: F.softplus(b * (rc - pc)).mean(), "rejected response is missing"),
    "each by itself": (
        lambda pc, pr, rc, rr, b: (F.softplus(b * (rc - pc)) + F.softplus(b * (pr - rr))).mean(),
        "each response by itself",
    ),
    "ratios of logarithms": (
        lambda pc, pr, rc, rr, b: F.softplus(b * (pr / rr - pc / rc)).mean(),
        "divided log-probabilities by each other",
    ),
    "divided by beta": (lambda pc, pr, rc, rr, b: F.softplus(-(pc - rc - pr + rr) / b).mean(), "divided by β"),
    "beta on the policy": (
        lambda pc, pr, rc, rr, b: F.softplus(rc - rr - b * (pc - pr)).mean(),
        "to the policy and not to the reference",
    ),
    "no beta": (lambda pc, pr, rc, rr, b: -F.logsigmoid(pc - rc - pr + rr).mean(), "Beta is missing"),
    "fixed beta": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(0.1 * (pc - rc - pr + rr)).mean(),
        "one fixed β",
    ),
    "beta squared": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (b * (pc - rc) - b * (pr - rr))).mean(),
        "Beta is squared",
    ),
    "beta on one side": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - rc) - (pr - rr)).mean(),
        "one side only",
    ),
    "beta in front": (
        lambda pc, pr, rc, rr, b: b * F.softplus(pr - rr - pc + rc).mean(),
        "Beta multiplies the loss",
    ),
    "probabilities": (
        lambda pc, pr, rc, rr, b: F.softplus(b * torch.log(pr.exp() * rc.exp() / (rr.exp() * pc.exp()))).mean(),
        "from log-probabilities to probabilities",
    ),
    "sum": (lambda pc, pr, rc, rr, b: -F.logsigmoid(margin(pc, pr, rc, rr, b)).sum(), "summed over the batch"),
    "no mean": (lambda pc, pr, rc, rr, b: -F.logsigmoid(margin(pc, pr, rc, rr, b)), "one loss for each pair"),
    "minus inside": (lambda *a: -F.softplus(margin(*a)).mean(), "minus sign is inside"),
    "sigmoid": (lambda pc, pr, rc, rr, b: margin(pc, pr, rc, rr, b).sigmoid().mean(), "stopped at the probability"),
    "minus sigmoid": (
        lambda pc, pr, rc, rr, b: -margin(pc, pr, rc, rr, b).sigmoid().mean(),
        "the logarithm is missing",
    ),
    "one minus sigmoid": (
        lambda *a: torch.sigmoid(-margin(*a)).mean(),
        "probability that the label is wrong, but the loss",
    ),
    "hinge": (lambda *a: torch.clamp(1 - margin(*a), min=0).mean(), "hinge"),
    "IPO": (
        lambda pc, pr, rc, rr, b: torch.square(pc - rc - pr + rr - 0.5 / b).mean(),
        "squared loss of IPO",
    ),
    "mean margin": (lambda *a: margin(*a).mean(), "stopped at the mean margin"),
    "minus mean margin": (lambda *a: -margin(*a).mean(), "minus the mean margin"),
    "margins": (margin, "These are the margins"),
    "log of sigmoid": (lambda *a: -(1 / (1 + torch.exp(-margin(*a)))).log().mean(), "logarithm in a separate step"),
    "epsilon": (lambda *a: -torch.log(margin(*a).sigmoid() + 1e-8).mean(), "added a small number"),
    "sum over four": (lambda *a: F.softplus(-margin(*a)).sum() / 4, "divided the sum by 4"),
    "divided twice": (lambda *a: F.softplus(-margin(*a)).mean() / a[0].numel(), "size of the batch twice"),
    "log of the mean": (lambda *a: -torch.log(margin(*a).sigmoid().mean()), "averaged the probabilities"),
    "mean first": (lambda pc, pr, rc, rr, b: -F.logsigmoid(margin(pc, pr, rc, rr, b).mean()), "averaged the margins"),
    "ratios": (
        lambda pc, pr, rc, rr, b: F.softplus(b * (torch.exp(pr - rr) - torch.exp(pc - rc))).mean(),
        "exponential of the log-ratios",
    ),
    "one reference": (lambda pc, pr, rc, rr, b: F.softplus(-b * (pc - rc - pr)).mean(), "One of the two references"),
    "no brackets": (lambda pc, pr, rc, rr, b: F.softplus(-b * (pc - rc - pr - rr)).mean(), "Brackets are missing"),
    "policy's two swapped": (
        lambda pc, pr, rc, rr, b: F.softplus(b * (pc - rr - pr + rc)).mean(),
        "policy's two log-probabilities are swapped",
    ),
    "clamped logarithm": (
        lambda *a: F.binary_cross_entropy(torch.sigmoid(margin(*a)), torch.ones_like(a[0])),
        "stops it at -100",
    ),
}

LOSS_OTHER_FORMS = [
    (lambda *a: F.mse_loss(margin(*a), torch.ones_like(a[0])), "squared loss of IPO"),
    (lambda pc, pr, rc, rr, b: F.softplus(b * (pr - rr) - pc + rc).mean(), "one side only"),
    (lambda *a: torch.log1p(torch.exp(-margin(*a))).mean(), "logarithm in a separate step"),
    (lambda *a: (1 + torch.exp(-margin(*a))).log().mean(), "logarithm in a separate step"),
    *(
        (lambda *a, e=e: -torch.log(margin(*a).sigmoid() + e).mean(), "added a small number")
        for e in (1e-12, 1e-9, 1e-6)
    ),
    (lambda pc, pr, rc, rr, b: F.softplus(-b * (rc - pc - rr + pr)).mean(), "policy and reference are"),
    (lambda pc, pr, rc, rr, b: F.softplus(-b * (pc + rc - pr - rr)).mean(), "added policy and reference"),
    # two mistakes: the second makes the result of the last case infinite, and the other cases identify the first
    (lambda pc, pr, rc, rr, b: -(b * (pc - pr)).sigmoid().log().mean(), "reference is missing"),
    (lambda *a: torch.log1p(torch.exp(-margin(*a))).sum(), "summed over the batch"),
    (lambda *a: margin(*a).sigmoid().log().mean(), "sign flipped"),
    (lambda pc, pr, rc, rr, b: F.softplus(b * (torch.log(pr / rr) - torch.log(pc / rc))).mean(), "divided log-prob"),
    (lambda pc, pr, rc, rr, b: F.softplus(-b * (pc - pr + rr)).mean(), "One of the two references"),
    (lambda pc, pr, rc, rr, b: F.softplus(-b * (pc - rc) + pr + rr).mean(), "Brackets are missing"),
    (lambda pc, pr, rc, rr, b: F.softplus(-margin(pc, pr, rc, rr, 0.3)).mean(), "one fixed β"),
    (lambda pc, pr, rc, rr, b: F.softplus(-margin(pc, pr, rc, rr, 0.37)).sum(), "one fixed β"),
]

# The implicit reward

REWARD = {
    "sign flipped": (lambda p, r, b: b * (r - p), "sign is flipped"),
    "no reference": (lambda p, r, b: b * p, "reference is missing"),
    "no beta": (lambda p, r, b: p - r, "Beta is missing"),
    "divided": (lambda p, r, b: (p - r) / b, "divided by β"),
    "beta squared": (lambda p, r, b: b * b * (p - r), "Beta is squared"),
    "no brackets": (lambda p, r, b: b * p - r, "to the policy only"),
    "ratio of logarithms": (lambda p, r, b: b * p / r, "difference* of logarithms"),
    "added": (lambda p, r, b: b * p + b * r, "You added the two"),
    "absolute": (lambda p, r, b: b * abs(p - r), "absolute value"),
    "sigmoid": (lambda p, r, b: torch.sigmoid(b * p - b * r), "sigmoid of the reward"),
    "beta on the reference": (lambda p, r, b: p - b * r, "to the reference only"),
    "log of a ratio of logarithms": (lambda p, r, b: b * torch.log(p / r), "quotient of logarithms"),
    "log of the difference": (lambda p, r, b: b * torch.log(p - r), "logarithm of the difference"),
    "ratio of probabilities": (lambda p, r, b: b * p.exp() / r.exp(), "ratio of the probabilities"),
    "mean": (lambda p, r, b: (b * (p - r)).mean(), "mean reward of the batch"),
    "fixed beta": (lambda p, r, b: 0.1 * p - 0.1 * r, "one fixed β"),
    "by probabilities": (lambda p, r, b: b * torch.log(p.exp() / r.exp()), "went back from log-probabilities"),
}

REWARD_OTHER_FORMS = [
    (lambda p, r, b: 0.25 * abs(p - r), "one fixed β"),
    (lambda p, r, b: b * (p.exp().log() - r.exp().log()), "went back from log-probabilities"),
    (lambda p, r, b: p / r, "You took a ratio of log-probabilities"),
    (lambda p, r, b: b * torch.log(p) - b * torch.log(r), "quotient of logarithms"),
]

WRONG_ANSWERS = {introduction.loss: LOSS, introduction.implicit_reward: REWARD}
OTHER_FORMS = {introduction.loss: LOSS_OTHER_FORMS, introduction.implicit_reward: REWARD_OTHER_FORMS}

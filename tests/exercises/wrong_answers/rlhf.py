"""Wrong answers to the exercises of notebook 02, each with words that appear only in its own diagnosis."""

from typing import Any

import torch
import torch.nn.functional as F

from dpo_teach.exercises import rlhf

# The Bradley-Terry loss


def sigma(x: Any) -> Any:
    return 1 / (1 + torch.exp(-x))


def cost(c: Any, r: Any) -> Any:
    """-log of the probability that chosen wins, one for each pair."""
    return torch.log1p(torch.exp(r - c))


BRADLEY_TERRY = {
    "sign flipped": (lambda c, r: -cost(c, r).mean(), "sign is flipped"),
    "swapped": (lambda c, r: cost(r, c).mean(), "Chosen and rejected are swapped"),
    "minus inside": (lambda c, r: -cost(r, c).mean(), "inside the log-sigmoid"),
    "two log-sigmoids": (
        lambda c, r: (torch.log1p(torch.exp(-c)) - torch.log1p(torch.exp(-r))).mean(),
        "two log-sigmoids",
    ),
    "one minus sigmoid": (lambda c, r: (1 - sigma(c - r)).mean(), "chosen the other response"),
    "mean difference": (lambda c, r: c.mean() - r.mean(), "stopped at the mean difference"),
    "sigmoid": (lambda c, r: sigma(c - r).mean(), "stopped at the probability"),
    "minus sigmoid": (lambda c, r: -sigma(c - r).mean(), "the logarithm is missing"),
    "difference alone": (lambda c, r: r.mean() - c.mean(), "The log-sigmoid is missing"),
    "sum": (lambda c, r: cost(c, r).sum(), "summed over the batch"),
    "no mean": (cost, "one loss for each pair"),
    "log of the mean": (lambda c, r: -torch.log(sigma(c - r).mean()), "averaged the probabilities"),
    "half": (lambda c, r: cost(c, r).sum() / (2 * len(c)), "factor of 1/2"),
    "mean first": (lambda c, r: cost(c.mean(), r.mean()), "averaged the differences"),
    "rewards for strengths": (lambda c, r: torch.log(1 + r / c).mean(), "divided the rewards themselves"),
    "squared error": (lambda c, r: F.mse_loss(c - r, torch.ones_like(c)), "squared error"),
    "hinge": (lambda c, r: F.margin_ranking_loss(c, r, torch.ones_like(c), margin=1.0), "hinge"),
    "chosen alone": (lambda c, r: torch.log1p(torch.exp(-c)).mean(), "rejected reward is missing"),
    "each by itself": (
        lambda c, r: (
            F.binary_cross_entropy_with_logits(c, torch.ones_like(c))
            + F.binary_cross_entropy_with_logits(r, torch.zeros_like(r))
        ),
        "each response on its own",
    ),
    "beta of DPO": (lambda c, r: -F.logsigmoid(0.1 * (c - r)).mean(), "factor of 0.1"),
    "log of sigmoid": (lambda c, r: -torch.log(sigma(c - r)).mean(), "You took the logarithm in a separate step"),
    "epsilon": (lambda c, r: -torch.log(torch.sigmoid(c - r) + 1e-6).mean(), "added a small number"),
    "clamped logarithm": (
        lambda c, r: F.binary_cross_entropy(torch.sigmoid(c - r), torch.ones_like(c)),
        "stops it at -100",
    ),
}

# The KL-penalised reward


def nats(p: Any, q: Any, b: float) -> Any:
    """The price of each token."""
    return b * (q - p)


def ending(r: float, like: Any) -> Any:
    """Zeros with the reward at the end."""
    return torch.cat([torch.zeros_like(like[1:]), torch.tensor([float(r)], dtype=like.dtype)])


PENALTY = {
    "wrong sign": (lambda r, p, q, b: b * (p - q) + ending(r, p), "price has the wrong sign"),
    "no reward": (lambda r, p, q, b: nats(p, q, b), "reward of the response is missing"),
    "reward alone": (lambda r, p, q, b: ending(r, p), "price is missing"),
    "reward times beta": (lambda r, p, q, b: b * (q - p + ending(r, p)), "multiplied the reward by β"),
    "reward taken away": (lambda r, p, q, b: nats(p, q, b) - ending(r, p), "reward has the wrong sign"),
    "all negative": (lambda r, p, q, b: nats(q, p, b) - ending(r, p), "Everything has the wrong sign"),
    "reward everywhere": (lambda r, p, q, b: nats(p, q, b) + r, "to every token"),
    "reward first": (lambda r, p, q, b: nats(p, q, b) + ending(r, p).flip(0), "at the first token"),
    "reward spread": (lambda r, p, q, b: nats(p, q, b) + r / p.numel(), "spread the reward"),
    "no beta": (lambda r, p, q, b: q - p + ending(r, p), "Beta is missing"),
    "divided by beta": (lambda r, p, q, b: (q - p) / b + ending(r, p), "divided by β"),
    "weighted": (lambda r, p, q, b: b * p.exp() * (q - p) + ending(r, p), "probability of its token"),
    "last pays alone": (lambda r, p, q, b: ending(r + b * (q[-1] - p[-1]), p), "Only the last token pays"),
    "all at the end": (lambda r, p, q, b: ending(r + (b * (q - p)).sum(), p), "whole price is at the last"),
    "one number": (lambda r, p, q, b: r - b * (p.sum() - q.sum()), "one number for the whole response"),
    "no reference": (lambda r, p, q, b: ending(r, p) - b * p, "reference is missing"),
    "reward instead": (
        lambda r, p, q, b: torch.cat([nats(p, q, b)[:-1], ending(r, p)[-1:]]),
        "in the place of the last",
    ),
    "absolute": (lambda r, p, q, b: ending(r, p) - b * (p - q).abs(), "absolute value"),
    "ratio": (lambda r, p, q, b: ending(r, p) - b * p.exp() / q.exp(), "ratio of the probabilities"),
    "log of a quotient": (lambda r, p, q, b: ending(r, p) - b * torch.log(p / q), "divided log-probabilities"),
    "no brackets": (lambda r, p, q, b: ending(r, p) - (b * p - q), "Brackets are missing"),
    "fixed beta": (lambda r, p, q, b: ending(r, p) - 0.05 * (p - q), "one fixed β"),
    "by probabilities": (lambda r, p, q, b: ending(r, p) - b * torch.log(p.exp() / q.exp()), "from log-probabilities"),
}

PENALTY_OTHER_FORMS = [
    (lambda r, p, q, b: b * (p - q), "reward of the response is missing"),
    (lambda r, p, q, b: r, "price is missing"),
    (lambda r, p, q, b: [r] * len(p), "price is missing"),
    (lambda r, p, q, b: b * r, "multiplied the reward by β"),
    (lambda r, p, q, b: b * ending(r, p), "multiplied the reward by β"),
    (lambda r, p, q, b: -r, "reward has the wrong sign"),
    (lambda r, p, q, b: -ending(r, p), "reward has the wrong sign"),
    (lambda r, p, q, b: ending(r, p) - b * p / q, "divided log-probabilities"),
    (lambda r, p, q, b: ending(r, p) - b * p - q, "Brackets are missing"),
    (lambda r, p, q, b: ending(r, p) - b * (p.exp().log() - q.exp().log()), "from log-probabilities"),
]

WRONG_ANSWERS = {rlhf.bradley_terry: BRADLEY_TERRY, rlhf.penalised_rewards: PENALTY}
OTHER_FORMS = {rlhf.penalised_rewards: PENALTY_OTHER_FORMS}

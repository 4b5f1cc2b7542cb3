"""Wrong answers to the exercises of notebook 03, each with words that occur in its diagnosis only."""

from typing import Any

import torch
import torch.nn.functional as F

from dpo_teach.exercises import gradients

# The gradient weight


def sigma(x: Any) -> Any:
    return 1 / (1 + torch.exp(-x))


WEIGHT = {
    "no beta": (lambda m, b: sigma(-m), "Beta is missing"),
    "derivative by the margin": (lambda m, b: sigma(m) - 1, "derivative with respect to the margin"),
    "probability of the label": (
        lambda m, b: 1 / (1 + torch.exp(-m)),
        "probability that the policy gives to the label",
    ),
    "sign of the margin": (lambda m, b: b * sigma(m), "sign of the margin is wrong"),
    "beta squared": (lambda m, b: b * b * sigma(-m), "Beta is squared"),
    "divided by beta": (lambda m, b: sigma(-m) / b, "divided by β"),
    "derivative of the sigmoid": (lambda m, b: b * sigma(m) * (1 - sigma(m)), "differentiated the sigmoid"),
    "beta on the margin": (lambda m, b: b * sigma(-b * m), "multiplied the margin by β"),
    "negative": (lambda m, b: -b * (1 - sigma(m)), "This is negative"),
    "negative and wrong margin sign": (lambda m, b: -b * sigma(m), "Two signs are wrong"),
    "over the batch": (lambda m, b: b * sigma(-m) / m.shape[0], "divided by the batch size"),
    "gradient of the mean loss": (
        lambda m, b: b * torch.func.grad(lambda x: -F.logsigmoid(x).mean())(m),
        "the whole gradient",
    ),
    "mean": (lambda m, b: torch.mean(b * sigma(-m)), "mean over the batch"),
    "log-sigmoid": (lambda m, b: b * F.logsigmoid(-m), "took the log-sigmoid"),
    "loss": (lambda m, b: F.softplus(-m), "This is the loss of each pair"),
    "beta times the loss": (lambda m, b: b * F.softplus(-m), "β times the loss"),
    "shares": (lambda m, b: b * sigma(-m) / (b * sigma(-m)).sum(), "shares of the pull"),
    "beta inside": (lambda m, b: sigma(-b * m), "in the wrong place"),
    "fixed beta": (lambda m, b: 0.1 * sigma(-m), "one fixed β"),
    "written out": (lambda m, b: b * torch.exp(-m) / (1 + torch.exp(-m)), "which overflows"),
}

WEIGHT_OTHER_FORMS = [
    (lambda m, b: torch.sum(b * sigma(-m)), "mean over the batch"),
    (lambda m, b: sigma(m) * sigma(-m), "differentiated the sigmoid"),
    (lambda m, b: torch.log(sigma(-m)), "took the log-sigmoid"),
    (lambda m, b: -b * F.softplus(-m), "took the log-sigmoid"),
    (lambda m, b: 0.37 * sigma(m), "one fixed β"),
    (lambda m, b: b * (1 - torch.exp(m) / (1 + torch.exp(m))), "which overflows"),
]

# sequence_logps. Padding has the id 0.


def token_logps(logits: Any, ids: Any) -> Any:
    """log P of every token but the first, computed one token at a time."""
    rows = [[logits[i, t - 1].log_softmax(0)[ids[i, t]] for t in range(1, ids.shape[1])] for i in range(len(ids))]
    return torch.stack([torch.stack(row) for row in rows])


def pick(scores: Any, ids: Any) -> Any:
    return torch.gather(scores, 2, ids.unsqueeze(2)).squeeze(2)


def to_the_end(mask: Any) -> Any:
    """A mask of the response and everything after it."""
    starts = mask.int().argmax(dim=1, keepdim=True)
    return torch.arange(mask.shape[1]) >= starts


def log_softmax(x: Any) -> Any:
    return F.log_softmax(x, dim=-1)


LOGPS = {
    "no shift": (lambda x, ids, mask: (pick(log_softmax(x), ids) * mask).sum(1), "There is no shift"),
    "ids not shifted": (
        lambda x, ids, mask: (pick(log_softmax(x)[:, :-1], ids[:, :-1]) * mask[:, 1:]).sum(1),
        "cut the last position off",
    ),
    "wrong-way shift": (
        lambda x, ids, mask: (pick(log_softmax(x)[:, 1:], ids[:, :-1]) * mask[:, :-1]).sum(1),
        "shifted in the wrong direction",
    ),
    "mask not shifted": (lambda x, ids, mask: (token_logps(x, ids) * mask[:, :-1]).sum(1), "but the mask is not"),
    "prompt counted": (lambda x, ids, mask: (token_logps(x, ids) * (ids[:, 1:] != 0)).sum(1), "prompt is counted"),
    "padding counted": (
        lambda x, ids, mask: (token_logps(x, ids) * to_the_end(mask)[:, 1:]).sum(1),
        "padding is counted",
    ),
    "everything counted": (lambda x, ids, mask: token_logps(x, ids).sum(1), "Everything is counted"),
    "mean over the response": (
        lambda x, ids, mask: torch.stack([token_logps(x, ids)[i, mask[i, 1:]].mean() for i in range(len(ids))]),
        "mean over the response's",
    ),
    "mean over the row": (lambda x, ids, mask: (token_logps(x, ids) * mask[:, 1:]).mean(1), "over the whole row"),
    "softmax without log": (
        lambda x, ids, mask: (token_logps(x, ids).exp() * mask[:, 1:]).sum(1),
        "summed probabilities",
    ),
    "log of the sum": (
        lambda x, ids, mask: torch.log((token_logps(x, ids).exp() * mask[:, 1:]).sum(1)),
        "of the sum of the probabilities",
    ),
    "log of masked": (
        lambda x, ids, mask: torch.log(token_logps(x, ids).exp() * mask[:, 1:]).sum(1),
        "give minus infinity",
    ),
    "most probable": (
        lambda x, ids, mask: torch.amax(log_softmax(x)[:, :-1], dim=2).where(mask[:, 1:], 0).sum(1),
        "most probable token",
    ),
    "mask inverted": (lambda x, ids, mask: (token_logps(x, ids) * (1 - mask[:, 1:].int())).sum(1), "mask is inverted"),
    "raw logits": (lambda x, ids, mask: (pick(x[:, :-1], ids[:, 1:]) * mask[:, 1:]).sum(1), "raw logits"),
    "wrong dimension": (
        lambda x, ids, mask: (pick(F.log_softmax(x[:, :-1], dim=1), ids[:, 1:]) * mask[:, 1:]).sum(1),
        "wrong dimension",
    ),
    "sum over the batch": (lambda x, ids, mask: token_logps(x, ids)[mask[:, 1:]].sum(), "summed over the batch"),
    "no sum": (lambda x, ids, mask: token_logps(x, ids) * mask[:, 1:], "one logp for each token"),
    "cross-entropy": (
        lambda x, ids, mask: (
            F.cross_entropy(x[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none").where(mask[:, 1:], 0).sum(1)
        ),
        "sign is flipped",
    ),
    "probability": (
        lambda x, ids, mask: token_logps(x, ids).exp().where(mask[:, 1:], 1).prod(1),
        "probability of each response",
    ),
    "end token dropped": (
        lambda x, ids, mask: torch.stack([token_logps(x, ids)[i, mask[i, 1:]][:-1].sum() for i in range(len(ids))]),
        "last token of each response",
    ),
    "first token dropped": (
        lambda x, ids, mask: torch.stack([token_logps(x, ids)[i, mask[i, 1:]][1:].sum() for i in range(len(ids))]),
        "first token of each response is",
    ),
    "epsilon": (
        lambda x, ids, mask: (torch.log(pick(x.softmax(-1)[:, :-1], ids[:, 1:]) + 1e-8) * mask[:, 1:]).sum(1),
        "added a small number",
    ),
    "gathered first": (
        lambda x, ids, mask: (log_softmax(pick(x[:, :-1], ids[:, 1:])) * mask[:, 1:]).sum(1),
        "positions* of a row",
    ),
    "log of softmax": (
        lambda x, ids, mask: (pick(x.softmax(-1).log()[:, :-1], ids[:, 1:]).where(mask[:, 1:], 0)).sum(1),
        "logarithm afterwards",
    ),
}

LOGPS_OTHER_FORMS = [
    (lambda x, ids, mask: token_logps(x, ids).masked_fill(~mask[:, 1:], -torch.inf).sum(1), "give minus infinity"),
    (lambda x, ids, mask: (token_logps(x, ids) * mask[:, 1:]).sum(1) / ids.shape[1], "over the whole row"),
    (lambda x, ids, mask: (pick(log_softmax(x), ids)[:, :-1] * mask[:, :-1]).sum(1), "cut the last position off"),
    (lambda x, ids, mask: (token_logps(x, ids) * mask[:, 1:])[:, :-1].sum(1), "last token of each response"),
    (
        lambda x, ids, mask: (pick(x.softmax(-1)[:, :-1], ids[:, 1:]).clamp(min=1e-8).log() * mask[:, 1:]).sum(1),
        "added a small number",
    ),
    (
        lambda x, ids, mask: pick(x.softmax(-1)[:, :-1], ids[:, 1:]).where(mask[:, 1:], 1).prod(1).log(),
        "logarithm afterwards",
    ),
]

WRONG_ANSWERS = {gradients.gradient_weight: WEIGHT, gradients.sequence_logps: LOGPS}
OTHER_FORMS = {gradients.gradient_weight: WEIGHT_OTHER_FORMS, gradients.sequence_logps: LOGPS_OTHER_FORMS}

"""Wrong answers as learners give them, written out here and not taken from the exercises, with words of the diagnosis.

`python tests/planted.py` prints, for each coding exercise, how many there are and how many are recognised.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import planted_steps as steps
import torch
import torch.nn.functional as F

from dpo_teach.exercises import gradients, introduction, rlhf, training
from dpo_teach.exercises.function import FunctionExercise
from dpo_teach.exercises.training import Run

os.environ["DPO_TEACH_PROGRESS"] = "off"  # a check that a test makes is nobody's progress
os.environ.pop("DPO_TEACH_REVEAL", None)

Planted = Mapping[str, tuple[Callable[..., Any], str]]

# 01, the loss


def m(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
    return beta * (pc - rc - pr + rr)


LOSS: Planted = {
    "sign flipped": (lambda pc, pr, rc, rr, b: F.logsigmoid(m(pc, pr, rc, rr, b)).mean(), "sign flipped"),
    "chosen and rejected swapped": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pr - rr - pc + rc)).mean(),
        "swapped, or",
    ),
    "no reference": (lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - pr)).mean(), "reference is missing"),
    "crossed references": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - rr - pr + rc)).mean(),
        "references are swapped",
    ),
    "no beta": (lambda pc, pr, rc, rr, b: -F.logsigmoid(pc - rc - pr + rr).mean(), "Beta is missing"),
    "fixed beta": (lambda pc, pr, rc, rr, b: -F.logsigmoid(0.1 * (pc - rc - pr + rr)).mean(), "whatever β is asked"),
    "beta squared": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (b * (pc - rc) - b * (pr - rr))).mean(),
        "Beta is squared",
    ),
    "beta on one side": (
        lambda pc, pr, rc, rr, b: -F.logsigmoid(b * (pc - rc) - (pr - rr)).mean(),
        "one side only",
    ),
    "sum": (lambda pc, pr, rc, rr, b: -F.logsigmoid(m(pc, pr, rc, rr, b)).sum(), "summed over the batch"),
    "no mean": (lambda pc, pr, rc, rr, b: -F.logsigmoid(m(pc, pr, rc, rr, b)), "one loss for each pair"),
    "sigmoid": (lambda pc, pr, rc, rr, b: m(pc, pr, rc, rr, b).sigmoid().mean(), "stopped at the probability"),
    "minus sigmoid": (lambda pc, pr, rc, rr, b: -m(pc, pr, rc, rr, b).sigmoid().mean(), "the logarithm is missing"),
    "mean first": (lambda pc, pr, rc, rr, b: -F.logsigmoid(m(pc, pr, rc, rr, b).mean()), "averaged the margins"),
}

# 01, the implicit reward

REWARD: Planted = {
    "sign flipped": (lambda p, r, b: b * (r - p), "sign is flipped"),
    "no reference": (lambda p, r, b: b * p, "reference is missing"),
    "no beta": (lambda p, r, b: p - r, "Beta is missing"),
    "divided": (lambda p, r, b: (p - r) / b, "divided by β"),
    "beta squared": (lambda p, r, b: b * b * (p - r), "Beta is squared"),
    "no brackets": (lambda p, r, b: b * p - r, "to the policy only"),
    "ratio of logarithms": (lambda p, r, b: b * p / r, "difference* of logarithms"),
    "ratio of probabilities": (lambda p, r, b: b * p.exp() / r.exp(), "ratio of the probabilities"),
    "mean": (lambda p, r, b: (b * (p - r)).mean(), "mean reward of the batch"),
}

# 02, the Bradley-Terry loss


def sigma(x: Any) -> Any:
    return 1 / (1 + torch.exp(-x))


def cost(c: Any, r: Any) -> Any:
    """-log of the probability that chosen wins, one for each pair."""
    return torch.log1p(torch.exp(r - c))


BRADLEY_TERRY: Planted = {
    "sign flipped": (lambda c, r: -cost(c, r).mean(), "sign flipped"),
    "swapped": (lambda c, r: cost(r, c).mean(), "Chosen and rejected are swapped"),
    "sigmoid": (lambda c, r: sigma(c - r).mean(), "stopped at the probability"),
    "minus sigmoid": (lambda c, r: -sigma(c - r).mean(), "the logarithm is missing"),
    "difference alone": (lambda c, r: r.mean() - c.mean(), "The log-sigmoid is missing"),
    "sum": (lambda c, r: cost(c, r).sum(), "summed over the batch"),
    "no mean": (cost, "one loss for each pair"),
    "mean first": (lambda c, r: cost(c.mean(), r.mean()), "averaged the differences"),
    "squared error": (lambda c, r: F.mse_loss(c - r, torch.ones_like(c)), "squared error"),
    "hinge": (lambda c, r: F.margin_ranking_loss(c, r, torch.ones_like(c), margin=1.0), "hinge"),
    "chosen alone": (lambda c, r: torch.log1p(torch.exp(-c)).mean(), "rejected reward is missing"),
    "each by itself": (
        lambda c, r: (
            F.binary_cross_entropy_with_logits(c, torch.ones_like(c))
            + F.binary_cross_entropy_with_logits(r, torch.zeros_like(r))
        ),
        "each response by itself",
    ),
    "beta of DPO": (lambda c, r: -F.logsigmoid(0.1 * (c - r)).mean(), "factor of 0.1"),
}

# 02, the KL-penalised reward


def nats(p: Any, q: Any, b: float) -> Any:
    """What each token pays."""
    return b * (q - p)


def ending(r: float, like: Any) -> Any:
    """Zeros, and the reward at the end."""
    return torch.cat([torch.zeros_like(like[1:]), torch.tensor([float(r)], dtype=like.dtype)])


PENALTY: Planted = {
    "wrong sign": (lambda r, p, q, b: b * (p - q) + ending(r, p), "price has the wrong sign"),
    "no reward": (lambda r, p, q, b: nats(p, q, b), "reward of the response is missing"),
    "reward everywhere": (lambda r, p, q, b: nats(p, q, b) + r, "to every token"),
    "reward first": (lambda r, p, q, b: nats(p, q, b) + ending(r, p).flip(0), "at the first token"),
    "reward spread": (lambda r, p, q, b: nats(p, q, b) + r / p.numel(), "spread the reward"),
    "no beta": (lambda r, p, q, b: q - p + ending(r, p), "Beta is missing"),
    "last pays alone": (lambda r, p, q, b: ending(r + b * (q[-1] - p[-1]), p), "Only the last token pays"),
    "all at the end": (lambda r, p, q, b: ending(r + (b * (q - p)).sum(), p), "whole price stands at the last"),
    "one number": (lambda r, p, q, b: r - b * (p.sum() - q.sum()), "one number for the whole response"),
    "no reference": (lambda r, p, q, b: ending(r, p) - b * p, "reference is missing"),
    "reward instead": (
        lambda r, p, q, b: torch.cat([nats(p, q, b)[:-1], ending(r, p)[-1:]]),
        "in the place of the last",
    ),
    "absolute": (lambda r, p, q, b: ending(r, p) - b * (p - q).abs(), "absolute value"),
    "ratio": (lambda r, p, q, b: ending(r, p) - b * p.exp() / q.exp(), "ratio of the probabilities"),
}

# 03, the gradient weight

WEIGHT: Planted = {
    "no beta": (lambda m, b: sigma(-m), "Beta is missing"),
    "sign of the margin": (lambda m, b: b * sigma(m), "sign of the margin is wrong"),
    "beta squared": (lambda m, b: b * b * sigma(-m), "Beta is squared"),
    "derivative of the sigmoid": (lambda m, b: b * sigma(m) * (1 - sigma(m)), "differentiated the sigmoid"),
    "beta on the margin": (lambda m, b: b * sigma(-b * m), "multiplied the margin by β"),
    "negative": (lambda m, b: -b * (1 - sigma(m)), "This is negative"),
    "over the batch": (lambda m, b: b * sigma(-m) / m.shape[0], "divided by the batch size"),
    "gradient of the mean loss": (
        lambda m, b: b * torch.func.grad(lambda x: -F.logsigmoid(x).mean())(m),
        "the whole gradient",
    ),
    "mean": (lambda m, b: torch.mean(b * sigma(-m)), "mean over the batch"),
    "log-sigmoid": (lambda m, b: b * F.logsigmoid(-m), "took the log-sigmoid"),
    "loss": (lambda m, b: F.softplus(-m), "the loss of each pair"),
}

# 03, sequence_logps. Padding has the id 0.


def token_logps(logits: Any, ids: Any) -> Any:
    """Row by row and token by token: log P of every token but the first."""
    rows = [[logits[i, t - 1].log_softmax(0)[ids[i, t]] for t in range(1, ids.shape[1])] for i in range(len(ids))]
    return torch.stack([torch.stack(row) for row in rows])


def pick(scores: Any, ids: Any) -> Any:
    return torch.gather(scores, 2, ids.unsqueeze(2)).squeeze(2)


def to_the_end(mask: Any) -> Any:
    """The response and all that follows it."""
    starts = mask.int().argmax(dim=1, keepdim=True)
    return torch.arange(mask.shape[1]) >= starts


def log_softmax(x: Any) -> Any:
    return F.log_softmax(x, dim=-1)


LOGPS: Planted = {
    "no shift": (lambda x, ids, mask: (pick(log_softmax(x), ids) * mask).sum(1), "There is no shift"),
    "wrong-way shift": (
        lambda x, ids, mask: (pick(log_softmax(x)[:, 1:], ids[:, :-1]) * mask[:, :-1]).sum(1),
        "shifted the wrong way",
    ),
    "mask not shifted": (lambda x, ids, mask: (token_logps(x, ids) * mask[:, :-1]).sum(1), "and the mask is not"),
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
}

# 04, the training step

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
    "swapped": (steps.step_with(steps.swapped), "Chosen and rejected are swapped"),
    "every second row": (steps.step_with(steps.every_second_row), "every second row"),
    "mean over tokens": (steps.step_with(steps.mean_over_tokens), "number of tokens"),
}

# 04, the choice of beta


def within(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


BETA: Planted = {
    "no limits": (lambda runs, k, f: sorted(runs, key=lambda r: r.true_reward)[-1].beta, "no regard to the limits"),
    "no fluency": (
        lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.kl <= k)[1],
        "one on fluency is not",
    ),
    "no KL": (lambda runs, k, f: max((r.true_reward, r.beta) for r in runs if r.fluency >= f)[1], "one on KL is not"),
    "smallest beta": (lambda runs, k, f: min(r.beta for r in within(runs, k, f)), "smallest β"),
    "closest": (lambda runs, k, f: min((r.kl, r.beta) for r in within(runs, k, f))[1], "closest to the reference"),
    "furthest": (lambda runs, k, f: max((r.kl, r.beta) for r in within(runs, k, f))[1], "went furthest"),
    "reward": (lambda runs, k, f: max(r.true_reward for r in within(runs, k, f)), "its beta is wanted"),
}

PLANTED: dict[FunctionExercise, Planted] = {
    introduction.loss: LOSS,
    introduction.implicit_reward: REWARD,
    rlhf.bradley_terry: BRADLEY_TERRY,
    rlhf.penalised_rewards: PENALTY,
    gradients.gradient_weight: WEIGHT,
    gradients.sequence_logps: LOGPS,
    training.training_step: STEP,
    training.choose_beta: BETA,
}


def is_recognised(exercise: FunctionExercise, answer: Callable[..., Any], words: str) -> bool:
    """Whether a wrong answer is told the one diagnosis that these words are in."""
    verdict = exercise.check(answer)
    diagnoses = [mistake.diagnosis for mistake in exercise.mistakes if words in mistake.diagnosis]
    return verdict.status == "wrong" and len(diagnoses) == 1 and verdict.message.startswith(diagnoses[0])


def table() -> str:
    """Per coding exercise: wrong answers planted, and how many of them got their own diagnosis."""
    counts = {
        f"{exercise.notebook} {exercise.name}": [is_recognised(exercise, *mistake) for mistake in planted.values()]
        for exercise, planted in PLANTED.items()
    }
    counts["total"] = [told for row in counts.values() for told in row]
    lines = [f"{'exercise':<28}{'planted':>8}{'own diagnosis':>15}"]
    lines += [f"{name:<28}{len(told):>8}{sum(told):>15}" for name, told in counts.items()]
    return "\n".join([*lines, f"{sum(counts['total']) / len(counts['total']):.1%} of the planted mistakes are named"])


if __name__ == "__main__":
    print(table())

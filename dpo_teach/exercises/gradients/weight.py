"""Write the gradient weight."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["gradient_weight"]


def _my_gradient_weight(margins: Tensor, beta: float) -> Tensor:
    return beta * torch.sigmoid(-margins)


_MISTAKES = (
    Mistake(
        lambda margins, beta: torch.sigmoid(-margins),
        "Beta is missing: you return σ(-m), the probability that the policy gives to the wrong order. "
        "The margin is β times a difference of logps, and the chain rule brings that β out in front.",
    ),
    Mistake(
        lambda margins, beta: -torch.sigmoid(-margins),
        "This is the derivative by the margin, -σ(-m), and the one by the chosen logp is wanted: its size. "
        "One link of the chain is left, from the logp to the margin, and that link is β.",
    ),
    Mistake(
        lambda margins, beta: torch.sigmoid(margins),
        "You return σ(m), the probability that the policy gives to the label: β is missing and so is a minus. "
        "The more a pair is settled, the harder it would pull, and just as hard for every β.",
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(margins),
        "The sign of the margin is wrong: you return β σ(m), which is largest where the pair is settled. "
        "The pull must be strongest on the pairs that are wrong, or nothing would be learned from them.",
    ),
    Mistake(
        lambda margins, beta: beta**2 * torch.sigmoid(-margins),
        "Beta is squared: it stands in front twice. "
        "The chain rule brings it out once, so that at β = 0.1 your pull is ten times too weak.",
    ),
    Mistake(
        lambda margins, beta: torch.sigmoid(-margins) / beta,
        "You divided by β, and the chain rule multiplies by it. "
        "A pair would pull the harder, the smaller β is; in truth a small β pulls gently and for longer.",
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(margins) * torch.sigmoid(-margins),
        "You differentiated the sigmoid, and the loss is its logarithm: σ(m) σ(-m) has one factor too many. "
        "With it the pull would vanish on pairs that are badly wrong, where it is needed most.",
        also=(lambda margins, beta: torch.sigmoid(margins) * torch.sigmoid(-margins),),
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(-beta * margins),
        "You multiplied the margin by β, and it holds β already: m = β × (difference of the log-ratios). "
        "Applied twice, a small β makes right and wrong pairs look nearly alike.",
    ),
    Mistake(
        lambda margins, beta: -beta * torch.sigmoid(-margins),
        "This is negative: it is the derivative of the loss by the chosen logp, and the weight is its size. "
        "The weight says how hard a pair pulls; up for chosen and down for rejected are signs that come on top.",
    ),
    Mistake(
        lambda margins, beta: -beta * torch.sigmoid(margins),
        "Two signs are wrong: yours is negative, and it is largest where the pair is settled. "
        "The weight is the size of the derivative, so nothing stands in front of β, and a minus in front of m.",
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(-margins) / len(margins),
        "You divided by the batch size, as the gradient of the mean loss does. "
        "The weight belongs to one pair, and must not change when other pairs join the batch.",
    ),
    Mistake(
        lambda margins, beta: -beta * torch.sigmoid(-margins) / len(margins),
        "This is the whole gradient of the mean loss by the chosen logps: minus the weight, over the batch size. "
        "The weight alone lies between 0 and β, whichever side it pulls and however many pairs there are.",
    ),
    Mistake(
        lambda margins, beta: (beta * torch.sigmoid(-margins)).mean(),
        "This is the mean over the batch, or the sum, and one weight for each pair is wanted. "
        "It is the differences between pairs that tell which of them the step listens to.",
        also=(lambda margins, beta: (beta * torch.sigmoid(-margins)).sum(),),
    ),
    Mistake(
        lambda margins, beta: beta * F.logsigmoid(-margins),
        "You took the log-sigmoid, where the derivative has the sigmoid itself. "
        "A logarithm grows without end, and a weight never passes β.",
        also=(lambda margins, beta: F.logsigmoid(-margins), lambda margins, beta: beta * F.logsigmoid(margins)),
    ),
    Mistake(
        lambda margins, beta: -F.logsigmoid(margins),
        "This is the loss of each pair, and its slope is wanted. "
        "The optimizer never sees the value of the loss: what moves the policy is the derivative.",
    ),
    Mistake(
        lambda margins, beta: -beta * F.logsigmoid(margins),
        "This is β times the loss of each pair, and β times its slope is wanted. "
        "The loss grows without end on a pair that is badly wrong; the pull is never more than β.",
    ),
)

gradient_weight = FunctionExercise(
    name="the gradient weight",
    notebook="03",
    answer_name="my_gradient_weight",
    task="Replace the `...` of the stub by one line: how hard each pair pulls, a number between 0 and β.",
    hints=(
        "It is the size of the derivative of one pair's loss, -log σ(m), by its chosen logp. Two links in the chain: "
        "the loss by the margin, the margin by the logp.",
        "The derivative of -log σ(m) by m is -σ(-m). The margin is β times the difference of the log-ratios.",
        "β times the sigmoid of *minus* the margin: `torch.sigmoid` takes the whole batch at once. No mean.",
    ),
    praise="That is the gradient weight: β/2 at a margin of 0, nearly β on a pair that is badly wrong, and nearly "
    "nothing on one that is settled.",
    solution=_my_gradient_weight,
    name_in_notebook="gradients.gradient_weight",
    cases=(
        {"margins": torch.tensor([1.5, -0.7, 0.0, 3.0], dtype=torch.float64), "beta": 0.1},
        {"margins": torch.tensor([-2.0, 0.4, 5.0], dtype=torch.float64), "beta": 0.5},
        {"margins": torch.tensor([-6.0, 0.9], dtype=torch.float64), "beta": 2.0},
    ),
    mistakes=_MISTAKES,
)

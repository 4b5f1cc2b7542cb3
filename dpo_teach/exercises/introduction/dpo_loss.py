"""Write the DPO loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.function import FunctionExercise, Mistake
from dpo_teach.exercises.introduction.cases import random_cases

__all__ = ["loss"]


def _my_dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> Tensor:
    chosen_log_ratio = policy_chosen - reference_chosen
    rejected_log_ratio = policy_rejected - reference_rejected
    margin = beta * (chosen_log_ratio - rejected_log_ratio)
    return -F.logsigmoid(margin).mean()


def _margin(pc: Tensor, pr: Tensor, rc: Tensor, rr: Tensor, beta: float) -> Tensor:
    return beta * ((pc - rc) - (pr - rr))


_MISTAKES = (
    Mistake(
        lambda *a: F.logsigmoid(_margin(*a)).mean(),
        "Your value is the right one with the sign flipped: a loss is *minus* the log-probability of the label. "
        "An optimizer makes a loss small, and would make this one small by making the policy worse.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _my_dpo_loss(pr, pc, rr, rc, beta),
        "The margin has the wrong sign: chosen and rejected are swapped, or policy and reference are. "
        "This loss teaches the policy to prefer what people rejected.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - pr)).mean(),
        "The reference is missing: you compare the policy's two log-probabilities with each other. "
        "Without it a response that was always likely counts as learned, and nothing holds the policy to its start.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rr, rc, beta),
        "The two references are swapped: chosen is measured against the reference of the rejected response. "
        "A log-ratio says how far one response has moved, so both its numbers must be about that response.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rc, rr, 1.0),
        "Beta is missing: your loss is the same whatever β is. "
        "Without it nobody can say how closely the policy is to be held to the reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rc, rr, 0.1),
        "You use β = 0.1 whatever β is asked for. "
        "A sweep over β would then train the same policy again and again; take it from the argument.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rc, rr, beta**2),
        "Beta is squared: it was multiplied in twice, perhaps once into the log-ratios and once into the margin. "
        "A β of 0.1 then acts like one of 0.01, which lets the policy go ten times as far from its reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc) - (pr - rr)).mean(),
        "Beta is applied to one side only: the chosen log-ratio has it, and the rejected one has not. "
        "The two must be in one unit before they are compared, or the larger unit decides.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).sum(),
        "You summed over the batch, where the mean is wanted. "
        "With the sum, a batch of twice the size takes a step of twice the length.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)),
        "This is one loss for each pair, and one number for the batch is wanted: their mean. "
        "`backward` starts from a single number, and stops with an error at several.",
    ),
    Mistake(
        lambda *a: torch.sigmoid(_margin(*a)).mean(),
        "You stopped at the probability σ(margin), and the loss is minus its logarithm. "
        "A probability is high where all is well, so that making it small would undo what was learned.",
    ),
    Mistake(
        lambda *a: -torch.sigmoid(_margin(*a)).mean(),
        "You took minus the sigmoid, and the logarithm is missing. "
        "It is what keeps a pull on a pair that is badly wrong: the sigmoid is flat there, and its gradient vanishes.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a).mean()),
        "You averaged the margins and then took one loss: the mean comes last. "
        "In this order one very good pair hides a bad one.",
    ),
)

loss = FunctionExercise(
    name="the loss",
    notebook="01",
    answer_name="my_dpo_loss",
    task="Replace the `...` of the stub by the four steps, and return one number for the batch.",
    hints=(
        "Work from the inside out: two log-ratios, their difference, times β, then the logistic loss.",
        "A log-ratio is the policy's log-probability minus the reference's, for the same response.",
        "The last step is minus the mean of `F.logsigmoid(margin)`: `logsigmoid` keeps its digits where log(sigmoid) "
        "would run out of them.",
    ),
    praise="That is the DPO loss: the same to four digits as the package's on every test case.",
    solution=_my_dpo_loss,
    cases=random_cases(("pc", "pr", "rc", "rr"), (0, 4, 0.1), (1, 3, 0.5), (2, 5, 2.0)),
    mistakes=_MISTAKES,
)

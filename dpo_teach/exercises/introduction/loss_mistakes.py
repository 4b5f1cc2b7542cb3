"""What goes wrong when the DPO loss is written: the common mistakes, each with its diagnosis."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.function import Mistake

__all__ = ["EPSILONS", "LOSS_MISTAKES"]

EPSILONS = (1e-8, 1e-12, 1e-10, 1e-9, 1e-7, 1e-6, 1e-5)
"""What people add to a probability before they take its logarithm."""


def _margin(pc: Tensor, pr: Tensor, rc: Tensor, rr: Tensor, beta: float) -> Tensor:
    return beta * ((pc - rc) - (pr - rr))


def _loss(pc: Tensor, pr: Tensor, rc: Tensor, rr: Tensor, beta: float) -> Tensor:
    return -F.logsigmoid(_margin(pc, pr, rc, rr, beta)).mean()


def _with_epsilon(epsilon: float) -> Callable[..., Tensor]:
    return lambda *a: -(_margin(*a).sigmoid() + epsilon).log().mean()


_LOG_RATIOS = (
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pr, pc, rr, rc, beta),
        "The margin has the wrong sign: chosen and rejected are swapped, or policy and reference are. "
        "This loss teaches the policy to prefer what people rejected.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - pr)).mean(),
        "The reference is missing: you compare the policy's two log-probabilities with each other. "
        "Without it a response that was always likely counts as learned, and nothing holds the policy to its start.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rr, rc, beta),
        "The references pull the wrong way: you added policy and reference, where a log-ratio is their difference, or "
        "the two references are swapped, which comes to the same number. "
        "A log-ratio says how far one response has moved: from its probability its own reference is taken away.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * ((pc - rc) + (pr - rr))).mean(),
        "You added the two log-ratios, and the margin is their difference. "
        "With the sum the policy would be paid for making both responses likelier, and could not tell them apart.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc)).mean(),
        "The rejected response is missing: this is the log-ratio of the chosen one alone. "
        "A policy that makes every response likelier would do well by it, and would have learned no preference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -(F.logsigmoid(beta * (pc - rc)) + F.logsigmoid(beta * (rr - pr))).mean(),
        "You judge each response by itself, as if chosen meant good and rejected meant bad. "
        "People have only compared the two, and β log Z, which no implicit reward knows, cancels in the difference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc / rc - pr / rr)).mean(),
        "You divided log-probabilities by each other, and the logarithm of a ratio is a *difference* of logarithms. "
        "The inputs are logarithms already: policy minus reference is the log-ratio.",
    ),
)

_BETA = (
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, 1.0),
        "Beta is missing: your loss is the same whatever β is. "
        "Without it nobody can say how closely the policy is to be held to the reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, 0.1),
        "You use β = 0.1 whatever β is asked for. "
        "A sweep over β would then train the same policy again and again; take it from the argument.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, beta**2),
        "Beta is squared: it was multiplied in twice, perhaps once into the log-ratios and once into the margin. "
        "A β of 0.1 then acts like one of 0.01, which lets the policy go ten times as far from its reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, 1 / beta),
        "You divided by β, where the margin is multiplied by it. "
        "A large β would then hold the policy loosely and a small one tightly, which is the wrong way round.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc) - (pr - rr)).mean(),
        "Beta is applied to one side only: one of the two log-ratios has it, and the other has not. "
        "The two must be in one unit before they are compared, or the larger unit decides.",
        also=(lambda pc, pr, rc, rr, beta: -F.logsigmoid((pc - rc) - beta * (pr - rr)).mean(),),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: beta * _loss(pc, pr, rc, rr, 1.0),
        "Beta stands in front of the loss, and its place is inside, in the margin. "
        "Out there it only scales the gradient, as a learning rate does, and the optimum is the same for every β.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid((beta * pc - rc) - (beta * pr - rr)).mean(),
        "Beta is applied to the policy and not to the reference, because a product binds more tightly than a "
        "difference. "
        "A policy that has not moved would then have a margin; put each log-ratio into brackets first.",
    ),
)

_LOGISTIC = (
    Mistake(
        lambda *a: F.logsigmoid(_margin(*a)).mean(),
        "Your value is the right one with the sign flipped: a loss is *minus* the log-probability of the label. "
        "An optimizer makes a loss small, and would make this one small by making the policy worse.",
    ),
    Mistake(
        lambda *a: F.logsigmoid(-_margin(*a)).mean(),
        "The minus stands inside the log-sigmoid, and it belongs in front: -log σ(m) is not log σ(-m). "
        "This is the logarithm of the probability that the label is wrong, and making it small would be no bad idea, "
        "but it falls without end on pairs that are settled, and is flat on those that are wrong.",
    ),
    Mistake(
        lambda *a: _margin(*a).sigmoid().mean(),
        "You stopped at the probability σ(margin), and the loss is minus its logarithm. "
        "A probability is high where all is well, so that making it small would undo what was learned.",
    ),
    Mistake(
        lambda *a: -_margin(*a).sigmoid().mean(),
        "You took minus the sigmoid, and the logarithm is missing. "
        "It is what keeps a pull on a pair that is badly wrong: the sigmoid is flat there, and its gradient vanishes.",
    ),
    Mistake(
        lambda *a: (1 - _margin(*a).sigmoid()).mean(),
        "This is the probability that the label is wrong, and the loss is minus the logarithm of the one that it is "
        "right. "
        "It falls where it should, but it is flat on a pair that is badly wrong, which would hardly be corrected.",
    ),
    Mistake(
        lambda *a: F.relu(1 - _margin(*a)).mean(),
        "This is a hinge, as in SLiC: it is 0 as soon as the margin is 1. "
        "DPO's loss is the likelihood of the labels by Bradley and Terry, whose sigmoid never says that it is enough.",
    ),
    Mistake(
        lambda *a: ((_margin(*a) / a[4] - 1 / (2 * a[4])) ** 2).mean(),
        "This is the squared loss of IPO, and DPO's is the logistic one. "
        "IPO pulls the difference of the log-ratios to 1 / 2β and back again; DPO asks how likely the label is.",
        also=(lambda *a: ((_margin(*a) - 1) ** 2).mean(), lambda *a: ((_margin(*a) - 0.5) ** 2).mean()),
    ),
    Mistake(
        lambda *a: _margin(*a).mean(),
        "You stopped at the mean margin: the last step, from the margin to the logistic loss, is missing. "
        "A margin is large where all is well, so that making it small would undo what was learned.",
    ),
    Mistake(
        lambda *a: -_margin(*a).mean(),
        "This is minus the mean margin, and the log-sigmoid is missing. "
        "It has no lower end, so that pulling one pair apart for ever is as good as putting all in order.",
    ),
    Mistake(
        _margin,
        "These are the margins, one for each pair, and the loss is still to come: `F.logsigmoid`, a mean, a minus. "
        "A margin says which way a pair stands, and not how much it is to be pulled.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc.exp().log(), pr.exp().log(), rc.exp().log(), rr.exp().log(), beta),
        "You went back from log-probabilities to probabilities: exp(-300) is 0 in float32, and 0 divided by 0 is not "
        "a number, nor is infinity minus infinity. "
        "That is why the inputs are logarithms: subtract them, and a quotient of probabilities is never needed.",
    ),
    Mistake(
        lambda *a: -_margin(*a).sigmoid().log().mean(),
        "You took the logarithm in a step of its own: at a margin of -200 the sigmoid is 0 in float32, or `exp` is "
        "infinite, and so is your loss. "
        "`F.logsigmoid` takes both steps at once and stays finite, so that the pairs that are most wrong still teach.",
    ),
    Mistake(
        _with_epsilon(EPSILONS[0]),
        "You added a small number inside the logarithm, and with it the loss stops growing: at 18.4, if it is 1e-8. "
        "The pairs that are most wrong would have no gradient; `F.logsigmoid` needs no such help.",
        also=tuple(map(_with_epsilon, EPSILONS[1:])),
    ),
)

_BATCH = (
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).sum(),
        "You summed over the batch, where the mean is wanted. "
        "With the sum, a batch of twice the size takes a step of twice the length.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).sum() / 4,
        "You divided the sum by 4, whatever the size of the batch is. "
        "The last batch of an epoch is often a smaller one, and its pairs would count for less: `.mean()` counts them.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).mean() / len(a[0]),
        "You divided by the size of the batch twice: the mean has done it once already. "
        "With twice the division, a batch of twice the size takes a step of half the length.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)),
        "This is one loss for each pair, and one number for the batch is wanted: their mean. "
        "`backward` starts from a single number, and stops with an error at several.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a).mean()),
        "You averaged the margins and then took one loss: the mean comes last. "
        "In this order one very good pair hides a bad one.",
    ),
    Mistake(
        lambda *a: -_margin(*a).sigmoid().mean().log(),
        "You averaged the probabilities and then took one logarithm: it is the logarithms that are averaged. "
        "A pair that is badly wrong hardly changes a mean probability, and so would hardly be corrected.",
    ),
)

LOSS_MISTAKES = (*_LOG_RATIOS, *_BETA, *_LOGISTIC, *_BATCH)

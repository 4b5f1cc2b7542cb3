"""The exercises of notebook 01: the DPO loss, the implicit reward, and the pair that the policy gets wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.choice import ChoiceExercise
from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["PAIRS", "confused_pair", "implicit_reward", "loss"]


def _random_cases(names: tuple[str, ...], *sizes: tuple[int, int, float]) -> tuple[Mapping[str, Any], ...]:
    """Test cases with seeded random logps, nats, in double precision.

    Args:
        names: the names of the arguments that are logps.
        sizes: the seed, the batch size and β of each case.

    Returns:
        The arguments of each case, β last.
    """
    return tuple(_random_logps(names, seed, batch) | {"beta": beta} for seed, batch, beta in sizes)


def _random_logps(names: tuple[str, ...], seed: int, batch: int) -> dict[str, Any]:
    random = torch.Generator().manual_seed(seed)
    numbers = -50 + 4 * torch.randn(len(names), batch, generator=random, dtype=torch.float64)
    return dict(zip(names, numbers, strict=True))


# The DPO loss


def _my_dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> Tensor:
    chosen_log_ratio = policy_chosen - reference_chosen
    rejected_log_ratio = policy_rejected - reference_rejected
    margin = beta * (chosen_log_ratio - rejected_log_ratio)
    return -F.logsigmoid(margin).mean()


_FAR_OFF = {"policy_chosen": -300.0, "policy_rejected": -60.0, "reference_chosen": -180.0, "reference_rejected": -140.0}
"""Chosen has lost 120 nats and rejected has gained 80: at β = 1 the margin is -200 and the loss is 200."""

_LOGPS = tuple(_FAR_OFF)


_EPSILONS = (1e-8, 1e-12, 1e-10, 1e-9, 1e-7, 1e-6, 1e-5)
"""Constants that people add to a probability before they take its logarithm."""


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
        "Without it, a response that was always likely counts as learned, and nothing keeps the policy close to where "
        "it started.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rr, rc, beta),
        "The references have the wrong sign: either you added policy and reference, although a log-ratio is their "
        "difference, or you swapped the two references, which gives the same number. "
        "A log-ratio says how far one response has moved: subtract the reference's log-probability of the same "
        "response.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * ((pc - rc) + (pr - rr))).mean(),
        "You added the two log-ratios, but the margin is their difference. "
        "A sum rewards the policy for making both responses more likely, and does not tell them apart.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc)).mean(),
        "The rejected response is missing: this is the log-ratio of the chosen one alone. "
        "A policy that makes every response more likely would get a low loss without having learned a preference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -(F.logsigmoid(beta * (pc - rc)) + F.logsigmoid(beta * (rr - pr))).mean(),
        "You score each response by itself, as if chosen meant good and rejected meant bad. "
        "People only compared the two, and the β log Z that implicit rewards lack cancels only in the difference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc / rc - pr / rr)).mean(),
        "You divided log-probabilities by each other, but the logarithm of a ratio is a *difference* of logarithms. "
        "The inputs are logarithms already: policy minus reference is the log-ratio.",
        also=(lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * ((pc / rc).log() - (pr / rr).log())).mean(),),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * ((pc - rc).exp() - (pr - rr).exp())).mean(),
        "You took the exponential of the log-ratios, so that you compare ratios. "
        "The margin is β times the difference of the *logarithms* of the ratios: leave them as they are.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * ((pc - rc) - pr)).mean(),
        "One of the two references is missing: one response is compared with its reference, and the other is not. "
        "Each response needs its own: two log-ratios, then their difference.",
        also=(lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - (pr - rr))).mean(),),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc - pr - rr)).mean(),
        "Brackets are missing around the second log-ratio: without them, the reference of the rejected response is "
        "subtracted, although it should be added. Write `(chosen - its reference) - (rejected - its reference)`.",
        also=(lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc) - pr - rr).mean(),),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pr, pc, rc, rr, beta),
        "The policy's two log-probabilities are swapped, and the reference's are not. "
        "Each response must be compared with the reference's log-probability of the same response.",
    ),
)

_BETA = (
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, 1.0),
        "Beta is missing: your loss is the same whatever β is. "
        "Without β, you cannot set how closely the policy stays to the reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, 0.1),
        "Your result is the same whatever β is passed: you use one fixed β, such as 0.1. "
        "A sweep over β would then train the same policy again and again; use the argument.",
        ignores="beta",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, beta**2),
        "Beta is squared: you multiplied by it twice, perhaps once in the log-ratios and once in the margin. "
        "A β of 0.1 then acts like one of 0.01, which lets the policy go ten times as far from its reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc, pr, rc, rr, 1 / beta),
        "You divided by β, but the margin is multiplied by it. "
        "A large β would then hold the policy loosely and a small one tightly, which is the wrong way round.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - rc) - (pr - rr)).mean(),
        "Beta is applied to one side only: you multiplied one of the two log-ratios by it, and not the other. "
        "Both must be in the same unit before they are compared, or the one in the larger unit decides.",
        also=(lambda pc, pr, rc, rr, beta: -F.logsigmoid((pc - rc) - beta * (pr - rr)).mean(),),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: beta * _loss(pc, pr, rc, rr, 1.0),
        "Beta multiplies the loss, but it belongs inside, in the margin. "
        "Outside, it only scales the gradient, as a learning rate does, and the optimum is the same for every β.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid((beta * pc - rc) - (beta * pr - rr)).mean(),
        "Beta is applied to the policy and not to the reference, because multiplication binds more tightly than "
        "subtraction. "
        "A policy that has not moved would then have a margin; put each log-ratio in brackets first.",
    ),
)

_LOGISTIC = (
    Mistake(
        lambda *a: F.logsigmoid(_margin(*a)).mean(),
        "Your value is the right one with the sign flipped: a loss is *minus* the log-probability of the label. "
        "An optimizer minimises the loss, and would minimise this one by making the policy worse.",
    ),
    Mistake(
        lambda *a: F.logsigmoid(-_margin(*a)).mean(),
        "The minus sign is inside the log-sigmoid, but it belongs in front: -log σ(m) is not log σ(-m). "
        "Yours is the log-probability that the label is wrong; it does make sense to minimise that, but it falls "
        "without limit on pairs that are settled, and is flat on those that are wrong.",
    ),
    Mistake(
        lambda *a: _margin(*a).sigmoid().mean(),
        "You stopped at the probability σ(margin), but the loss is minus its logarithm. "
        "A probability is high where all is well, so minimising it would undo what was learned.",
    ),
    Mistake(
        lambda *a: -_margin(*a).sigmoid().mean(),
        "You took minus the sigmoid, but the logarithm is missing. "
        "The logarithm keeps pulling on a pair that is badly wrong: the sigmoid is flat there, and its gradient "
        "vanishes.",
    ),
    Mistake(
        lambda *a: (1 - _margin(*a).sigmoid()).mean(),
        "This is the probability that the label is wrong, but the loss is minus the logarithm of the probability that "
        "it is right. "
        "Yours falls where it should, but it is flat on a pair that is badly wrong, so that such a pair would hardly "
        "be corrected.",
    ),
    Mistake(
        lambda *a: F.relu(1 - _margin(*a)).mean(),
        "This is a hinge loss, as in SLiC: it is 0 as soon as the margin is 1. "
        "DPO's loss is the negative log-likelihood of the labels under the Bradley-Terry model, which always asks for "
        "a larger margin.",
    ),
    Mistake(
        lambda *a: ((_margin(*a) / a[4] - 1 / (2 * a[4])) ** 2).mean(),
        "This is the squared loss of IPO, but DPO's loss is the logistic one. "
        "IPO pulls the difference of the log-ratios to 1 / 2β from both sides; DPO asks how likely the label is.",
        also=(lambda *a: ((_margin(*a) - 1) ** 2).mean(), lambda *a: ((_margin(*a) - 0.5) ** 2).mean()),
    ),
    Mistake(
        lambda *a: _margin(*a).mean(),
        "You stopped at the mean margin: the last step, from the margin to the logistic loss, is missing. "
        "A margin is large where all is well, so minimising it would undo what was learned.",
    ),
    Mistake(
        lambda *a: -_margin(*a).mean(),
        "This is minus the mean margin, but the log-sigmoid is missing. "
        "This loss has no lower bound, so that it is as good to pull one pair apart for ever as to get all pairs "
        "right.",
    ),
    Mistake(
        _margin,
        "These are the margins, one for each pair, but the loss is still to come: `F.logsigmoid`, a mean, a minus "
        "sign. "
        "A margin says which response of a pair is ahead, and not how hard to pull.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: _loss(pc.exp().log(), pr.exp().log(), rc.exp().log(), rr.exp().log(), beta),
        "You went back from log-probabilities to probabilities: exp(-300) is 0 in float32, and neither 0 divided by 0 "
        "nor infinity minus infinity is a number. "
        "That is why the inputs are logarithms: subtract them, and you never need a quotient of probabilities.",
    ),
    Mistake(
        lambda *a: -_margin(*a).sigmoid().log().mean(),
        "You took the logarithm in a separate step: at a margin of -200 the sigmoid is 0 in float32, or `exp` is "
        "infinite, and so is your loss. "
        "`F.logsigmoid` takes both steps at once and stays finite, so that the policy still learns from the pairs "
        "that are most wrong.",
    ),
    Mistake(
        _with_epsilon(_EPSILONS[0]),
        "You added a small number inside the logarithm, which caps the loss: at 18.4, if the number is 1e-8. "
        "The pairs that are most wrong would have no gradient; `F.logsigmoid` needs no such help.",
        also=tuple(map(_with_epsilon, _EPSILONS[1:])),
    ),
    Mistake(
        lambda *a: F.binary_cross_entropy(_margin(*a).sigmoid(), torch.ones_like(a[0])),
        "`F.binary_cross_entropy` takes the logarithm of the sigmoid in a separate step, and stops it at -100. "
        "A pair with a margin of -200 then has no gradient: use `F.logsigmoid`, or "
        "`F.binary_cross_entropy_with_logits`.",
    ),
)

_BATCH = (
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).sum(),
        "You summed over the batch instead of taking the mean. "
        "With the sum, a batch of twice the size takes a step of twice the length.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).sum() / 4,
        "You divided the sum by 4, whatever the size of the batch is. "
        "The last batch of an epoch is often smaller, and its pairs would count for less: use `.mean()`.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)).mean() / len(a[0]),
        "You divided by the size of the batch twice: the mean has already done it once. "
        "A batch of twice the size would then take a step of half the length.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a)),
        "This is one loss for each pair, but the exercise asks for one number for the batch: their mean. "
        "`backward` starts from a single number, and raises an error if there are several.",
    ),
    Mistake(
        lambda *a: -F.logsigmoid(_margin(*a).mean()),
        "You averaged the margins and then took one loss, but the mean comes last. "
        "In this order, one very good pair hides a bad one.",
    ),
    Mistake(
        lambda *a: -_margin(*a).sigmoid().mean().log(),
        "You averaged the probabilities and then took one logarithm, but the logarithms are what to average. "
        "A pair that is badly wrong hardly changes a mean probability, and so would hardly be corrected.",
    ),
)

_LOSS_MISTAKES = (*_LOG_RATIOS, *_BETA, *_LOGISTIC, *_BATCH)

loss = FunctionExercise(
    name="the loss",
    notebook="01",
    answer_name="my_dpo_loss",
    task="Replace the `...` in the stub with the four steps, and return one number for the batch.",
    hints=(
        "Work from the inside out: two log-ratios, their difference, times β, then the logistic loss.",
        "A log-ratio is the policy's log-probability minus the reference's, for the same response.",
        "The last step is minus the mean of `F.logsigmoid(margin)`. "
        "`logsigmoid` stays accurate where log(sigmoid) runs out of digits.",
    ),
    praise="That is the DPO loss: it agrees with the package to four digits on every test case.",
    solution=_my_dpo_loss,
    name_in_notebook="exercises.loss",
    cases=(
        *_random_cases(_LOGPS, (0, 4, 0.1), (1, 3, 0.5), (2, 5, 2.0)),
        {name: torch.tensor([value]) for name, value in _FAR_OFF.items()} | {"beta": 1.0},
    ),
    mistakes=_LOSS_MISTAKES,
    trained=("policy_chosen", "policy_rejected"),
)


# The implicit reward


def _my_implicit_reward(policy_logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    return beta * (policy_logps - reference_logps)


_REWARD_MISTAKES = (
    Mistake(
        lambda policy, reference, beta: beta * (reference - policy),
        "The sign is flipped: you took reference minus policy. "
        "A response that the policy has come to like would get a negative reward, and every comparison would be "
        "reversed.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * policy,
        "The reference is missing: what counts is how far the policy has moved from it. "
        "A log-probability alone is negative for every response, and lower the longer the response is.",
    ),
    Mistake(
        lambda policy, reference, beta: policy - reference,
        "Beta is missing: this is the log-ratio. "
        "Multiplied by β it is the reward, on the scale of the annotators' preferences, and comparable between runs "
        "with different β.",
    ),
    Mistake(
        lambda policy, reference, beta: (policy - reference) / beta,
        "You divided by β, but DPO multiplies. "
        "The closed form divides the *reward* by β to get the log-ratio; solved for the reward, it is a product.",
    ),
    Mistake(
        lambda policy, reference, beta: beta**2 * (policy - reference),
        "Beta is squared: you multiplied by it twice. "
        "At β = 0.1 every reward would look ten times smaller than the one that the loss uses.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * policy - reference,
        "Beta is applied to the policy only, because multiplication binds more tightly than subtraction. "
        "If policy and reference were equal, the reward would be far from 0; put the difference in brackets.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy / reference),
        "You took a ratio of log-probabilities, but the logarithm of a ratio is a *difference* of logarithms. "
        "The ratio of two negative numbers is positive, so every response would be rewarded.",
        also=(lambda policy, reference, beta: policy / reference,),
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy + reference),
        "You added the two, but a log-ratio is their difference. "
        "The sum is negative for every response, and lowest for one that both models find unlikely, whichever of them "
        "moved.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy - reference).abs(),
        "You took the absolute value, but a response that became less likely has a *negative* reward. "
        "Without its sign, a reward cannot say which of two responses is preferred.",
    ),
    Mistake(
        lambda policy, reference, beta: (beta * (policy - reference)).sigmoid(),
        "You took the sigmoid of the reward, but the exercise asks for the reward itself: any number, also below 0. "
        "The sigmoid turns a *difference* of two rewards into the probability of a choice, which comes later.",
    ),
    Mistake(
        lambda policy, reference, beta: policy - beta * reference,
        "Beta is applied to the reference only, because multiplication binds more tightly than subtraction. "
        "Policy and reference must be in the same unit; put the difference in brackets.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy / reference).log(),
        "You took the logarithm of a quotient of logarithms, but in the formula, log(π / π_ref), the quotient is one "
        "of *probabilities*. "
        "The inputs are logarithms of those already, so the log-ratio is their difference, without another `log`.",
        also=(lambda policy, reference, beta: beta * (policy.log() - reference.log()),),
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy - reference).log(),
        "You took the logarithm of the difference, but the difference is the log-ratio already. "
        "A response that became less likely has a negative one, which has no logarithm.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy - reference).exp(),
        "You took the ratio of the probabilities, but the reward needs its logarithm. "
        "The inputs are logarithms already: without `exp`, a response that became half as likely costs as much as one "
        "that became twice as likely earns.",
    ),
    Mistake(
        lambda policy, reference, beta: (beta * (policy - reference)).mean(),
        "This is the mean reward of the batch, but the exercise asks for one reward for each response. "
        "A mean cannot say which of two responses is preferred.",
    ),
    Mistake(
        lambda policy, reference, beta: 0.1 * (policy - reference),
        "Your result is the same whatever β is passed: you use one fixed β, such as 0.1. "
        "Rewards of runs with different β would then not be on the scale of the preferences; use the argument.",
        ignores="beta",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy.exp() / reference.exp()).log(),
        "You went back from log-probabilities to probabilities: in the last test case they are 0 in float32, and 0 "
        "divided by 0 is not a number. "
        "The responses of real models have a few hundred tokens: subtract the logarithms, and never take `exp`.",
    ),
)

implicit_reward = FunctionExercise(
    name="the implicit reward",
    notebook="01",
    answer_name="my_implicit_reward",
    task="Replace the `...` in the stub with one line, and return one reward for each response.",
    hints=(
        "The reward is positive if the policy likes the response more than the reference does.",
        "The log-ratio says how much more: it is the policy's log-probability minus the reference's.",
        "The reward is the log-ratio times β, nothing else. Mind the brackets: the difference comes first.",
    ),
    praise="That is the implicit reward. "
    "The true one differs from it by a constant for each prompt, which cancels in every comparison.",
    solution=_my_implicit_reward,
    name_in_notebook="exercises.implicit_reward",
    cases=(
        *_random_cases(("policy_logps", "reference_logps"), (3, 4, 0.1), (4, 3, 0.5), (5, 1, 2.0)),
        {"policy_logps": torch.tensor([-300.0]), "reference_logps": torch.tensor([-180.0]), "beta": 1.0},
    ),
    mistakes=_REWARD_MISTAKES,
)


# The confused pair

PAIRS: dict[str, Tensor] = {
    "policy_chosen": torch.tensor([-40.0, -52.0, -38.0, -62.0]),
    "policy_rejected": torch.tensor([-45.0, -47.0, -41.0, -67.0]),
    "reference_chosen": torch.tensor([-42.0, -55.0, -39.0, -60.0]),
    "reference_rejected": torch.tensor([-44.0, -48.0, -45.0, -61.0]),
}
"""The log-probabilities of four pairs, nats; the policy gets one of the pairs wrong."""

confused_pair = ChoiceExercise(
    name="the confused pair",
    notebook="01",
    answer_name="confused",
    task="Set `confused` to the number of the pair that the policy gets wrong: 1, 2, 3 or 4.",
    hints=(
        "Do not look at which response is more probable. Look at which one has *gained* more since the reference.",
        "Compute the two log-ratios of each pair. The margin is their difference: where is it below 0?",
        "Do not be misled by pair 2: its chosen response is the less probable one, but it has gained more. "
        "Look for a pair in which both rose, and the rejected one rose more.",
    ),
    praise=(
        "Pair 3: both responses rose, but the rejected one by 4 nats and the chosen one by 1. "
        "Its margin is the only negative one, although the policy still finds the chosen response more probable."
    ),
    answer=3,
    explanation=(
        "Pair 3. "
        "The log-ratios of the chosen responses are +2, +3, +1 and -2, those of the rejected ones -1, +1, +4 and -6. "
        "The differences are +3, +2, -3 and +4, so only pair 3 has a negative margin."
    ),
    diagnoses={
        1: "In pair 1 the chosen response gained 2 nats and the rejected one lost 1, which is as it should be. "
        "Look for a pair where the rejected response gained more.",
        2: "In pair 2 the policy finds the rejected response more probable, but so did the reference, by a wider gap. "
        "DPO counts the change: +3 for chosen, +1 for rejected.",
        4: "In pair 4 both responses became less probable, and the rejected one fell further: -2 against -6. "
        "The loss is low there, although it looks alarming.",
    },
)

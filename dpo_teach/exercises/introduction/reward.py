"""Write the implicit reward."""

from torch import Tensor

from dpo_teach.exercises.function import FunctionExercise, Mistake
from dpo_teach.exercises.introduction.cases import random_cases

__all__ = ["implicit_reward"]


def _my_implicit_reward(policy_logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    return beta * (policy_logps - reference_logps)


_MISTAKES = (
    Mistake(
        lambda policy, reference, beta: beta * (reference - policy),
        "The sign is flipped: you took reference minus policy. "
        "What the policy has come to like would get a negative reward, and every comparison would turn round.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * policy,
        "The reference is missing: what counts is how far the policy has moved from it. "
        "A log-probability alone is negative for every response, and the more so the longer the response is.",
    ),
    Mistake(
        lambda policy, reference, beta: policy - reference,
        "Beta is missing: this is the log-ratio. "
        "Times β it is the reward, in the unit in which annotators decide, and comparable between runs with different "
        "β.",
    ),
    Mistake(
        lambda policy, reference, beta: (policy - reference) / beta,
        "You divided by β where DPO multiplies. "
        "The closed form divides the *reward* by β to get the log-ratio; turned round, the reward is a product.",
    ),
    Mistake(
        lambda policy, reference, beta: beta**2 * (policy - reference),
        "Beta is squared: it was multiplied in twice. "
        "At β = 0.1 every reward would look ten times smaller than the one that the loss works with.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * policy - reference,
        "Beta is applied to the policy only, because a product binds more tightly than a difference. "
        "Policy equal to reference would then have a reward far from 0; put the difference into brackets.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy / reference),
        "You took a ratio of log-probabilities, and the logarithm of a ratio is a *difference* of logarithms. "
        "Of two negative numbers the ratio is positive, so that every response would be rewarded.",
        also=(lambda policy, reference, beta: policy / reference,),
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy + reference),
        "You added the two, and a log-ratio is their difference. "
        "The sum is negative for every response, and lowest for one that both models find unlikely, whoever moved.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy - reference).abs(),
        "You took the absolute value: a response that became less likely has a *negative* reward. "
        "Without its sign a reward cannot say which of two responses is preferred.",
    ),
    Mistake(
        lambda policy, reference, beta: (beta * (policy - reference)).sigmoid(),
        "You took the sigmoid of the reward, and the reward itself is wanted: any number, also below 0. "
        "The sigmoid turns a *difference* of two rewards into the probability of a choice, which comes later.",
    ),
    Mistake(
        lambda policy, reference, beta: policy - beta * reference,
        "Beta is applied to the reference only, because a product binds more tightly than a difference. "
        "Policy and reference must be in one unit; put the difference into brackets.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy / reference).log(),
        "You took the logarithm of a quotient of logarithms: the formula's log(π / π_ref) is a quotient of "
        "*probabilities*. "
        "The inputs are logarithms of those, so that the log-ratio is their difference, with no `log` to be written.",
        also=(lambda policy, reference, beta: beta * (policy.log() - reference.log()),),
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy - reference).log(),
        "You took the logarithm of the difference, and the difference is the log-ratio already. "
        "A response that became less likely has a negative one, of which there is no logarithm.",
    ),
    Mistake(
        lambda policy, reference, beta: beta * (policy - reference).exp(),
        "You took the ratio of the probabilities, and its logarithm is wanted. "
        "The inputs are logarithms already: without `exp`, a response that became half as likely costs as much as one "
        "that became twice as likely earns.",
    ),
    Mistake(
        lambda policy, reference, beta: (beta * (policy - reference)).mean(),
        "This is the mean reward of the batch, and one reward for each response is wanted. "
        "A mean cannot say which of two responses is preferred.",
    ),
)

implicit_reward = FunctionExercise(
    name="the implicit reward",
    notebook="01",
    answer_name="my_implicit_reward",
    task="Replace the `...` of the stub by one line, and return one reward for each response.",
    hints=(
        "The reward is positive where the policy likes the response more than the reference does.",
        "How much more is the log-ratio: the policy's log-probability minus the reference's.",
        "A log-ratio times β; nothing else. Mind the brackets: the difference comes first.",
    ),
    praise="That is the implicit reward, right up to a constant for each prompt, which no comparison can see.",
    solution=_my_implicit_reward,
    name_in_notebook="exercises.implicit_reward",
    cases=random_cases(("policy_logps", "reference_logps"), (3, 4, 0.1), (4, 3, 0.5), (5, 1, 2.0)),
    mistakes=_MISTAKES,
)

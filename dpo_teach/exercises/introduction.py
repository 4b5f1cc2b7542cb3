"""The exercises of notebook 01: the loss, the implicit reward, the confused pair."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.base import ChoiceExercise, FunctionExercise, Mistake

__all__ = ["PAIRS", "confused_pair", "implicit_reward", "loss"]


def _seeded_logps(seed: int, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    numbers = -50 + 4 * torch.randn(4, batch, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return numbers[0], numbers[1], numbers[2], numbers[3]


# The loss


def _my_dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> Tensor:
    chosen_log_ratio = policy_chosen - reference_chosen
    rejected_log_ratio = policy_rejected - reference_rejected
    margin = beta * (chosen_log_ratio - rejected_log_ratio)
    return -F.logsigmoid(margin).mean()


def _margin(pc: Tensor, pr: Tensor, rc: Tensor, rr: Tensor, beta: float) -> Tensor:
    return beta * ((pc - rc) - (pr - rr))


loss = FunctionExercise(
    task="Replace the `...` of the stub by the four steps, and return one number for the batch.",
    hints=(
        "Work from the inside out: two log-ratios, their difference, times β, then the logistic loss.",
        "A log-ratio is the policy's log-probability minus the reference's, for the same response.",
        "The last step is minus the mean of `F.logsigmoid(margin)`: `logsigmoid` keeps its digits where log(sigmoid) "
        "would run out of them.",
    ),
    praise="That is the DPO loss: the same to four digits as the package's on every test case.",
    solution=_my_dpo_loss,
    cases=tuple(
        dict(zip(("pc", "pr", "rc", "rr", "beta"), (*_seeded_logps(seed, batch), beta), strict=True))
        for seed, batch, beta in ((0, 4, 0.1), (1, 3, 0.5), (2, 5, 2.0))
    ),
    mistakes=(
        Mistake(
            lambda *a: F.logsigmoid(_margin(*a)).mean(),
            "Your value is the right one with the sign flipped: it falls as the policy gets worse. A loss is *minus* "
            "the log-probability of the label.",
        ),
        Mistake(
            lambda pc, pr, rc, rr, beta: _my_dpo_loss(pr, pc, rr, rc, beta),
            "The margin has the wrong sign: chosen and rejected are swapped, or policy and reference are. This loss "
            "teaches the model to prefer what people rejected.",
        ),
        Mistake(
            lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * (pc - pr)).mean(),
            "The reference is missing: you compare the policy's two log-probabilities with each other. Subtract the "
            "reference's from each before you take the difference.",
        ),
        Mistake(
            lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rr, rc, beta),
            "The two references are swapped: the chosen response is measured against the reference of the rejected "
            "one. Each response goes with its own.",
        ),
        Mistake(
            lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rc, rr, 1.0),
            "Beta is missing: your loss is the same whatever β is. Multiply the difference of the log-ratios by it.",
        ),
        Mistake(
            lambda pc, pr, rc, rr, beta: _my_dpo_loss(pc, pr, rc, rr, 0.1),
            "You use β = 0.1 whatever β is asked for. Take it from the argument.",
        ),
        Mistake(
            lambda *a: -F.logsigmoid(_margin(*a)).sum(),
            "You summed over the batch, where the mean is wanted: a batch of twice the size would take a step of twice "
            "the length. Use `.mean()`.",
        ),
        Mistake(
            lambda *a: -F.logsigmoid(_margin(*a)),
            "This is one loss for each pair, and one number for the batch is wanted. Take the mean over the pairs.",
        ),
        Mistake(
            lambda *a: torch.sigmoid(_margin(*a)).mean(),
            "You stopped at the probability σ(margin). The loss is minus its logarithm: `-F.logsigmoid(margin)`.",
        ),
        Mistake(
            lambda *a: -torch.sigmoid(_margin(*a)).mean(),
            "You took minus the sigmoid, and the logarithm is missing. It is what makes a confident mistake expensive: "
            "`-F.logsigmoid(margin)`.",
        ),
        Mistake(
            lambda *a: -F.logsigmoid(_margin(*a).mean()),
            "You averaged the margins and then took one loss. One very good pair would then hide a bad one: take the "
            "loss of each pair first, and the mean last.",
        ),
    ),
)


# The implicit reward


def _my_implicit_reward(policy_logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    return beta * (policy_logps - reference_logps)


implicit_reward = FunctionExercise(
    task="Replace the `...` of the stub by one line, and return one reward for each response.",
    hints=(
        "The reward is positive where the policy likes the response more than the reference does.",
        "A log-ratio times β; nothing else.",
    ),
    praise="That is the implicit reward, right up to a constant for each prompt, which no comparison can see.",
    solution=_my_implicit_reward,
    cases=tuple(
        dict(zip(("policy", "reference", "beta"), (*_seeded_logps(seed, batch)[:2], beta), strict=True))
        for seed, batch, beta in ((3, 4, 0.1), (4, 3, 0.5), (5, 1, 2.0))
    ),
    mistakes=(
        Mistake(
            lambda policy, reference, beta: beta * (reference - policy),
            "The sign is flipped: you took reference minus policy, so what the policy likes more gets a negative "
            "reward. Turn the difference round.",
        ),
        Mistake(
            lambda policy, reference, beta: beta * policy,
            "The reference is missing: every log-probability is negative, so every response would have a negative "
            "reward. What counts is how far the policy has moved.",
        ),
        Mistake(
            lambda policy, reference, beta: policy - reference,
            "Beta is missing: this is the log-ratio. Times β it is the reward, in the unit in which annotators decide.",
        ),
        Mistake(
            lambda policy, reference, beta: (policy - reference) / beta,
            "You divided by β where DPO multiplies. The closed form divides the *reward* by β; turned round, that "
            "makes a product.",
        ),
        Mistake(
            lambda policy, reference, beta: beta * (policy / reference),
            "You took a ratio of log-probabilities. The logarithm of a ratio is a *difference* of logarithms.",
        ),
        Mistake(
            lambda policy, reference, beta: beta * (policy - reference).exp(),
            "You took the ratio of the probabilities, and the logarithm of it is wanted. The inputs are logarithms "
            "already: subtract, and leave it there.",
        ),
        Mistake(
            lambda policy, reference, beta: (beta * (policy - reference)).mean(),
            "This is the mean reward of the batch, and one reward for each response is wanted. Leave the mean out.",
        ),
    ),
)


# The confused pair

PAIRS: dict[str, Tensor] = {
    "policy_chosen": torch.tensor([-40.0, -52.0, -38.0, -62.0]),
    "policy_rejected": torch.tensor([-45.0, -47.0, -41.0, -67.0]),
    "reference_chosen": torch.tensor([-42.0, -55.0, -39.0, -60.0]),
    "reference_rejected": torch.tensor([-44.0, -48.0, -45.0, -61.0]),
}
"""Four pairs, one of which the policy gets wrong: log-probabilities, nats."""

confused_pair = ChoiceExercise(
    task="Set `confused` to the number of the pair that the policy gets wrong: 1, 2, 3 or 4.",
    hints=(
        "Do not look at which response is more probable. Look at which one has *gained* more since the reference.",
        "Compute the two log-ratios of each pair. The margin is their difference: where is it below 0?",
        "Pair 2 has the lower probability for its chosen response, and gained on it. Look at the pair where both rose.",
    ),
    praise=(
        "Pair 3: both responses rose, but the rejected one rose by 4 nats and the chosen one by 1. Its margin is the "
        "only negative one, though the policy still finds the chosen response more probable."
    ),
    answer=3,
    explanation=(
        "Pair 3. Log-ratios of the chosen: +2, +3, +1, -2. Of the rejected: -1, +1, +4, -6. The differences are +3, "
        "+2, -3 and +4, so only pair 3 has a negative margin."
    ),
    diagnoses={
        1: "In pair 1 the chosen response gained 2 nats and the rejected one lost 1: that is as it should be. Look for "
        "a pair where the rejected response gained more.",
        2: "In pair 2 the policy finds the rejected response more probable, but so did the reference, and by more. DPO "
        "counts the change: +3 for chosen, +1 for rejected.",
        4: "In pair 4 both responses became less probable, and the rejected one fell further: -2 against -6. The loss "
        "is low there, though it looks alarming.",
    },
)

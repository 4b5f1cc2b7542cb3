"""The exercises of notebook 03: the gradient weight, `sequence_logps`, and the signs of both logp changes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach import compute_dpo_loss
from dpo_teach.exercises.choice import MatchExercise, Question
from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["RESPONSES", "WORLDS", "first_step", "gradient_weight", "logp_signs", "sequence_logps"]

# The gradient weight


def _my_gradient_weight(margins: Tensor, beta: float) -> Tensor:
    return beta * torch.sigmoid(-margins)


_WEIGHT_MISTAKES = (
    Mistake(
        lambda margins, beta: torch.sigmoid(-margins),
        "Beta is missing: you return σ(-m), the probability that the policy gives to the wrong order. "
        "The margin is β times a difference of logps, so the chain rule puts β in front.",
    ),
    Mistake(
        lambda margins, beta: -torch.sigmoid(-margins),
        "This is the derivative with respect to the margin, -σ(-m), but the weight is the size of the derivative with "
        "respect to the chosen logp. "
        "One link of the chain is missing, from the logp to the margin, and that link is β.",
    ),
    Mistake(
        lambda margins, beta: torch.sigmoid(margins),
        "You return σ(m), the probability that the policy gives to the label: β is missing and so is a minus sign. "
        "The more a pair is settled, the harder it would pull, and equally hard for every β.",
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(margins),
        "The sign of the margin is wrong: you return β σ(m), which is largest for settled pairs. "
        "The pull must be strongest on the pairs that are wrong, or nothing would be learned from them.",
    ),
    Mistake(
        lambda margins, beta: beta**2 * torch.sigmoid(-margins),
        "Beta is squared: you multiplied by it twice. "
        "The chain rule does so once, so at β = 0.1 your pull is ten times too weak.",
    ),
    Mistake(
        lambda margins, beta: torch.sigmoid(-margins) / beta,
        "You divided by β, but the chain rule multiplies by it. "
        "With your formula, a pair pulls harder if β is smaller; in fact, a small β pulls gently and for longer.",
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(margins) * torch.sigmoid(-margins),
        "You differentiated the sigmoid, but the loss is its logarithm: σ(m) σ(-m) has one factor too many. "
        "With this factor, the pull would vanish on pairs that are badly wrong, where it is needed most.",
        also=(lambda margins, beta: torch.sigmoid(margins) * torch.sigmoid(-margins),),
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(-beta * margins),
        "You multiplied the margin by β, but it contains β already: m = β × (difference of the log-ratios). "
        "With a small β applied twice, right and wrong pairs look nearly the same.",
    ),
    Mistake(
        lambda margins, beta: -beta * torch.sigmoid(-margins),
        "This is negative: it is the derivative of the loss with respect to the chosen logp, and the weight is its "
        "absolute value. "
        "The weight says how hard a pair pulls; the signs, up for chosen and down for rejected, are added afterwards.",
    ),
    Mistake(
        lambda margins, beta: -beta * torch.sigmoid(margins),
        "Two signs are wrong: your result is negative, and it is largest where the pair is settled. "
        "The weight is the size of the derivative, so there is no minus sign in front of β, but there is one in front "
        "of m.",
    ),
    Mistake(
        lambda margins, beta: beta * torch.sigmoid(-margins) / len(margins),
        "You divided by the batch size, as the gradient of the mean loss does. "
        "The weight belongs to one pair, and must not change when other pairs join the batch.",
    ),
    Mistake(
        lambda margins, beta: -beta * torch.sigmoid(-margins) / len(margins),
        "This is the whole gradient of the mean loss with respect to the chosen logps: minus the weight, over the "
        "batch size. "
        "The weight alone lies between 0 and β, whichever side it pulls and however many pairs there are.",
    ),
    Mistake(
        lambda margins, beta: (beta * torch.sigmoid(-margins)).mean(),
        "This is the mean over the batch, or the sum, but the exercise asks for one weight for each pair. "
        "The differences between the weights show which pairs dominate the step.",
        also=(lambda margins, beta: (beta * torch.sigmoid(-margins)).sum(),),
    ),
    Mistake(
        lambda margins, beta: beta * F.logsigmoid(-margins),
        "You took the log-sigmoid, but the derivative contains the sigmoid itself. "
        "A logarithm grows without limit, and a weight never exceeds β.",
        also=(lambda margins, beta: F.logsigmoid(-margins), lambda margins, beta: beta * F.logsigmoid(margins)),
    ),
    Mistake(
        lambda margins, beta: -F.logsigmoid(margins),
        "This is the loss of each pair, but the exercise asks for its slope. "
        "The optimizer never sees the value of the loss: what moves the policy is the derivative.",
    ),
    Mistake(
        lambda margins, beta: -beta * F.logsigmoid(margins),
        "This is β times the loss of each pair, but the weight is β times its slope. "
        "The loss grows without limit on a pair that is badly wrong; the pull is never more than β.",
    ),
    Mistake(
        lambda margins, beta: torch.sigmoid(-margins) / torch.sigmoid(-margins).sum(),
        "These are shares of the pull, which add up to 1, but the exercise asks for the pull itself. "
        "A share says which pair of the batch decides; it does not say how hard the batch pulls.",
    ),
    Mistake(
        lambda margins, beta: torch.sigmoid(-beta * margins),
        "Beta is in the wrong place: it is missing in front, and the margin in the sigmoid contains it already. "
        "The weight is β σ(-m).",
    ),
    Mistake(
        lambda margins, beta: 0.1 * torch.sigmoid(-margins),
        "Your result is the same whatever β is passed: you use one fixed β, such as 0.1. "
        "The weight is proportional to β; use the argument.",
        ignores="beta",
    ),
    Mistake(
        lambda margins, beta: beta * torch.exp(-margins) / (1 + torch.exp(-margins)),
        "You wrote the sigmoid out with `exp`, which overflows in float32 at a margin of -200 or 200: infinity divided "
        "by infinity is not a number. "
        "`torch.sigmoid` has the same value and never overflows.",
        also=(lambda margins, beta: beta * (1 - torch.exp(margins) / (1 + torch.exp(margins))),),
    ),
)

gradient_weight = FunctionExercise(
    name="the gradient weight",
    notebook="03",
    answer_name="my_gradient_weight",
    task="Replace the `...` in the stub with one line: how hard each pair pulls, a number between 0 and β.",
    hints=(
        "The weight is the size of the derivative of one pair's loss, -log σ(m), with respect to its chosen logp. "
        "The chain has two links: from the loss to the margin, and from the margin to the logp.",
        "The derivative of -log σ(m) with respect to m is -σ(-m). "
        "The margin is β times the difference of the log-ratios.",
        "It is β times the sigmoid of *minus* the margin: `torch.sigmoid` takes the whole batch at once. "
        "Do not take the mean.",
    ),
    praise="That is the gradient weight: β/2 at a margin of 0, nearly β on a pair that is badly wrong, and almost "
    "nothing on one that is settled.",
    solution=_my_gradient_weight,
    name_in_notebook="gradients.gradient_weight",
    cases=(
        {"margins": torch.tensor([1.5, -0.7, 0.0, 3.0], dtype=torch.float64), "beta": 0.1},
        {"margins": torch.tensor([-2.0, 0.4, 5.0], dtype=torch.float64), "beta": 0.5},
        {"margins": torch.tensor([-6.0, 0.9], dtype=torch.float64), "beta": 2.0},
        {"margins": torch.tensor([-200.0, 200.0]), "beta": 1.0},
    ),
    mistakes=_WEIGHT_MISTAKES,
)


# sequence_logps


_PAD_ID = 0
"""The id of the padding in the test cases; no other token has it."""

_VOCABULARY = 7


def _my_sequence_logps(logits: Tensor, input_ids: Tensor, response_mask: Tensor) -> Tensor:
    predictions = F.log_softmax(logits[:, :-1], dim=-1)
    targets = input_ids[:, 1:]
    token_logps = predictions.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (token_logps * response_mask[:, 1:]).sum(dim=1)


# The mistakes are combinations of a way to score the tokens and a way to reduce the scores


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1)


def _scores(logits: Tensor, input_ids: Tensor, scored: Callable[[Tensor], Tensor] = _log_softmax) -> Tensor:
    """A score for every token but the first, correctly shifted."""
    return scored(logits[:, :-1]).gather(-1, input_ids[:, 1:, None])[..., 0]


def _from_start_of_response(mask: Tensor) -> Tensor:
    return mask.cumsum(dim=1) > 0


def _paired(logits: Tensor, ids: Tensor) -> Tensor:
    """log P of every token by the logits at the same position, without a shift."""
    return _log_softmax(logits).gather(-1, ids[..., None])[..., 0]


def _unshifted(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    return (_paired(logits, ids) * mask).sum(1)


def _shifted_back(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    return (_paired(logits[:, 1:], ids[:, :-1]) * mask[:, :-1]).sum(1)


def _probability(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    return _my_sequence_logps(logits, ids, mask).exp()


def _with_epsilon(epsilon: float) -> Callable[..., Tensor]:
    return lambda logits, ids, mask: ((_scores(logits, ids, _softmax) + epsilon).log() * mask[:, 1:]).sum(1)


def _without_last(mask: Tensor) -> Tensor:
    """The mask without the last token of each response."""
    return mask & F.pad(mask[:, 1:], (0, 1))


_softmax = functools.partial(torch.softmax, dim=-1)
_over_time = functools.partial(torch.log_softmax, dim=1)

_LOGPS_MISTAKES = (
    Mistake(
        _unshifted,
        "There is no shift: you score each token with the logits at its own position, which predict the *next* one. "
        "The model has read the token by then, so the number does not say how well it was predicted.",
    ),
    Mistake(
        lambda logits, ids, mask: (_paired(logits[:, :-1], ids[:, :-1]) * mask[:, 1:]).sum(1),
        "You cut the last position off both logits and ids, so they are not shifted against each other: the ids must "
        "lose their first position, `input_ids[:, 1:]`. "
        "As it is, each token is scored with the prediction for the token after it.",
        also=(lambda logits, ids, mask: (_paired(logits[:, :-1], ids[:, :-1]) * mask[:, :-1]).sum(1),),
    ),
    Mistake(
        _shifted_back,
        "You shifted in the wrong direction: each token is scored with the logits of the position *after* it. "
        "The logits at t-1 predict the token at t, so the logits lose their last position and the ids their first.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * mask[:, :-1]).sum(1),
        "The labels are shifted, but the mask is not: use `response_mask[:, 1:]`, as for the ids. "
        "As it is, the first token of the response is left out, and the token after the last one is included.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * (ids != _PAD_ID)[:, 1:]).sum(1),
        "The prompt is counted: you sum over everything that is not padding. "
        "DPO is about log P(response given prompt); if you score the prompt, you also train on it.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * _from_start_of_response(mask)[:, 1:]).sum(1),
        "The padding is counted: your sum starts with the response and continues to the end of the row. "
        "A response's logp would then depend on how long the other responses in its batch are.",
    ),
    Mistake(
        lambda logits, ids, mask: _scores(logits, ids).sum(1),
        "Everything is counted, prompt and padding too: the mask is not used. "
        "The few tokens of the response are lost among numbers that have nothing to do with it.",
    ),
    Mistake(
        lambda logits, ids, mask: _my_sequence_logps(logits, ids, mask) / mask.sum(1),
        "You took the mean over the response's tokens, but DPO sums. "
        "The probability of a response is a product over its tokens; with the mean, each response has its own β, "
        "namely β / length.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * mask[:, 1:]).mean(1),
        "You took the mean over the whole row, masked positions included, but DPO sums. "
        "The zeros of prompt and padding count in the denominator, so padding changes the result.",
        also=(lambda logits, ids, mask: _my_sequence_logps(logits, ids, mask) / mask.shape[1],),
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax) * mask[:, 1:]).sum(1),
        "You summed probabilities: the logarithm is missing after the softmax. "
        "Probabilities of tokens are multiplied, and only their logarithms may be added.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax) * mask[:, 1:]).sum(1).log(),
        "You took one logarithm, of the sum of the probabilities: take it of each token's probability, and then sum. "
        "The logarithm of a sum is a different number; for a few likely words it would even be above 0.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax) * mask[:, 1:]).log().sum(1),
        "Masked tokens give minus infinity: you masked before the logarithm, which is minus infinity at 0, or you "
        "masked with minus infinity. "
        "Take the logarithm first and mask with 0, the log-probability of a certain event, which adds nothing.",
    ),
    Mistake(
        lambda logits, ids, mask: (_log_softmax(logits[:, :-1]).max(-1).values * mask[:, 1:]).sum(1),
        "You scored the most probable token of each position instead of the token that is there. "
        "It would then no longer matter which response you score: `gather` picks each token's own logp.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * ~mask[:, 1:]).sum(1),
        "The mask is inverted: you sum over prompt and padding, and leave the response out. "
        "`response_mask` is true where the response is.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, lambda scores: scores) * mask[:, 1:]).sum(1),
        "You summed raw logits: the log-softmax is missing. "
        "Logits are scores up to a constant that differs between positions, and only the log-softmax, which removes "
        "it, makes them log-probabilities.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _over_time) * mask[:, 1:]).sum(1),
        "The log-softmax runs over the wrong dimension: over the positions, and not over the vocabulary. "
        "At each position it is the *tokens* that compete, and their probabilities sum to 1.",
    ),
    Mistake(
        lambda *a: _my_sequence_logps(*a).sum(),
        "You summed over the batch as well, but the exercise asks for one logp for each row. "
        "DPO compares rows with each other, chosen with rejected, and a single total cannot be compared.",
    ),
    Mistake(
        lambda logits, ids, mask: _scores(logits, ids) * mask[:, 1:],
        "This is one logp for each token, but the exercise asks for one for each response: their sum. "
        "People prefer whole responses, and the loss takes one number for each.",
    ),
    Mistake(
        lambda *a: -_my_sequence_logps(*a),
        "The sign is flipped: this is the cross-entropy, and a log-probability is never above 0. "
        "With this sign, the loss would push the chosen response down.",
    ),
    Mistake(
        _probability,
        "This is the probability of each response, but the exercise asks for its logarithm. "
        "A product over a few hundred tokens is 0 in floating point, and nothing can be learned from 0.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * _without_last(mask)[:, 1:]).sum(1),
        "The last token of each response is left out. "
        "It is the end token: a model that is never trained on it does not learn where to stop.",
        also=(lambda logits, ids, mask: (_scores(logits, ids) * mask[:, 1:])[:, :-1].sum(1),),
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * (mask[:, 1:] & mask[:, :-1])).sum(1),
        "The first token of each response is left out. "
        "It is predicted by the last position of the prompt, and it counts like every other.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, lambda scores: scores).log_softmax(-1) * mask[:, 1:]).sum(1),
        "You picked each token's logit first and took the log-softmax afterwards, so that the *positions* of a row "
        "compete. "
        "The words of the vocabulary must compete at each position: log-softmax first, then `gather`.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax).log() * mask[:, 1:]).sum(1),
        "You computed probabilities and took the logarithm afterwards: in the last test case a probability is 0 in "
        "float32, as is a product over a few hundred tokens, and the logarithm of 0 is minus infinity. "
        "`F.log_softmax` takes both steps at once.",
    ),
    Mistake(
        _with_epsilon(1e-8),
        "You added a small number to the probability, or set a lowest one, before you took the logarithm, so that no "
        "token costs more than, say, 18 nats. "
        "The improbable tokens are those from which most is to be learned: `F.log_softmax` needs no such help.",
        also=tuple(map(_with_epsilon, (1e-12, 1e-10, 1e-9, 1e-7, 1e-6))),
    ),
)


def _logps_case(seed: int, lengths: Sequence[tuple[int, int]], scale: float = 2.0) -> dict[str, Any]:
    """Random logits and tokens for rows with these numbers of prompt and response tokens, padded on the right."""
    random = torch.Generator().manual_seed(seed)
    time = max(map(sum, lengths))
    logits = scale * torch.randn(len(lengths), time, _VOCABULARY, generator=random, dtype=torch.float64)
    input_ids = torch.randint(_PAD_ID + 1, _VOCABULARY, (len(lengths), time), generator=random)
    response_mask = torch.zeros(len(lengths), time, dtype=torch.bool)
    for row, (prompt, response) in enumerate(lengths):
        response_mask[row, prompt : prompt + response] = True
        input_ids[row, prompt + response :] = _PAD_ID
    return {"logits": logits, "input_ids": input_ids, "response_mask": response_mask}


_IMPROBABLE = _logps_case(2, [(2, 40)], scale=60.0)
"""A response with tokens so improbable that their probabilities are 0 in float32."""
_IMPROBABLE["logits"] = _IMPROBABLE["logits"].float()

sequence_logps = FunctionExercise(
    name="sequence_logps",
    notebook="03",
    answer_name="my_sequence_logps",
    task="Replace the `...` in the stub with shift, log-softmax, gather, mask and sum; return one number for each "
    "row. "
    "Padding has the id 0.",
    hints=(
        "The logits at one position predict the token at the next. "
        "So which position of the logits is useless, and which token is not predicted by any position?",
        "`logits[:, :-1]` goes with `input_ids[:, 1:]` and with `response_mask[:, 1:]`. "
        "Take `F.log_softmax` over the last dimension, then pick the value of each token with `gather`.",
        "`gather(-1, targets.unsqueeze(-1)).squeeze(-1)` gives one logp for each token. "
        "Multiply by the mask, then `.sum(dim=1)`.",
    ),
    praise="That is log P(response given prompt), in nats: shifted, masked and summed. It agrees with the package.",
    solution=_my_sequence_logps,
    name_in_notebook="gradients.sequence_logps",
    cases=(_logps_case(0, [(2, 3), (3, 1)]), _logps_case(1, [(1, 2), (2, 4), (3, 2)]), _IMPROBABLE),
    mistakes=_LOGPS_MISTAKES,
    trained=("logits",),
)


# The signs of both logp changes

RESPONSES = ("chosen", "rejected", "third")
"""The three responses of a world, in the order of its rows."""

WORLDS: dict[str, Tensor] = {
    "A": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    "B": torch.tensor([[1.0], [0.5], [3.0]]),
    "C": torch.tensor([[1.0], [0.5], [-3.0]]),
}
"""The features φ of the chosen, rejected and third response; P(y) ∝ exp(θ·φ(y)), and θ = 0 at the start."""

_SPLIT, _DOWN, _UP = "chosen up, rejected down", "both down", "both up"


def first_step(features: Tensor, beta: float = 0.1, learning_rate: float = 0.1) -> Tensor:
    """The changes of the log-probabilities of three responses in one gradient step of DPO.

        Δ log P(y) ≈ learning rate × β/2 × (φ(y) - E[φ]) · (φ(chosen) - φ(rejected)),   P(y) ∝ exp(θ·φ(y))

    The policy starts at the reference, which is uniform. The gradient comes from autograd through `compute_dpo_loss`;
    the formula above is the first-order approximation of the step.

    Args:
        features: φ of the chosen, rejected and third response, one row each.
        beta: the β of the loss; above 0.
        learning_rate: the step size of plain gradient descent on θ.

    Returns:
        The changes of the three log-probabilities, nats.

    >>> first_step(WORLDS["B"]).sign()  # chosen and rejected lose, the third gains
    tensor([-1., -1.,  1.])
    """
    with torch.enable_grad():
        theta = torch.zeros(features.shape[1], dtype=features.dtype, requires_grad=True)
        logps = (features @ theta).log_softmax(dim=0)
        start = logps.detach()
        compute_dpo_loss(logps[:1], logps[1:2], start[:1], start[1:2], beta).backward()
    moved = -learning_rate * theta.grad if theta.grad is not None else torch.zeros_like(theta)
    return (features @ moved).log_softmax(dim=0) - start


logp_signs = MatchExercise(
    name="the signs of both logp changes",
    notebook="03",
    answer_name="signs",
    task="Fill in the dict `signs`: for each world, what one step does to log P of chosen and of rejected.",
    hints=(
        "The step moves θ along φ(chosen) - φ(rejected). "
        "In every world, the *score* θ·φ of the chosen response gains on that of the rejected one. "
        "Its probability need not rise, because a third response has a score, too.",
        "log P(y) is the score of y minus the logarithm of a sum over all three. So log P(y) rises if the score of y "
        "rises by more than the mean of the three, and falls if it rises by less.",
        "In worlds B and C there is one feature, and φ(chosen) - φ(rejected) is 0.5, so each score changes in "
        "proportion to its feature. Compare 1.0 and 0.5 with the mean of the three features.",
    ),
    praise="The margin grows in all three worlds, and yet both log-probabilities may fall, or rise. "
    "The loss asks for a difference, and a third response that resembles one side takes or gives the probability.",
    choices=(_SPLIT, _DOWN, _UP),
    questions={
        "A": Question(
            answer=_SPLIT,
            explanation="Δθ points along (1, -1), so the scores change by +1, -1 and 0, with a mean of 0: chosen "
            "gains on the mean, and rejected loses.",
            diagnoses={
                _DOWN: "For both to fall, the third response's score would have to rise by more than theirs. "
                "Its features are (0, 0): does its score move at all?",
                _UP: "For both to rise, both scores would have to gain on the mean of the three. "
                "Here, each response has its own feature, and the step along (1, -1) treats the two features "
                "differently.",
            },
        ),
        "B": Question(
            answer=_DOWN,
            explanation="The scores rise in proportion to 1.0, 0.5 and 3.0, with a mean of 1.5: both are below it, "
            "and the third response takes their probability.",
            diagnoses={
                _SPLIT: "That is what the loss asks for, but it only asks for the difference. "
                "Look at the third response, which has more of the feature that the step favours than the other "
                "two.",
                _UP: "Both scores do rise, but a probability is a share. "
                "Ask whose score rises most here, and which responses must lose the probability that it gains.",
            },
        ),
        "C": Question(
            answer=_UP,
            explanation="The scores change in proportion to 1.0, 0.5 and -3.0, with a mean of -0.5: both are above "
            "it, and the third response loses.",
            diagnoses={
                _SPLIT: "The rejected response has half of the feature that the step favours, so its score moves too. "
                "Compare that with what happens to the third response's score, whose feature is -3.0.",
                _DOWN: "Probabilities sum to 1, so if both fell, the third response would have to rise. "
                "Its feature is -3.0: in which direction does the step move its score?",
            },
        ),
    },
)

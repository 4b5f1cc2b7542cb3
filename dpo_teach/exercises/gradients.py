"""The exercises of notebook 03: the gradient weight, `sequence_logps`, and the signs of both changes of logps."""

import functools
from collections.abc import Callable, Mapping, Sequence
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
    mistakes=_WEIGHT_MISTAKES,
)


# sequence_logps


_PAD_ID = 0
"""The padding token of the test cases, which stands nowhere else in them."""

_VOCABULARY = 7


def _my_sequence_logps(logits: Tensor, input_ids: Tensor, response_mask: Tensor) -> Tensor:
    predictions = F.log_softmax(logits[:, :-1], dim=-1)
    targets = input_ids[:, 1:]
    token_logps = predictions.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (token_logps * response_mask[:, 1:]).sum(dim=1)


# Mistakes, put together from parts: scores of the tokens, and what is done with them


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1)


def _scores(logits: Tensor, input_ids: Tensor, scored: Callable[[Tensor], Tensor] = _log_softmax) -> Tensor:
    """A score for every token but the first, shifted as it should be."""
    return scored(logits[:, :-1]).gather(-1, input_ids[:, 1:, None])[..., 0]


def _from_start_of_response(mask: Tensor) -> Tensor:
    return mask.cumsum(dim=1) > 0


def _paired(logits: Tensor, ids: Tensor) -> Tensor:
    """log P of every token by the logits that stand at the same place."""
    return _log_softmax(logits).gather(-1, ids[..., None])[..., 0]


def _unshifted(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    return (_paired(logits, ids) * mask).sum(1)


def _shifted_back(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    return (_paired(logits[:, 1:], ids[:, :-1]) * mask[:, :-1]).sum(1)


def _probability(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    return _my_sequence_logps(logits, ids, mask).exp()


_softmax = functools.partial(torch.softmax, dim=-1)
_over_time = functools.partial(torch.log_softmax, dim=1)

_LOGPS_MISTAKES = (
    Mistake(
        _unshifted,
        "There is no shift: you score each token with the logits at its own position, which predict the *next* one. "
        "The model has seen the token by then, so the number says nothing about how well it was foretold.",
    ),
    Mistake(
        lambda logits, ids, mask: (_paired(logits[:, :-1], ids[:, :-1]) * mask[:, 1:]).sum(1),
        "You cut the last position off logits and ids alike, so that the two are not shifted against each other: the "
        "ids lose their first position, `input_ids[:, 1:]`. "
        "As it is, each token is scored by what the model foretold for the token after it.",
        also=(lambda logits, ids, mask: (_paired(logits[:, :-1], ids[:, :-1]) * mask[:, :-1]).sum(1),),
    ),
    Mistake(
        _shifted_back,
        "You shifted the wrong way: each token is scored with the logits of the position *after* it. "
        "The logits at t-1 predict the token at t, so the logits lose their last position and the ids their first.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * mask[:, :-1]).sum(1),
        "The labels are shifted and the mask is not: use `response_mask[:, 1:]`, as for the ids. "
        "As it is, the first token of the response is left out, and the token after the last one is let in.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * (ids != _PAD_ID)[:, 1:]).sum(1),
        "The prompt is counted: you sum over everything that is not padding. "
        "DPO is about log P(response given prompt); a prompt that is scored too is trained on too.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * _from_start_of_response(mask)[:, 1:]).sum(1),
        "The padding is counted: your sum starts with the response and runs on to the end of the row. "
        "A response's logp would then depend on how long its batch mates happen to be.",
    ),
    Mistake(
        lambda logits, ids, mask: _scores(logits, ids).sum(1),
        "Everything is counted, prompt and padding too: the mask is not used. "
        "The response's few tokens drown in numbers that have nothing to do with it.",
    ),
    Mistake(
        lambda logits, ids, mask: _my_sequence_logps(logits, ids, mask) / mask.sum(1),
        "You took the mean over the response's tokens, and DPO sums. "
        "The probability of a response is a product over its tokens; with the mean, each response has a β of its own, "
        "β / length.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * mask[:, 1:]).mean(1),
        "You took the mean over the whole row, masked positions included, and DPO sums. "
        "The zeros of prompt and padding count in the denominator, so that padding changes the result.",
        also=(lambda logits, ids, mask: _my_sequence_logps(logits, ids, mask) / mask.shape[1],),
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax) * mask[:, 1:]).sum(1),
        "You summed probabilities: the logarithm is missing after the softmax. "
        "Probabilities of tokens multiply, and only their logarithms may be added.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax) * mask[:, 1:]).sum(1).log(),
        "You took one logarithm, of the sum of the probabilities: take it of each token's, and then sum. "
        "The logarithm of a sum is another number; it would even be above 0 for a few words that are likely.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _softmax) * mask[:, 1:]).log().sum(1),
        "Masked tokens come to minus infinity: you masked before the logarithm, which is just that for 0, or masked "
        "with minus infinity. "
        "Take the logarithm first and mask with 0, the log-probability of what is sure, which adds nothing.",
    ),
    Mistake(
        lambda logits, ids, mask: (_log_softmax(logits[:, :-1]).max(-1).values * mask[:, 1:]).sum(1),
        "You scored the most probable token of each position, and it is the token that stands there that is wanted. "
        "Which response is judged would no longer matter: `gather` picks each token's own logp.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids) * ~mask[:, 1:]).sum(1),
        "The mask is turned round: you sum over prompt and padding, and leave the response out. "
        "`response_mask` is true where the response is.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, lambda scores: scores) * mask[:, 1:]).sum(1),
        "You summed raw logits: the log-softmax is missing. "
        "Logits are scores up to a constant of each position's own, and are no log-probabilities before it is taken "
        "out.",
    ),
    Mistake(
        lambda logits, ids, mask: (_scores(logits, ids, _over_time) * mask[:, 1:]).sum(1),
        "The log-softmax runs over the wrong dimension: over time, and not over the vocabulary. "
        "At each position it is the *tokens* that compete, and whose probabilities sum to 1.",
    ),
    Mistake(
        lambda *a: _my_sequence_logps(*a).sum(),
        "You summed over the batch as well, and one logp for each row is wanted. "
        "DPO compares rows with each other, chosen with rejected, and one total cannot be compared.",
    ),
    Mistake(
        lambda logits, ids, mask: _scores(logits, ids) * mask[:, 1:],
        "This is one logp for each token, and one for each response is wanted: their sum. "
        "People prefer whole responses, and the loss takes one number for each.",
    ),
    Mistake(
        lambda *a: -_my_sequence_logps(*a),
        "The sign is flipped: this is the cross-entropy, and a log-probability is never above 0. "
        "With this sign the loss would push the chosen response down.",
    ),
    Mistake(
        _probability,
        "This is the probability of each response, and its logarithm is wanted. "
        "A product over a few hundred tokens is 0 in floating point, and nothing can be learned from 0.",
    ),
)


def _logps_case(seed: int, lengths: Sequence[tuple[int, int]]) -> Mapping[str, Any]:
    """Random logits and tokens, for rows of so many prompt tokens and response tokens, padded on the right."""
    random = torch.Generator().manual_seed(seed)
    time = max(map(sum, lengths))
    logits = 2 * torch.randn(len(lengths), time, _VOCABULARY, generator=random, dtype=torch.float64)
    input_ids = torch.randint(_PAD_ID + 1, _VOCABULARY, (len(lengths), time), generator=random)
    response_mask = torch.zeros(len(lengths), time, dtype=torch.bool)
    for row, (prompt, response) in enumerate(lengths):
        response_mask[row, prompt : prompt + response] = True
        input_ids[row, prompt + response :] = _PAD_ID
    return {"logits": logits, "input_ids": input_ids, "response_mask": response_mask}


sequence_logps = FunctionExercise(
    name="sequence_logps",
    notebook="03",
    answer_name="my_sequence_logps",
    task="Replace the `...` of the stub by shift, log-softmax, gather, mask and sum; return one number for each row. "
    "Padding has the id 0.",
    hints=(
        "The logits at one position predict the token at the next. So which position of the logits is of no use, and "
        "which token has nothing that predicts it?",
        "`logits[:, :-1]` goes with `input_ids[:, 1:]` and with `response_mask[:, 1:]`. Take `F.log_softmax` over the "
        "last dimension, then pick each token's own with `gather`.",
        "`gather(-1, targets.unsqueeze(-1)).squeeze(-1)` gives one logp for each token; times the mask, `.sum(dim=1)`.",
    ),
    praise="That is log P(response given prompt), in nats: shifted, masked and summed, and the same as the package's.",
    solution=_my_sequence_logps,
    name_in_notebook="gradients.sequence_logps",
    cases=(_logps_case(0, [(2, 3), (3, 1)]), _logps_case(1, [(1, 2), (2, 4), (3, 2)])),
    mistakes=_LOGPS_MISTAKES,
)


# The signs of both changes

RESPONSES = ("chosen", "rejected", "third")
"""What the rows of a world are: the three responses that there are."""

WORLDS: dict[str, Tensor] = {
    "A": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    "B": torch.tensor([[1.0], [0.5], [3.0]]),
    "C": torch.tensor([[1.0], [0.5], [-3.0]]),
}
"""The features φ of chosen, rejected and third response; P(y) ∝ exp(θ·φ(y)), and θ = 0 at the start."""

_SPLIT, _DOWN, _UP = "chosen up, rejected down", "both down", "both up"


def first_step(features: Tensor, beta: float = 0.1, learning_rate: float = 0.1) -> Tensor:
    """What one gradient step of DPO does to the log-probabilities of three responses.

        Δ log P(y) ≈ learning rate × β/2 × (φ(y) - E[φ]) · (φ(chosen) - φ(rejected)),   P(y) ∝ exp(θ·φ(y))

    The policy is uniform at the start, where it is also the reference. The step is taken by autograd through
    `compute_dpo_loss`; the formula above is its first order.

    Args:
        features: φ of chosen, rejected and third response, a row each.
        beta: of the loss; above 0.
        learning_rate: of plain gradient descent on θ.

    Returns:
        The changes of the three log-probabilities, nats.

    >>> first_step(WORLDS["B"]).sign()  # chosen and rejected lose to the third
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
    name="the signs of both changes",
    notebook="03",
    answer_name="signs",
    task="Fill in the dict `signs`: for each world, what one step does to log P of chosen and of rejected.",
    hints=(
        "The step moves θ along φ(chosen) - φ(rejected). The *score* θ·φ of the chosen response gains on that of the "
        "rejected one in every world; its probability need not rise, for a third response has a score too.",
        "log P(y) is the score of y minus the logarithm of a sum over all three. So log P(y) rises if the score of y "
        "rises by more than the mean of the three, and falls if it rises by less.",
        "In worlds B and C there is one feature, and φ(chosen) - φ(rejected) is 0.5, so each score changes in "
        "proportion to its feature. Compare 1.0 and 0.5 with the mean of the three features.",
    ),
    praise="The margin grows in all three worlds, and yet both log-probabilities may fall, or rise: the loss asks for "
    "a difference, and a third response that looks like one side of it takes or gives the mass.",
    choices=(_SPLIT, _DOWN, _UP),
    questions={
        "A": Question(
            answer=_SPLIT,
            explanation="Δθ points along (1, -1), so the scores change by +1, -1 and 0, with a mean of 0: chosen gains "
            "on the mean, and rejected loses.",
            diagnoses={
                _DOWN: "For both to fall, the third response's score would have to rise by more than theirs. "
                "Its features are (0, 0): does its score move at all?",
                _UP: "For both to rise, both scores would have to gain on the mean of the three. "
                "Each has a feature of its own here, and the step along (1, -1) treats the two features differently.",
            },
        ),
        "B": Question(
            answer=_DOWN,
            explanation="The scores rise in proportion to 1.0, 0.5 and 3.0, with a mean of 1.5: both are below it, and "
            "the third response takes their mass.",
            diagnoses={
                _SPLIT: "That is what the loss asks for, and it asks for the difference only. "
                "Look at the third response, which has more than anyone of the feature that the step favours.",
                _UP: "Both scores do rise, but a probability is a share. "
                "Ask whose score rises most here, and from whom the mass for that must come.",
            },
        ),
        "C": Question(
            answer=_UP,
            explanation="The scores change in proportion to 1.0, 0.5 and -3.0, with a mean of -0.5: both are above it, "
            "and the third response pays.",
            diagnoses={
                _SPLIT: "The rejected response has half of the feature that the step favours, so its score moves too. "
                "Compare that with what happens to the third response's score, whose feature is -3.0.",
                _DOWN: "Probabilities sum to 1, so if both fell, the third response would have to win. "
                "Its feature is -3.0: which way does the step move its score?",
            },
        ),
    },
)

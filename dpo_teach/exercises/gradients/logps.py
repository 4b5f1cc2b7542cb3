"""Write `sequence_logps`: from a model's logits to one log-probability for each response."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["PAD_ID", "sequence_logps"]

PAD_ID = 0
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

_MISTAKES = (
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
        lambda logits, ids, mask: (_scores(logits, ids) * (ids != PAD_ID)[:, 1:]).sum(1),
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


def _case(seed: int, lengths: Sequence[tuple[int, int]]) -> Mapping[str, Any]:
    """Random logits and tokens, for rows of so many prompt tokens and response tokens, padded on the right."""
    random = torch.Generator().manual_seed(seed)
    time = max(map(sum, lengths))
    logits = 2 * torch.randn(len(lengths), time, _VOCABULARY, generator=random, dtype=torch.float64)
    input_ids = torch.randint(PAD_ID + 1, _VOCABULARY, (len(lengths), time), generator=random)
    response_mask = torch.zeros(len(lengths), time, dtype=torch.bool)
    for row, (prompt, response) in enumerate(lengths):
        response_mask[row, prompt : prompt + response] = True
        input_ids[row, prompt + response :] = PAD_ID
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
    cases=(_case(0, [(2, 3), (3, 1)]), _case(1, [(1, 2), (2, 4), (3, 2)])),
    mistakes=_MISTAKES,
)

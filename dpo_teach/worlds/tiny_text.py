"""A language model of six words, small enough to print, with the common mistakes on the way from logits to logps.

The model is a table of scores for the next word. The score of [eos] rises by half a point with each position, so that
the position of a word affects the prediction after it, as in GPT-2.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["WORDS", "Shift", "TinyText", "count_logps", "tiny_logits", "tiny_text"]

WORDS = ("[pad]", "the", "film", "was", "dull", "[eos]")
PAD, THE, FILM, WAS, DULL, EOS = range(len(WORDS))

Shift = Literal["right", "none", "wrong way"]
_SCORED_BY: dict[Shift, int] = {"right": -1, "none": 0, "wrong way": 1}

#                 next: [pad] the film was dull [eos]
_SCORES = torch.tensor(
    [
        [0, 2, 1, 0, 0, 0],  # after [pad]
        [-4, 0, 3, 0, 1, 0],  # after the
        [-4, 0, 0, 3, 0, 1],  # after film
        [-4, 1, 0, 0, 2, 0],  # after was
        [-4, 0, 1, 0, 0, 2],  # after dull
        [1, 1, 0, 0, 0, 0],  # after [eos]
    ],
    dtype=torch.float64,
)
_END_PER_POSITION = 0.5


class TinyText(NamedTuple):
    """One row of a batch: "the film" is the prompt, "was dull [eos]" the response, and two positions are padding."""

    input_ids: Int[Tensor, "1 time"]
    response_mask: Bool[Tensor, "1 time"]
    real_mask: Bool[Tensor, "1 time"]
    logits: Float[Tensor, "1 time vocab"]

    @property
    def words(self) -> list[str]:
        """The text, one word per position."""
        return [WORDS[i] for i in self.input_ids[0].tolist()]


def tiny_logits(input_ids: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
    """The logits of the next word at each position.

    Args:
        input_ids: indices into `WORDS`; positions are counted from 0 and include padding, as in GPT-2.

    Returns:
        Unnormalised scores, float64.

    >>> tiny_logits(torch.tensor([[THE, FILM]]))[0, 1].tolist()
    [-4.0, 0.0, 0.0, 3.0, 0.0, 1.5]
    """
    logits = _SCORES[input_ids]
    logits[..., EOS] += _END_PER_POSITION * torch.arange(input_ids.shape[1], dtype=logits.dtype)
    return logits


def tiny_text(*, padding_side: Literal["right", "left"] = "right") -> TinyText:
    """The example row, padded on the right (as the package does for scoring) or on the left.

    >>> " ".join(tiny_text().words)
    'the film was dull [eos] [pad] [pad]'
    """
    ids, response, padding = [THE, FILM, WAS, DULL, EOS], [False, False, True, True, True], 2
    real = [True] * len(ids)
    if padding_side == "right":
        ids, response, real = ids + [PAD] * padding, response + [False] * padding, real + [False] * padding
    else:
        ids, response, real = [PAD] * padding + ids, [False] * padding + response, [False] * padding + real
    input_ids = torch.tensor([ids])
    return TinyText(input_ids, torch.tensor([response]), torch.tensor([real]), tiny_logits(input_ids))


def count_logps(
    text: TinyText, *, shift: Shift = "right", count_prompt: bool = False, count_padding: bool = False
) -> Float[Tensor, " time"]:
    """The contribution of each position to log P(response given prompt), with common mistakes to switch on.

        right: log softmax(logits[t-1])[y_t]    none: logits[t]    wrong way: logits[t+1]

    Args:
        text: the row.
        shift: which position's logits score the word at position t.
        count_prompt: whether to count the prompt's words as well.
        count_padding: whether to count the padding as well.

    Returns:
        One number per position, nats; 0 where nothing is counted, and where the shift points outside the row.

    >>> round(count_logps(tiny_text()).sum().item(), 4)
    -1.1746
    """
    time, offset = text.input_ids.shape[1], _SCORED_BY[shift]
    counted = text.response_mask[0].clone()
    counted |= (text.real_mask[0] & ~text.response_mask[0]) & count_prompt
    counted |= ~text.real_mask[0] & count_padding
    log_probabilities = text.logits[0].log_softmax(dim=-1)
    contributions = torch.zeros(time, dtype=log_probabilities.dtype)
    for t, word in enumerate(text.input_ids[0].tolist()):
        if counted[t] and 0 <= t + offset < time:
            contributions[t] = log_probabilities[t + offset, word]
    return contributions

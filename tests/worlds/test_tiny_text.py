"""The language model of six words: by hand, and against the package's textbook form."""

from math import exp, log

import pytest
import torch

from dpo_teach.logps import sequence_logps
from dpo_teach.worlds.tiny_text import DULL, EOS, FILM, PAD, THE, WAS, count_logps, tiny_logits, tiny_text


def log_softmax_at(scores: list[float], place: int) -> float:
    return scores[place] - log(sum(exp(score) for score in scores))


def test_the_log_probability_of_the_response_by_hand() -> None:
    #                       [pad] the film was dull [eos] + half a point for each position
    after_film = log_softmax_at([-4, 0, 0, 3, 0, 1 + 0.5], WAS)
    after_was = log_softmax_at([-4, 1, 0, 0, 2, 0 + 1.0], DULL)
    after_dull = log_softmax_at([-4, 0, 1, 0, 0, 2 + 1.5], EOS)
    contributions = count_logps(tiny_text()).tolist()
    assert contributions == pytest.approx([0, 0, after_film, after_was, after_dull, 0, 0])


@pytest.mark.parametrize("side", ["right", "left"])
def test_it_is_what_the_textbook_form_says(side: str) -> None:
    text = tiny_text(padding_side=side)
    assert count_logps(text).sum() == pytest.approx(
        sequence_logps(text.logits, text.input_ids, text.response_mask).item(), abs=1e-5
    )


def test_padding_on_the_left_is_another_text_to_the_model() -> None:
    ids = torch.tensor([[PAD, PAD, THE, FILM, WAS, DULL, EOS]])
    assert torch.equal(tiny_text(padding_side="left").input_ids, ids)
    assert tiny_logits(ids)[0, 3, EOS] == 1 + 1.5  # "film" stands at position 3 now
    assert abs(count_logps(tiny_text(padding_side="left")).sum() - count_logps(tiny_text()).sum()) > 0.3


def test_what_is_counted() -> None:
    def counted(**mistakes: bool) -> list[bool]:
        return (count_logps(tiny_text(), **mistakes) != 0).tolist()

    assert counted() == [False, False, True, True, True, False, False]
    assert counted(count_prompt=True) == [False, True, True, True, True, False, False]  # nothing predicts the first
    assert counted(count_padding=True) == [False, False, True, True, True, True, True]


def test_the_wrong_shifts_ask_other_rows() -> None:
    log_probabilities = tiny_text().logits[0].log_softmax(dim=-1)
    assert count_logps(tiny_text(), shift="none")[2] == log_probabilities[2, WAS]
    assert count_logps(tiny_text(), shift="wrong way")[2] == log_probabilities[3, WAS]

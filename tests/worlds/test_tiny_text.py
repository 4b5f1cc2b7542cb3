"""The language model of six words, checked by hand and against `sequence_logps`."""

from math import exp, log

import pytest
import torch

from dpo_teach.logps import sequence_logps
from dpo_teach.worlds.tiny_text import DULL, EOS, FILM, PAD, THE, WAS, count_logps, tiny_logits, tiny_text


def log_softmax_at(scores: list[float], place: int) -> float:
    return scores[place] - log(sum(exp(score) for score in scores))


def test_the_logps_of_the_response_agree_with_values_worked_out_by_hand() -> None:
    # Scores of:            [pad] the film was dull [eos] + half a point per position
    after_film = log_softmax_at([-4, 0, 0, 3, 0, 1 + 0.5], WAS)
    after_was = log_softmax_at([-4, 1, 0, 0, 2, 0 + 1.0], DULL)
    after_dull = log_softmax_at([-4, 0, 1, 0, 0, 2 + 1.5], EOS)
    contributions = count_logps(tiny_text()).tolist()
    assert contributions == pytest.approx([0, 0, after_film, after_was, after_dull, 0, 0])


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_sum_agrees_with_sequence_logps(side: str) -> None:
    text = tiny_text(padding_side=side)
    assert count_logps(text).sum() == pytest.approx(
        sequence_logps(text.logits, text.input_ids, text.response_mask).item(), abs=1e-5
    )


def test_padding_on_the_left_changes_the_logps() -> None:
    ids = torch.tensor([[PAD, PAD, THE, FILM, WAS, DULL, EOS]])
    assert torch.equal(tiny_text(padding_side="left").input_ids, ids)
    assert tiny_logits(ids)[0, 3, EOS] == 1 + 1.5  # "film" is at position 3 now
    assert abs(count_logps(tiny_text(padding_side="left")).sum() - count_logps(tiny_text()).sum()) > 0.3


def test_only_the_response_is_counted_unless_prompt_or_padding_is_switched_on() -> None:
    def counted(**mistakes: bool) -> list[bool]:
        return (count_logps(tiny_text(), **mistakes) != 0).tolist()

    assert counted() == [False, False, True, True, True, False, False]
    assert counted(count_prompt=True) == [
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]  # the first word is not predicted
    assert counted(count_padding=True) == [False, False, True, True, True, True, True]


def test_a_wrong_shift_scores_a_word_with_another_row() -> None:
    log_probabilities = tiny_text().logits[0].log_softmax(dim=-1)
    assert count_logps(tiny_text(), shift="none")[2] == log_probabilities[2, WAS]
    assert count_logps(tiny_text(), shift="wrong way")[2] == log_probabilities[3, WAS]

"""Token ids, masks and padding, with tensors small enough to check by eye."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import BAD, BOS, EOS, GOOD, NOT, PAD, PLOT, THE, VERY, WAS, tiny_tokenizer

from dpo_teach.batches import (
    collate,
    collate_pairs,
    split_pairs,
    tokenize_pair,
    tokenize_pairs,
    tokenize_prompt,
    tokenize_response,
)
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair

PAIR = PreferencePair("the plot was", "very good", "bad")


def test_prompt_is_tokenized_once_and_responses_end_in_exactly_one_eos():
    pair = tokenize_pair(PAIR, tiny_tokenizer(), max_length=32)
    assert pair.prompt_ids == (BOS, THE, PLOT, WAS)
    assert pair.chosen_ids == (VERY, GOOD, EOS)
    assert pair.rejected_ids == (BAD, EOS)
    assert len(pair) == 4 + 3  # the prompt and the longer response


def test_an_eos_in_the_text_is_not_doubled():
    assert tokenize_response("good <eos>", tiny_tokenizer()) == (GOOD, EOS)
    assert tokenize_response("good <eos> <eos>", tiny_tokenizer()) == (GOOD, EOS)


def test_an_empty_prompt_becomes_one_token():
    assert tokenize_prompt("", tiny_tokenizer()) == (BOS,)
    assert tokenize_prompt("", tiny_tokenizer(with_bos=False)) == (BOS,)


def test_collated_pairs_are_chosen_rows_then_rejected_rows_padded_on_the_right():
    tokenizer = tiny_tokenizer()
    pairs = [
        tokenize_pair(PAIR, tokenizer, max_length=32),
        tokenize_pair(PreferencePair("the", "good", "not good"), tokenizer, max_length=32),
    ]
    batch = collate_pairs(pairs, PAD)
    assert batch.input_ids.tolist() == [
        [BOS, THE, PLOT, WAS, VERY, GOOD, EOS],  # chosen of pair 1, the longest row
        [BOS, THE, GOOD, EOS, PAD, PAD, PAD],  # chosen of pair 2
        [BOS, THE, PLOT, WAS, BAD, EOS, PAD],  # rejected of pair 1
        [BOS, THE, NOT, GOOD, EOS, PAD, PAD],  # rejected of pair 2
    ]
    assert batch.response_mask.int().tolist() == [
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1, 0, 0],
    ]
    assert batch.attention_mask.tolist() == [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 0, 0],
    ]
    chosen, rejected = split_pairs(torch.arange(4))
    assert (chosen.tolist(), rejected.tolist()) == ([0, 1], [2, 3])


def test_masks_depend_on_lengths_even_if_a_text_contains_the_padding_id():
    batch = collate([((BOS, PAD), (PAD, EOS)), ((BOS,), (EOS,))], PAD)
    assert batch.response_mask.int().tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_a_truncated_prompt_loses_its_beginning_and_is_the_same_for_both_responses():
    pair = tokenize_pair(PAIR, tiny_tokenizer(), max_length=5, max_prompt_length=2)
    assert pair.prompt_ids == (BOS, WAS), "the beginning-of-sequence token is kept"
    assert pair.chosen_ids == (VERY, GOOD, EOS)
    cut = tokenize_pair(PAIR, tiny_tokenizer(), max_length=6)
    assert cut.prompt_ids == (BOS, THE, PLOT, WAS)
    assert cut.chosen_ids == (VERY, GOOD), "a truncated response has no EOS"
    assert cut.rejected_ids == (BAD, EOS)


def test_prompt_and_response_are_not_merged_into_one_token():
    """The bundled BPE would merge across this boundary if prompt + response were tokenized together."""
    _, tokenizer = load_model("reviews-gpt2")
    pair = PreferencePair("Last night I saw The Glass Har", "bour.", "p.")
    tokenized = tokenize_pair(pair, tokenizer, max_length=64)
    joined = tokenizer(pair.prompt + pair.chosen)["input_ids"]
    assert list(tokenized.prompt_ids + tokenized.chosen_ids[:-1]) != joined
    assert tokenizer.decode(tokenized.prompt_ids + tokenized.chosen_ids, skip_special_tokens=True) == (
        pair.prompt + pair.chosen
    )


def test_overlong_pairs_raise_an_error_or_are_dropped_and_counted():
    pairs = [PAIR, PreferencePair("the plot was not very", "good", "bad"), PAIR]
    with pytest.raises(ValueError, match=r"example 2, field 'prompt': its 6 tokens .* within 6 tokens"):
        tokenize_pairs(pairs, tiny_tokenizer(), max_length=6)
    kept = tokenize_pairs(pairs, tiny_tokenizer(), max_length=6, on_overlong="drop")
    assert (len(kept.pairs), kept.truncation.dropped, kept.truncation.responses) == (2, 1, 2)


def test_responses_that_are_identical_after_truncation_are_an_error():
    pair = PreferencePair("the plot was", "very good", "very bad")
    with pytest.raises(ValueError, match="'chosen' and 'rejected' are identical after truncation to 1 tokens"):
        tokenize_pairs([pair], tiny_tokenizer(), max_length=5)


def test_dropping_all_pairs_is_an_error():
    with pytest.raises(ValueError, match="fits into max_length=4 tokens, found none among 1"):
        tokenize_pairs([PAIR], tiny_tokenizer(), max_length=4, on_overlong="drop")


@pytest.mark.parametrize(
    ("limits", "named"),
    [({"max_length": 1}, "max_length"), ({"max_length": 8, "max_prompt_length": 8}, "max_prompt_length")],
)
def test_invalid_limits_are_reported_by_name(limits, named):
    with pytest.raises(ValueError, match=named):
        tokenize_pairs([PAIR], tiny_tokenizer(), **limits)


def test_an_empty_batch_is_an_error():
    with pytest.raises(ValueError, match="sequences is empty"):
        collate([], PAD)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=6))
def test_masks_sum_to_the_number_of_tokens_in_each_row(lengths):
    batch = collate([([BOS] * prompt, [GOOD] * response) for prompt, response in lengths], PAD)
    assert batch.response_mask.sum(dim=1).tolist() == [response for _, response in lengths]
    assert batch.attention_mask.sum(dim=1).tolist() == [sum(pair) for pair in lengths]
    assert (batch.input_ids == PAD).sum().item() == batch.input_ids.numel() - sum(map(sum, lengths))

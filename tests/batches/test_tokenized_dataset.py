"""Tokenized data sets: stored pairs, and the rows of the source that they come from."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import BAD, BOS, EOS, GOOD, NOT, PAD, PLOT, THE, tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.batches import TokenizedDataset, TokenizedPair, tokenize_pair, tokenize_pairs, tokenizing
from dpo_teach.logps import pair_logps
from dpo_teach.pairs import PreferencePair
from dpo_teach.training import DPOConfig, DPOTrainer, Example, SFTConfig, SFTTrainer

PAIRS = [
    TokenizedPair((BOS, THE, PLOT), (GOOD, EOS), (NOT, BAD, EOS)),
    TokenizedPair((BOS,), (GOOD,), (BAD,)),
    TokenizedPair((BOS, THE), (EOS,), (GOOD, GOOD, GOOD, EOS)),
]


def test_a_data_set_returns_the_stored_pairs():
    dataset = TokenizedDataset(iter(PAIRS))
    assert len(dataset) == 3
    assert list(dataset) == PAIRS
    assert dataset[-1] == PAIRS[-1]
    assert dataset[1:] == PAIRS[1:]
    assert list(dataset.select([2, 0])) == [PAIRS[2], PAIRS[0]]
    assert dataset.tokens.tolist() == [8, 3, 7]
    with pytest.raises(IndexError):
        dataset[3]
    assert list(TokenizedDataset(())) == []


ids = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6).map(tuple)


@given(st.lists(st.tuples(ids, ids, ids), max_size=8), st.data())
def test_a_data_set_behaves_like_a_sequence(texts, data):
    pairs = [TokenizedPair(*text) for text in texts]
    dataset = TokenizedDataset(pairs)
    some = data.draw(st.slices(len(pairs)))
    assert list(dataset) == pairs and dataset[some] == pairs[some]
    assert [pair.tokens for pair in pairs] == dataset.tokens.tolist()
    chosen = data.draw(st.lists(st.sampled_from(range(len(pairs))))) if pairs else []
    assert list(dataset.select(chosen)) == [pairs[i] for i in chosen]


def test_tokenizing_in_batches_equals_tokenizing_one_by_one(monkeypatch):
    monkeypatch.setattr(tokenizing, "TEXTS_AT_ONCE", 3)
    tokenizer, pairs = tiny_tokenizer(), [*tiny_pairs(7), PreferencePair("", "good <eos>", "bad")]
    found = tokenize_pairs(pairs, tokenizer, max_length=9)
    assert list(found.pairs) == [tokenize_pair(pair, tokenizer, max_length=9) for pair in pairs]
    cut = sum(ids.chosen_ids[-1] != EOS or ids.rejected_ids[-1] != EOS for ids in found.pairs)
    assert 0 < found.truncation.responses == cut < len(pairs)


LONG = "the " * 40


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_remaining_pairs_keep_their_row_index_when_others_are_dropped(fits):
    prompts = [f"the {'very ' * (i % 5)}" if fit else LONG for i, fit in enumerate(fits)]
    pairs = [PreferencePair(prompt, "good", "bad") for prompt in prompts]
    found = tokenize_pairs(pairs, tiny_tokenizer(), max_length=16, on_overlong="drop")
    assert found.rows == [i for i, fit in enumerate(fits) if fit]
    assert found.truncation.dropped == fits.count(False)
    expected = [tokenize_pair(pairs[row], tiny_tokenizer(), max_length=16) for row in found.rows]
    assert list(found.pairs) == expected


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_trainers_report_the_source_rows_of_remaining_examples(kind, monkeypatch):
    """Rows 1, 3 and 5 of 6 fit. Row 5 has no source, like a row of a list that was built by hand."""
    wheres = [f"pairs.jsonl, line {number}" for number in range(1, 7)]
    wheres[4] = ""
    rows = list(zip(["the plot", LONG] * 3, wheres, strict=True))
    if kind == "dpo":
        pairs = [PreferencePair(prompt, "good", "bad", where) for prompt, where in rows]
        trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), pairs, DPOConfig(on_overlong="drop"))
    else:
        examples = [Example(prompt, "good", where) for prompt, where in rows]
        trainer = SFTTrainer(tiny_model(), tiny_tokenizer(), examples, SFTConfig(on_overlong="drop"))
    monkeypatch.setattr(trainer, "tokenizer", None)
    unnamed = "pair 5" if kind == "dpo" else "example 5"
    assert trainer.rows([0, 1, 2]) == ["pairs.jsonl, line 1", "pairs.jsonl, line 3", unnamed]
    assert trainer.rows([2, 0]) == [unnamed, "pairs.jsonl, line 1"]


def test_reference_logps_are_computed_only_for_pairs_in_the_plan():
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(24), DPOConfig(batch_size=4, max_steps=2))
    trainer.train()
    needed = sorted({i for step in trainer.plan() for i in step})
    known = ~trainer.reference_logps.isnan().any(dim=1)
    assert known.nonzero().flatten().tolist() == needed
    expected = pair_logps(tiny_model(), trainer.pairs, PAD)[needed]
    torch.testing.assert_close(trainer.reference_logps[needed], expected)

"""Token ids on the disk and pairs in their file: the same as in memory, and not in memory."""

import json
import tracemalloc

import pytest
import torch
from tiny import BAD, BOS, EOS, GOOD, NOT, PAD, PLOT, THE, tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.batches import TokenizedPair, TokenTable, tokenize_pair, tokenize_pairs
from dpo_teach.batches import tokenizing as tokenizing_room
from dpo_teach.logps import pair_logps
from dpo_teach.pairs import MappedPairs, PairError, PreferencePair, hold_out, load_pairs, map_pairs
from dpo_teach.training import DPOConfig, DPOTrainer

PAIRS = [
    TokenizedPair((BOS, THE, PLOT), (GOOD, EOS), (NOT, BAD, EOS)),
    TokenizedPair((BOS,), (GOOD,), (BAD,)),
    TokenizedPair((BOS, THE), (EOS,), (GOOD, GOOD, GOOD, EOS)),
]


def test_a_table_gives_back_the_pairs_it_was_made_of():
    table = TokenTable(iter(PAIRS))
    assert len(table) == 3
    assert list(table) == PAIRS
    assert table[-1] == PAIRS[-1]
    assert table[1:] == PAIRS[1:]
    assert list(table.select([2, 0])) == [PAIRS[2], PAIRS[0]]
    assert table.tokens.tolist() == [8, 3, 7]
    with pytest.raises(IndexError):
        table[3]
    assert list(TokenTable(())) == []


def test_tokenizing_many_at_once_is_tokenizing_one_by_one(monkeypatch):
    monkeypatch.setattr(tokenizing_room, "TEXTS_AT_ONCE", 3)
    tokenizer, pairs = tiny_tokenizer(), [*tiny_pairs(7), PreferencePair("", "good <eos>", "bad")]
    found = tokenize_pairs(pairs, tokenizer, max_length=9)
    assert list(found.pairs) == [tokenize_pair(pair, tokenizer, max_length=9) for pair in pairs]
    cut = sum(ids.chosen_ids[-1] != EOS or ids.rejected_ids[-1] != EOS for ids in found.pairs)
    assert 0 < found.cuts.responses == cut < len(pairs)


@pytest.fixture
def file(tmp_path):
    rows = [{"prompt": f"the plot {i}", "chosen": " good", "rejected": " bad"} for i in range(20)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))  # blank lines are no rows
    return path


def test_mapped_pairs_are_the_loaded_ones_and_say_where_they_are_from(file):
    mapped = map_pairs(file)
    assert isinstance(mapped, MappedPairs)
    assert list(mapped) == load_pairs(file)
    assert mapped[3].where == f"{file}, line 7"
    assert mapped[-2:] == load_pairs(file)[-2:]


def test_holding_out_leaves_mapped_pairs_mapped(file):
    kept, held = hold_out(map_pairs(file), size=5, seed=0)
    in_memory = hold_out(load_pairs(file), size=5, seed=0)
    assert isinstance(kept, MappedPairs) and isinstance(held, MappedPairs)
    assert (list(kept), list(held)) == in_memory


def test_a_bad_row_is_found_when_the_file_is_opened_and_not_in_the_middle_of_a_run(file):
    file.write_text(file.read_text() + '{"prompt": "the plot", "chosen": " good"}\n')
    with pytest.raises(PairError, match=r"pairs.jsonl, line 41, rejected: .* \(1 of 21 rows cannot be used"):
        map_pairs(file)
    assert len(map_pairs(file, on_bad_row="drop")) == 20


def test_only_the_pairs_that_are_needed_get_reference_logps():
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(24), DPOConfig(batch_size=4, max_steps=2))
    trainer.train()
    needed = sorted({i for step in trainer.plan() for i in step})
    known = ~trainer.reference_logps.isnan().any(dim=1)
    assert known.nonzero().flatten().tolist() == needed
    expected = pair_logps(tiny_model(), trainer.pairs, PAD)[needed]
    torch.testing.assert_close(trainer.reference_logps[needed], expected)


def held(read, path):
    """Bytes that Python holds on to; what the system has mapped it can forget again."""
    tracemalloc.start()
    pairs = read(path)
    assert len(pairs) == 5_000 and pairs[4_999].chosen
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken


@pytest.mark.slow
def test_mapped_pairs_hold_a_small_part_of_the_memory(tmp_path):
    row = json.dumps({"prompt": "the plot " * 40, "chosen": " good" * 40, "rejected": " bad" * 40})
    (tmp_path / "pairs.jsonl").write_text(f"{row}\n" * 5_000)
    assert held(map_pairs, tmp_path / "pairs.jsonl") < held(load_pairs, tmp_path / "pairs.jsonl") / 10

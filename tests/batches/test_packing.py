"""Packed batches: same values and gradients as with one text per row, with fewer positions to compute."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import BAD, BOS, EOS, GOOD, NOT, PAD, PLOT, THE, VERY, WAS, tiny_model
from transformers import LlamaConfig, LlamaForCausalLM

from dpo_teach.batches import TokenizedPair, collate, collate_pairs, lay_out_pairs, pack, pack_pairs, tokenize_pairs
from dpo_teach.logps import pair_logps, response_logps, response_token_logps
from dpo_teach.models import load_model, takes_packed
from dpo_teach.pairs import load_pairs
from dpo_teach.rlhf import RewardModel, ValueModel

PAIRS = [
    TokenizedPair((BOS, THE, PLOT, WAS), (VERY, GOOD, EOS), (NOT, VERY, VERY, BAD, EOS)),
    TokenizedPair((BOS,), (GOOD, EOS), (EOS,)),
    TokenizedPair((BOS, THE), (GOOD,), (BAD, EOS)),
]


def test_packed_rows_have_the_expected_tokens_positions_and_mask():
    batch = pack([((BOS, THE), [(GOOD, EOS), (BAD, EOS)]), ((BOS,), [(GOOD, EOS)]), ((PLOT,), [(VERY, EOS)])], PAD)
    assert batch.input_ids.tolist() == [
        [BOS, THE, GOOD, EOS, BAD, EOS],
        [BOS, GOOD, EOS, PLOT, VERY, EOS],
    ]
    assert batch.position_ids.tolist() == [
        [0, 1, 2, 3, 2, 3],  # both responses continue the positions of the prompt
        [0, 1, 2, 0, 1, 2],
    ]
    assert batch.visible()[0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],  # the second response sees the prompt, but not the first response
        [1, 1, 0, 0, 1, 1],
    ]
    assert batch.visible()[1].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],  # the next text begins
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1, 1],
    ]
    assert batch.targets.tolist() == [GOOD, EOS, BAD, EOS, GOOD, EOS, VERY, EOS]
    # The last prompt token predicts the first token of both responses.
    assert batch.sources.tolist() == [1, 2, 1, 4, 6, 7, 9, 10]
    assert batch.responses.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert batch.ends.tolist() == [3, 5, 8, 11]


def test_packed_pairs_list_all_chosen_responses_first():
    batch = pack_pairs(PAIRS, PAD)
    for number, pair in enumerate(PAIRS):
        for response, ids in ((number, pair.chosen_ids), (number + len(PAIRS), pair.rejected_ids)):
            assert tuple(batch.targets[batch.responses == response].tolist()) == ids
            assert batch.input_ids.flatten()[batch.ends[response]] == ids[-1]


def test_padding_sees_padding_so_that_no_softmax_is_empty():
    batch = pack([((BOS, THE, PLOT), [(GOOD, EOS)]), ((BOS, THE), [(GOOD, EOS)])], PAD)
    assert (batch.segments == -1).any(), "this batch has no padding to test"
    assert batch.visible().any(dim=2).all()


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def test_packed_rows_give_the_values_and_gradients_of_one_text_per_row():
    model = tiny_model().double()
    weights = torch.tensor([1.0, -2.0, 0.5, 0.3, -1.0, 0.7])
    found = []
    for batch in (collate_pairs(PAIRS, PAD), pack_pairs(PAIRS, PAD)):
        values = response_logps(model, batch)
        found.append((values.detach(), gradients(model, (values * weights).sum())))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)  # both compute the softmax in float32
    assert found[0][1].abs().max() > 0.1, "with a zero gradient, this test could not fail"


ids = st.lists(st.integers(3, 9), min_size=1, max_size=6).map(tuple)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(ids, ids, ids), min_size=1, max_size=6))
def test_any_pairs_have_the_same_logps_when_packed(texts):
    model, pairs = tiny_model(), [TokenizedPair(*text) for text in texts]
    with torch.no_grad():
        one_a_row, packed = (response_logps(model, lay_out_pairs(pairs, PAD, packed=how)) for how in (False, True))
    torch.testing.assert_close(packed, one_a_row, atol=2e-5, rtol=1e-5)
    batch = pack_pairs(pairs, PAD)
    assert (batch.segments != -1).sum() == sum(pair.tokens for pair in pairs)


@pytest.mark.parametrize("kind", [RewardModel, ValueModel])
def test_rewards_and_values_are_the_same_when_packed(kind):
    model = kind(tiny_model())
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in PAIRS]
    with torch.no_grad():
        one_a_row = model(collate(sequences, PAD))
        packed = model(pack([(prompt, [response]) for prompt, response in sequences], PAD))
    torch.testing.assert_close(packed, one_a_row, atol=1e-5, rtol=1e-5)
    assert one_a_row.unique().numel() == one_a_row.numel(), (
        "with equal values, this test could not detect a wrong position"
    )


def test_token_logps_are_in_the_order_of_the_responses():
    model = tiny_model()
    with torch.no_grad():
        logps, responses = response_token_logps(model, pack([(p.prompt_ids, [p.rejected_ids]) for p in PAIRS], PAD))
        assert responses.tolist() == [0] * 5 + [1] + [2] * 2, "the order must not depend on packing"
        for number, pair in enumerate(PAIRS):
            alone, _ = response_token_logps(model, collate([(pair.prompt_ids, pair.rejected_ids)], PAD))
            torch.testing.assert_close(logps[responses == number], alone)


def test_unsupported_models_get_one_text_per_row():
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                         num_attention_heads=2, num_key_value_heads=2))  # fmt: skip
    assert not takes_packed(llama)
    eager = tiny_model()
    eager.set_attn_implementation("eager")
    assert not takes_packed(eager) and takes_packed(tiny_model())
    torch.testing.assert_close(pair_logps(eager, PAIRS, PAD), pair_logps(tiny_model(), PAIRS, PAD))


def test_packing_the_bundled_pairs_saves_a_third_of_the_positions():
    _, tokenizer = load_model("reviews-gpt2")
    pairs = tokenize_pairs(load_pairs("reviews-preferences", split="test")[:64], tokenizer, max_length=512).pairs
    cells = [lay_out_pairs(pairs, PAD, packed=packed).input_ids.numel() for packed in (True, False)]
    assert cells[0] <= 2 / 3 * cells[1]

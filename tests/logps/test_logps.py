"""log P(response | prompt): hand-computed values, and the memory-saving form compared with the textbook form."""

import math

import pytest
import torch
from tiny import BAD, BOS, EOS, GOOD, NOT, PAD, PLOT, THE, VERY, WAS, tiny_model

from dpo_teach import logps
from dpo_teach.batches import TokenizedPair, collate
from dpo_teach.logps import pair_logps, pair_token_logps, response_logps, sequence_logps
from dpo_teach.models import load_model
from dpo_teach.pairs import load_pairs

SEQUENCES = [((BOS, THE, PLOT, WAS), (VERY, GOOD, EOS)), ((BOS, THE), (BAD, EOS)), ((BOS,), (GOOD, EOS))]


def test_sequence_logps_of_a_small_example():
    # A vocabulary of three tokens, ids [0, 2, 1], and a response of the last two. Row t predicts token t+1.
    probabilities = torch.tensor([[[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.6, 0.2, 0.2]]])
    ids, mask = torch.tensor([[0, 2, 1]]), torch.tensor([[False, True, True]])
    expected = math.log(0.5) + math.log(0.7)  # P(2 | first row) x P(1 | second row); the third row is not used
    assert sequence_logps(probabilities.log(), ids, mask).item() == pytest.approx(expected, abs=1e-6)


def test_logits_need_not_be_normalised_and_only_the_response_counts():
    probabilities = torch.tensor([[[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.6, 0.2, 0.2]]])
    ids, mask = torch.tensor([[0, 2, 1]]), torch.tensor([[False, False, True]])
    shifted = probabilities.log() + torch.tensor([[[5.0], [-3.0], [0.0]]])
    assert sequence_logps(shifted, ids, mask).item() == pytest.approx(math.log(0.7), abs=1e-6)


def test_the_softmax_is_computed_in_float32_for_any_logits():
    logits, ids = torch.zeros(1, 3, 7), torch.tensor([[0, 1, 2]])
    mask = torch.tensor([[False, True, True]])
    half = sequence_logps(logits.bfloat16(), ids, mask)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(2 * math.log(1 / 7), abs=1e-6)


def textbook(model, batch):
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    return sequence_logps(logits, batch.input_ids, batch.response_mask)


def test_both_forms_agree_in_value_and_gradient():
    model, batch = tiny_model().double(), collate(SEQUENCES, PAD)
    weights = torch.tensor([1.0, -2.0, 0.5])
    gradients, values = [], []
    for form in (textbook, response_logps):
        model.zero_grad()
        logps = form(model, batch)
        (logps * weights).sum().backward()
        values.append(logps.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    # Both compute the softmax in float32, so they agree to that precision.
    torch.testing.assert_close(values[0], values[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)
    assert gradients[0].abs().max() > 0.1, "with a zero gradient, this test could not fail"


def test_a_response_logp_is_the_sum_of_its_token_logps():
    """The chain rule: log P(ab) = log P(a) + log P(b | a), with each term computed directly by the model."""
    model = tiny_model()
    with torch.no_grad():
        step = model(torch.tensor([[BOS, THE, GOOD]])).logits.log_softmax(-1)[0]
        expected = step[1, GOOD] + step[2, EOS]
        found = response_logps(model, collate([((BOS, THE), (GOOD, EOS))], PAD))
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_padding_other_rows_and_their_order_do_not_change_a_logp():
    model = tiny_model()
    with torch.no_grad():
        alone = torch.cat([response_logps(model, collate([sequence], PAD)) for sequence in SEQUENCES])
        together = response_logps(model, collate(SEQUENCES, PAD))
        turned = response_logps(model, collate(SEQUENCES[::-1], PAD)).flip(0)
        other_padding = response_logps(model, collate(SEQUENCES, GOOD))
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(turned, alone)
    torch.testing.assert_close(other_padding, alone)


def test_pair_logps_are_in_the_order_of_the_pairs():
    model = tiny_model()
    pairs = [TokenizedPair((BOS,), (GOOD,) * n + (EOS,), (BAD, EOS)) for n in (5, 1, 3)]
    found = pair_logps(model, pairs, PAD, batch_size=2)
    for row, pair in zip(found, pairs, strict=True):
        batch = collate([(pair.prompt_ids, pair.chosen_ids), (pair.prompt_ids, pair.rejected_ids)], PAD)
        torch.testing.assert_close(row, response_logps(model, batch).detach())


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[False, False, False]], "no response token in row 0"),
        ([[True, True, False]], "true at position 0"),
    ],
)
def test_masks_without_a_predictable_response_are_refused(mask, message):
    ids = torch.tensor([[BOS, THE, GOOD]])
    with pytest.raises(ValueError, match=message):
        sequence_logps(torch.zeros(1, 3, 10), ids, torch.tensor(mask))


def test_mismatched_shapes_are_reported_by_name(unchecked_shapes):
    ids, mask = torch.tensor([[BOS, THE, GOOD]]), torch.tensor([[False, True, True]])
    with pytest.raises(ValueError, match=r"logits has shape \(1, 2, 10\), but input_ids has shape \(1, 3\)"):
        sequence_logps(torch.zeros(1, 2, 10), ids, mask)
    with pytest.raises(ValueError, match=r"response_mask has shape \(1, 2\)"):
        sequence_logps(torch.zeros(1, 3, 10), ids, mask[:, 1:])


def test_both_forms_agree_for_the_bundled_model_and_pairs():
    model, tokenizer = load_model("reviews-gpt2")
    pair = load_pairs("reviews-preferences", split="test")[0]
    prompt = tuple(tokenizer(pair.prompt)["input_ids"])
    response = tuple(tokenizer(pair.chosen, add_special_tokens=False)["input_ids"])
    batch = collate([(prompt, (*response, tokenizer.eos_token_id))], tokenizer.pad_token_id)
    with torch.no_grad():
        torch.testing.assert_close(response_logps(model, batch), textbook(model, batch), atol=1e-4, rtol=1e-5)


def test_token_logps_sum_to_the_pair_logps():
    model, pair = tiny_model(), TokenizedPair((BOS, THE, PLOT), (GOOD, EOS), (NOT, BAD, EOS))
    chosen, rejected = pair_token_logps(model, pair, PAD)
    assert (len(chosen), len(rejected)) == (2, 3)
    assert torch.stack([chosen.sum(), rejected.sum()]).tolist() == pytest.approx(
        pair_logps(model, [pair], PAD)[0].tolist(), abs=1e-5
    )
    first = model(torch.tensor([[BOS, THE, PLOT]])).logits[0, -1].log_softmax(dim=-1)  # the token after the prompt
    assert (chosen[0].item(), rejected[0].item()) == pytest.approx((first[GOOD].item(), first[NOT].item()), abs=1e-5)


def test_computing_logits_in_parts_gives_the_same_values_and_gradients(monkeypatch):
    found = []
    for at_once in (2**27, 30):  # all logits; three tokens with a vocabulary of ten
        monkeypatch.setattr(logps, "LOGITS_AT_ONCE", at_once)
        model = tiny_model().double()
        values = response_logps(model, collate(SEQUENCES, PAD))
        (values * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
        found.append((values.detach(), torch.cat([parameter.grad.flatten() for parameter in model.parameters()])))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)
    assert found[0][1].abs().max() > 0.1, "with a zero gradient, this test could not fail"


def test_logits_in_parts_are_recomputed_for_the_gradient(monkeypatch):
    monkeypatch.setattr(logps, "LOGITS_AT_ONCE", 30)
    model, rows = tiny_model(), []
    model.get_output_embeddings().register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    response_logps(model, collate(SEQUENCES, PAD)).sum().backward()
    assert rows == [3, 3, 1, 1, 3, 3], "seven tokens in three parts, each computed again for its gradient"


def test_the_body_runs_without_cudnns_attention(monkeypatch):
    enabled = []
    model = tiny_model()
    monkeypatch.setattr(
        model.transformer,
        "forward",
        lambda **_: enabled.append(torch.backends.cuda.cudnn_sdp_enabled()) or [torch.zeros(1, 3, 8)],
    )
    before = torch.backends.cuda.cudnn_sdp_enabled()
    logps.hidden_states(model.transformer, collate([([BOS], [GOOD, EOS])], PAD))
    assert (enabled, torch.backends.cuda.cudnn_sdp_enabled()) == ([False], before)

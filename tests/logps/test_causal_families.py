"""For every causal language model in `transformers`, the log-probabilities agree with those of its own logits."""

import pytest
import torch
import torch.nn.functional as F
from causal_families import FAMILIES, NOT_BUILT, REFUSED, VOCAB, tiny_family
from huggingface_hub.errors import StrictDataclassError
from tiny import tiny_tokenizer

from dpo_teach import logps
from dpo_teach.batches import TokenizedPair, collate_pairs, lay_out_pairs
from dpo_teach.evaluation import score_samples
from dpo_teach.logps import ResponseLogps, pair_logps, response_logits, response_logps, sequence_logps
from dpo_teach.models import load_model, takes_packed
from dpo_teach.models.checks import check_logits
from dpo_teach.rlhf import RewardModel, ValueModel
from dpo_teach.sampling import Sample

FAST = ("gpt2", "bert", "cohere", "gemma2", "granite", "llama4_text", "minicpm3", "nanochat", "opt")
"""One family for each way to compute logits from hidden states. The tests of the other families are slow."""

PAIRS = [
    TokenizedPair((3, 4, 5, 6), (7, 8, 9, 2), (10, 11, 2)),
    TokenizedPair((13, 14), (27, 18, 19, 20, 2), (12, 2)),
]


def textbook(model, batch):
    logits = model(**batch.model_inputs(), use_cache=False).logits
    return sequence_logps(logits, batch.input_ids, batch.response_mask)


def test_every_family_is_either_tested_or_listed_with_a_reason():
    assert set(NOT_BUILT) | set(REFUSED) | set(FAST) <= set(FAMILIES)
    assert not set(NOT_BUILT) & set(REFUSED)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in FAST else pytest.mark.slow)
        for family in FAMILIES
        if family not in NOT_BUILT and family not in REFUSED
    ],
)
def test_response_logps_equal_those_of_the_models_own_logits(family, monkeypatch):
    model, batch = tiny_family(family), collate_pairs(PAIRS, 0)
    with torch.no_grad():
        expected = textbook(model, batch)
        assert expected.min() < -12, "log-probabilities should have a realistic size"
        found = {"lean": response_logps(model, batch)}
        if takes_packed(model):
            found["packed"] = response_logps(model, lay_out_pairs(PAIRS, 0, packed=True))
        monkeypatch.setattr(logps, "LOGITS_AT_ONCE", 3 * VOCAB)  # three tokens at a time
        found["in parts"] = response_logps(model, batch)
    for values in found.values():
        torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)
    check_logits(family, model)


@pytest.mark.parametrize("family", sorted(REFUSED))
def test_an_unsupported_family_is_refused_with_a_one_line_error(family):
    with pytest.raises(ValueError, match=REFUSED[family]) as error:
        check_logits("model 'mine'", tiny_family(family))
    assert str(error.value).startswith("model 'mine': ")
    assert "\n" not in str(error.value)


def test_an_unsupported_model_is_refused_when_it_is_loaded(tmp_path):
    tiny_family("cpmant").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="CpmAntForCausalLM is not supported"):
        load_model(tmp_path)


def test_a_model_that_changes_its_logits_in_a_hook_is_refused():
    model = tiny_family("gpt2")
    model.register_forward_hook(lambda module, inputs, output: type(output)(logits=output.logits / 2))
    with pytest.raises(ValueError, match=r"GPT2LMHeadModel is not supported: .* differ from its own by up to \d"):
        check_logits("model 'mine'", model)


@pytest.mark.parametrize("family", sorted(NOT_BUILT))
def test_an_untested_family_cannot_be_built(family):
    with pytest.raises((ImportError, AttributeError, ValueError, StrictDataclassError)):
        tiny_family(family)


@pytest.mark.parametrize("family", FAST)
def test_gradients_equal_those_of_the_textbook_form(family, monkeypatch):
    model, batch = tiny_family(family).double(), collate_pairs(PAIRS, 0)
    weights = torch.tensor([1.0, -2.0, 0.5, 1.5])
    gradients = []
    for form in (textbook, response_logps, response_logps):
        model.zero_grad()
        (form(model, batch) * weights).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        if form is response_logps:
            monkeypatch.setattr(logps, "LOGITS_AT_ONCE", 3 * VOCAB)
    assert gradients[0].abs().max() > 0.1, "with a zero gradient, this test could not fail"
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAST)
def test_training_ppo_and_evaluation_use_the_same_logps(family):
    """Compare the logps of DPO's module, of the reference, of PPO's entropies and ratios, and of the evaluated KL."""
    model, batch = tiny_family(family), collate_pairs(PAIRS, 0)
    with torch.no_grad():
        expected = textbook(model, batch)
        logits, targets = response_logits(model, batch)
        token_logps = -F.cross_entropy(logits, targets, reduction="none")
        samples = [Sample(p.prompt_ids, p.chosen_ids) for p in PAIRS] + [
            Sample(p.prompt_ids, p.rejected_ids) for p in PAIRS
        ]
        found = {
            "training": ResponseLogps(model)(batch),
            "reference": pair_logps(model, PAIRS, 0).T.flatten(),
            "ppo": torch.zeros(4).index_add(0, batch.responses, token_logps),
            "evaluation": score_samples(model, samples, 0),
        }
    for values in found.values():
        torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAST)
def test_reward_and_value_models_support_every_kind_of_body(family):
    model, batch = tiny_family(family), collate_pairs(PAIRS, 0)
    assert RewardModel(model)(batch).tolist() == [0.0] * len(batch)
    assert ValueModel(model)(batch).tolist() == [0.0] * len(batch.targets)


def test_the_body_runs_once_and_hooks_of_the_model_do_not_run():
    """Hidden states are computed once, and the logits are computed from them without running the body again."""
    model, calls = tiny_family("gpt2"), []
    model.register_forward_hook(lambda *_: calls.append("model"))
    model.transformer.register_forward_hook(lambda *_: calls.append("body"))
    response_logps(model, collate_pairs(PAIRS, 0))
    assert calls == ["body"]


@pytest.mark.slow
def test_a_model_wrapped_by_torch_compile_gives_the_same_logps():
    model, batch = tiny_family("gemma2"), collate_pairs(PAIRS, 0)
    torch.testing.assert_close(response_logps(torch.compile(model), batch), response_logps(model, batch))

"""Loading models: which ones are refused and why, and the properties of a loaded model."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_model, tiny_tokenizer
from torch import nn
from transformers import BertConfig, BertForMaskedLM, MambaConfig, MambaForCausalLM

from dpo_teach.models import context_length, fitting_length, freeze_reference, fuse_gelu, load_model, switch_dropout_off
from dpo_teach.models.output import _AlignedLinear


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "model"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_loading_a_local_folder_returns_the_saved_model(saved):
    model, tokenizer = load_model(saved)
    torch.testing.assert_close(model.state_dict(), tiny_model().state_dict())
    assert tokenizer("the plot")["input_ids"] == tiny_tokenizer()("the plot")["input_ids"]
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_dropout_is_off_in_the_modules_and_in_the_configuration(saved):
    config = json.loads((saved / "config.json").read_text())
    config |= {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}
    (saved / "config.json").write_text(json.dumps(config))
    model, _ = load_model(saved)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.0}
    model.train()
    ids = torch.tensor([[1, 3, 4]])
    torch.testing.assert_close(model(ids).logits, model(ids).logits)
    assert model.config.attn_pdrop == 0.0


def test_switch_dropout_off_makes_outputs_deterministic():
    """Without it, the same input gives two different outputs, so the previous test can fail."""
    config = tiny_model().config
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.5
    noisy = type(tiny_model())(config).train()
    ids = torch.tensor([[1, 3, 4]])
    assert not torch.allclose(noisy(ids).logits, noisy(ids).logits)
    switch_dropout_off(noisy)
    torch.testing.assert_close(noisy(ids).logits, noisy(ids).logits)


def test_a_tokenizer_without_a_padding_token_gets_a_separate_one(saved):
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(saved)
    model, loaded = load_model(saved)
    assert loaded.pad_token_id != loaded.eos_token_id
    assert model.config.pad_token_id == loaded.pad_token_id < model.get_input_embeddings().num_embeddings


def test_the_reference_is_a_frozen_copy_in_eval_mode():
    policy = tiny_model().train()
    reference = freeze_reference(policy)
    assert not reference.training
    assert not any(p.requires_grad for p in reference.parameters())
    assert policy.training and all(p.requires_grad for p in policy.parameters())
    with torch.no_grad():
        policy.transformer.wte.weight.add_(1.0)
    torch.testing.assert_close(reference.state_dict(), tiny_model().state_dict())


def test_a_pickled_checkpoint_is_refused(saved):
    torch.save(load_file(saved / "model.safetensors"), saved / "pytorch_model.bin")
    (saved / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model\.bin holds its weights as a pickle"):
        load_model(saved)


def test_a_nan_in_a_weight_is_reported_with_its_name(saved):
    weights = load_file(saved / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.weight"][0, 3] = float("nan")
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 values of transformer\.h\.1\.mlp\.c_fc\.weight"):
        load_model(saved)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(saved):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["dull", "superb"])
    tokenizer.save_pretrained(saved)
    with pytest.raises(ValueError, match="the tokenizer has 12 tokens, but the model has embeddings for only 10"):
        load_model(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"n_layer": 3},
            r"config\.json expects weights for transformer\.h\.2\.attn\.c_attn\.bias and 11 more",
        ),
        (
            {"n_layer": 1},
            r"config\.json has no layer for the weights transformer\.h\.1\.attn\.c_attn\.weight and 10 more",
        ),
        (
            {"vocab_size": 8},
            r"weight transformer\.wte\.weight has shape \(10, 16\), but config\.json expects \(8, 16\)",
        ),
    ],
)
def test_a_configuration_that_does_not_match_the_weights_is_refused(saved, change, message, caplog):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        load_model(saved)
    assert caplog.text == ""  # the library does not print its table either


def test_extra_weights_from_another_task_are_ignored(saved):
    """A head for another task, and the masks that old GPT-2 checkpoints store with their weights."""
    weights = load_file(saved / "model.safetensors")
    extra = {"v_head.summary.weight": torch.ones(1, 16), "transformer.h.0.attn.bias": torch.ones(1, 1, 32, 32)}
    save_file(weights | extra, saved / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(load_model(saved).model.state_dict(), tiny_model().state_dict())


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    """From the configuration alone, `transformers` makes a tokenizer with only special tokens."""
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no tokenizer in this folder.*tokenizer\.save_pretrained\(folder\)"):
        load_model(tmp_path)


def test_a_model_that_is_not_causal_is_refused(tmp_path):
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=10,
                        initializer_range=1.0)  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="BertLMHeadModel is not a causal language model"):
        load_model(tmp_path)


def test_a_model_without_a_context_length_is_refused():
    with pytest.raises(ValueError, match=r"MambaForCausalLM has no context length"):
        context_length(endless())


def test_max_length_replaces_a_missing_context_length():
    assert fitting_length(100, endless()) == 100
    with pytest.raises(ValueError, match="has no context length"):
        fitting_length(None, endless())
    with pytest.raises(ValueError, match="longer than the model's context of 32 tokens"):
        fitting_length(100, endless(), tiny_model())


def endless():
    """A Mamba model, which has no maximum sequence length."""
    return MambaForCausalLM(MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=10))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_weights_of_a_wrapped_model_are_refused(saved, wrapper):
    weights = {wrapper + name: weight for name, weight in load_file(saved / "model.safetensors").items()}
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"such as {wrapper}transformer\S+ .*wrapped by DDP or torch.compile"):
        load_model(saved)


def test_a_truncated_weight_file_gives_a_one_line_error(saved):
    data = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="could not be read") as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/folder", "found nothing"),
        ("weights.bin", "found nothing"),
        ("gpt2", "HF_HUB_OFFLINE is set"),
        ("foo bar", "not a valid id on the Hugging Face Hub"),
    ],
)
def test_the_error_for_a_missing_model_depends_on_its_name(name, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def test_the_error_for_a_folder_without_a_model_lists_its_files(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"no config\.json in this folder, found notes\.txt"):
        load_model(tmp_path)


@pytest.mark.slow
def test_a_hub_name_without_a_network_reports_that_the_hub_is_not_reachable(tmp_path):
    """Runs in a separate process, because the other tests use offline mode. No server listens at the endpoint."""
    code = "from dpo_teach.models import load_model\nload_model('gpt2')"
    env = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the Hugging Face Hub is not reachable" in done.stderr.splitlines()[-1]


def test_the_bundled_model_has_the_documented_size():
    model, tokenizer = load_model("reviews-gpt2")
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert model.num_parameters() <= 4_000_000
    assert model.config.n_positions >= 512
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_the_fused_activation_is_the_same_function_with_the_same_gradient():
    spelled_out, fused = tiny_model().double(), fuse_gelu(tiny_model().double())
    assert [type(block.mlp.act).__name__ for block in fused.transformer.h] == ["GELUTanh"] * 2
    assert {type(block.mlp.act).__name__ for block in spelled_out.transformer.h} == {"NewGELUActivation"}
    found = []
    for model in (spelled_out, fused):
        logits = model(torch.tensor([[1, 3, 4, 5, 8, 6, 2]])).logits
        logits.square().sum().backward()
        found.append((logits.detach(), model.transformer.h[0].mlp.c_fc.weight.grad))
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-10)


def test_a_loaded_model_is_fused_by_default_and_saved_with_its_own_activation(saved, tmp_path):
    model, _ = load_model(saved)
    assert type(model.transformer.h[0].mlp.act).__name__ == "GELUTanh"
    assert type(load_model(saved, fuse=False).model.transformer.h[0].mlp.act).__name__ == "NewGELUActivation"
    model.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["activation_function"] == "gelu_new"


@pytest.mark.parametrize("bias", [True, False])
def test_an_aligned_layer_has_the_same_outputs_and_gradients(bias):
    torch.manual_seed(0)
    layer, states = nn.Linear(8, 70, bias=bias), torch.randn(3, 8)
    aligned = _AlignedLinear.of(layer)
    assert aligned.weight.shape == (128, 8), "70 outputs are computed as 128"
    gradients = []
    for module in (layer, aligned):
        layer.zero_grad()
        outputs = module(states)
        outputs.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
        torch.testing.assert_close(outputs, layer(states))
    torch.testing.assert_close(*gradients)

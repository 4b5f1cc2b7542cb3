"""Results on a GPU equal those on the CPU. Without a GPU, the tests use the CPU, and then comparisons with the CPU show
only that the code runs.

`python -m benchmarks.gpu checks` runs these tests on a GPU. Its results include the lines that begin with "measured:".
"""

import copy
import gc
import random

import numpy as np
import pytest
import torch

from dpo_teach.batches import collate_pairs, lay_out_pairs, pack_pairs, tokenize_pairs
from dpo_teach.evaluation import evaluate_pairs
from dpo_teach.logps import ResponseLogps, pair_logps, response_logps
from dpo_teach.losses import compute_dpo_loss
from dpo_teach.models import compiled_layers, load_model
from dpo_teach.pairs import load_pairs
from dpo_teach.runs.state import random_state, restore_random_state
from dpo_teach.sampling import sample_responses
from dpo_teach.training import DPOConfig, DPOTrainer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
BF16_NATS_PER_TOKEN = 0.005
"""Maximum mean error of a log-probability in bfloat16, over the tokens of a response."""


@pytest.fixture(scope="module")
def world():
    """The bundled policy and its base model on the CPU, their tokenizer, and 48 held-out pairs (text and ids)."""
    policy, tokenizer = load_model("reviews-gpt2-dpo")
    base, _ = load_model("reviews-gpt2")
    pairs = load_pairs("reviews-preferences", split="test")[:48]
    return policy, base, tokenizer, pairs, tokenize_pairs(pairs, tokenizer, max_length=512).pairs


def on_device(model):
    return copy.deepcopy(model).to(DEVICE)


def measured(text):
    print(f"measured: {text}")


@pytest.mark.parametrize("packed", [True, False])
def test_logps_and_loss_on_the_device_equal_those_on_the_cpu(world, packed):
    policy, base, tokenizer, _, tokens = world
    pad = tokenizer.pad_token_id
    found = {}
    for place, models in {"cpu": (policy, base), "device": (on_device(policy), on_device(base))}.items():
        found[place] = [pair_logps(model, tokens, pad, packed=packed) for model in models]
    for cpu, device in zip(found["cpu"], found["device"], strict=True):
        torch.testing.assert_close(device, cpu, atol=1e-4, rtol=0)
    losses = {place: compute_dpo_loss(*ours.T, *theirs.T, beta=0.3) for place, (ours, theirs) in found.items()}
    torch.testing.assert_close(losses["device"], losses["cpu"], atol=1e-5, rtol=0)
    worst = (found["device"][0] - found["cpu"][0]).abs().max()
    measured(f"float32, packed={packed}: summed logps at most {worst:.1e} nats from the CPU's")


def test_bfloat16_arithmetic_stays_near_float32(world):
    policy, _, tokenizer, _, tokens = world
    model = on_device(policy)
    lengths = torch.tensor([[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in tokens])
    exact = pair_logps(model, tokens, tokenizer.pad_token_id)
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        rough = pair_logps(model, tokens, tokenizer.pad_token_id)
    per_token = (rough - exact).abs() / lengths
    measured(f"bfloat16: {(rough - exact).abs().max():.2f} nats a response at most, {per_token.mean():.4f} a token")
    assert 0 < per_token.mean() < BF16_NATS_PER_TOKEN
    assert (rough - exact).abs().max() < 0.5, (
        "a larger error could change which of two similar responses is more likely"
    )


def gradients(model, batch, weights):
    model.zero_grad()
    values = response_logps(model, batch.to(DEVICE))
    (values * weights).sum().backward()
    return values.detach().cpu(), torch.cat([parameter.grad.flatten().cpu() for parameter in model.parameters()])


def test_packed_and_padded_batches_agree_in_value_and_gradient(world):
    policy, _, tokenizer, _, tokens = world
    model, pad = on_device(policy), tokenizer.pad_token_id
    weights = torch.linspace(-1, 1, 2 * len(tokens), device=DEVICE) / len(tokens)
    padded = gradients(model, collate_pairs(tokens[:], pad), weights)
    packed = gradients(model, pack_pairs(tokens[:], pad), weights)
    torch.testing.assert_close(packed[0], padded[0], atol=1e-4, rtol=0)
    scale = padded[1].abs().max()
    assert (packed[1] - padded[1]).abs().max() < 1e-4 * scale
    assert scale > 1e-3, "with a zero gradient, this test could not fail"


def test_padding_needs_no_mask(world):
    """Causal models do not see padding on the right, so the log-probabilities are those of each text alone."""
    policy, _, tokenizer, _, tokens = world
    model, pad = on_device(policy), tokenizer.pad_token_id
    with torch.no_grad():
        together = response_logps(model, collate_pairs(tokens[:8], pad).to(DEVICE))
        alone = [response_logps(model, collate_pairs([pair], pad).to(DEVICE)) for pair in tokens[:8]]
    torch.testing.assert_close(together.unflatten(0, (2, 8)).T, torch.stack(alone), atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False])
def test_compiled_layers_give_the_same_results_and_are_restored(world, packed):
    policy, _, tokenizer, _, tokens = world
    model, pad = on_device(policy), tokenizer.pad_token_id
    weights = torch.ones(8, device=DEVICE)
    plain = [gradients(model, lay_out_pairs(tokens[at : at + 4], pad, packed=packed), weights) for at in (0, 4)]
    with compiled_layers(model):
        assert all(layer._compiled_call_impl is not None for layer in model.transformer.h)
        compiled = [gradients(model, lay_out_pairs(tokens[at : at + 4], pad, packed=packed), weights) for at in (0, 4)]
    assert all(layer._compiled_call_impl is None for layer in model.transformer.h)
    for (values, gradient), (found, of_found) in zip(plain, compiled, strict=True):
        torch.testing.assert_close(found, values, atol=1e-4, rtol=0)
        assert (of_found - gradient).abs().max() < 1e-4 * gradient.abs().max()


def run(world, folder, steps, *, resume=False, stop_after=None):
    """Train for some steps on the device. With `stop_after`, the run is interrupted after that step."""
    _, base, tokenizer, pairs, _ = world

    def look(row):
        if row["step"] == stop_after:
            raise KeyboardInterrupt

    config = DPOConfig(beta=0.3, learning_rate=5e-4, batch_size=8, max_steps=steps, save_every=2, precision="fp32")
    trainer = DPOTrainer(copy.deepcopy(base), tokenizer, pairs, config, output=folder, on_step=look)
    try:
        trainer.train(resume=resume)
    except KeyboardInterrupt:
        assert stop_after
    return trainer


@pytest.fixture
def deterministic():
    """Use sums in a fixed order. On a GPU, the order of atomic additions varies, which changes the last bits."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_a_resumed_run_gives_bit_identical_results(world, tmp_path, deterministic):
    whole = run(world, tmp_path / "whole", 6)
    run(world, tmp_path / "parts", 6, stop_after=3)
    resumed = run(world, tmp_path / "parts", 6, resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert [row["loss"] for row in resumed.metrics] == [row["loss"] for row in whole.metrics]


def test_two_runs_without_deterministic_algorithms_are_close(world, tmp_path):
    first, second = (run(world, tmp_path / name, 6) for name in "ab")
    difference = max(abs(a["loss"] - b["loss"]) for a, b in zip(first.metrics, second.metrics, strict=True))
    measured(f"two runs with PyTorch's default algorithms: losses differ by at most {difference:.1e}")
    assert difference < 1e-4


def test_random_states_are_restored():
    state = random_state(DEVICE)
    draw = lambda: (random.random(), np.random.rand(), torch.rand(3), torch.rand(3, device=DEVICE).cpu())  # noqa: E731
    before = draw()
    restore_random_state(state, DEVICE)
    after = draw()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2]) and torch.equal(before[3], after[3])


def test_memory_is_freed_after_a_run(world, tmp_path):
    def held():
        gc.collect()
        return torch.cuda.memory_allocated() if ON_GPU else 0

    run(world, tmp_path / "warm", 2)  # libraries allocate workspaces on first use and keep them
    before = held()
    trainer = run(world, tmp_path / "run", 2)
    during = held()
    del trainer
    measured(f"a run of the bundled model holds {(during - before) / 1e6:.0f} MB, and {(held() - before) / 1e6:.1f} "
             "MB after it is deleted")  # fmt: skip
    assert held() - before < 1e6


def test_responses_are_sampled_on_the_device(world):
    """At a temperature near 0, responses are the most likely ones and do not depend on the device's random numbers."""
    policy, _, tokenizer, pairs, _ = world
    prompts = [pair.prompt for pair in pairs[:16]]
    settings = {"max_new_tokens": 40, "temperature": 1e-4, "seed": 0}
    on_cpu = sample_responses(policy, tokenizer, prompts, **settings)
    found = sample_responses(on_device(policy), tokenizer, prompts, **settings)
    assert sum(a == b for a, b in zip(found, on_cpu, strict=True)) >= 15, "one near-tie may be decided differently"
    assert all(found)
    drawn = [sample_responses(on_device(policy), tokenizer, prompts, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_evaluation_of_pairs_on_the_device(world):
    policy, base, tokenizer, pairs, _ = world
    cpu = evaluate_pairs(policy, base, tokenizer, pairs, beta=0.3)
    found = evaluate_pairs(on_device(policy), on_device(base), tokenizer, pairs, beta=0.3)
    assert found.loss == pytest.approx(cpu.loss, abs=1e-4)
    assert found.preference_accuracy == pytest.approx(cpu.preference_accuracy, abs=1 / len(pairs))


def test_response_logps_under_autocast_are_float32(world):
    """The module that accelerate wraps returns float32 log-probabilities on the device, as in a training run."""
    policy, _, tokenizer, _, tokens = world
    module = ResponseLogps(on_device(policy))
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        values = module(pack_pairs(tokens[:4], tokenizer.pad_token_id).to(DEVICE))
    assert values.dtype == torch.float32 and values.device.type == DEVICE.type and values.isfinite().all()

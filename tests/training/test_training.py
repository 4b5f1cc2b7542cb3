"""The trainer: the trajectory of a run, resumption, and early errors for common mistakes."""

import json
import math
import warnings

import pytest
import torch
from tiny import PAD, tiny_model, tiny_pairs, tiny_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from dpo_teach.batches import TruncationStats, collate, collate_pairs, split_pairs
from dpo_teach.evaluation import evaluate_pairs
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import compute_dpo_loss
from dpo_teach.models import freeze_reference
from dpo_teach.pairs import PreferencePair
from dpo_teach.training import DPOConfig, DPOTrainer, Example, SFTConfig, SFTTrainer, learning_rate_at

SETTINGS = {"batch_size": 8, "learning_rate": 1e-2, "epochs": 2, "length_window": 8, "save_every": 0}
REPORTED = ("loss", "margin", "chosen_logps", "rejected_logps", "grad_norm")


def train(model=None, *, pairs=None, output=None, resume=False, on_step=None, reference=None, **changes):
    trainer = DPOTrainer(
        model if model is not None else tiny_model(),
        tiny_tokenizer(),
        tiny_pairs() if pairs is None else pairs,
        DPOConfig(**{**SETTINGS, **changes}),
        eval_pairs=tiny_pairs(6, seed=1),
        output=output,
        on_step=on_step,
        reference=reference,
    )
    return trainer, trainer.train(resume=resume)


def assert_same(ones, others, tolerance=1e-5):
    assert [row["step"] for row in ones] == [row["step"] for row in others]
    for one, other in zip(ones, others, strict=True):
        for name in REPORTED:
            assert one[name] == pytest.approx(other[name], rel=tolerance, abs=tolerance), (one["step"], name)


def test_the_trainer_agrees_with_the_loop_of_the_notebook():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    trainer = DPOTrainer(tiny_model(), tokenizer, tiny_pairs(), DPOConfig(**SETTINGS))
    reference = pair_logps(model, trainer.pairs, PAD)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    losses = []
    plan = trainer.plan()
    for step, indices in enumerate(plan):
        batch = collate_pairs([trainer.pairs[i] for i in indices], PAD)
        chosen, rejected = split_pairs(response_logps(model, batch))
        loss = compute_dpo_loss(chosen, rejected, reference[indices, 0], reference[indices, 1], beta=0.1)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, total_steps=len(plan), peak=1e-2)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    metrics = trainer.train()
    assert [row["loss"] for row in metrics] == pytest.approx(losses, abs=1e-5)
    assert losses[-1] < losses[0] - 0.3, "if the loss did not fall, this test could not fail"


def test_the_loss_starts_at_ln_2_and_the_first_gradient_is_not_zero():
    _, metrics = train()
    assert metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics[0]["grad_norm"] > 0.1


def test_training_learns_the_held_out_preferences():
    _, metrics = train(epochs=4)
    assert metrics[-1]["eval_preference_accuracy"] == 1.0
    assert metrics[-1]["eval_loss"] < 0.5
    assert metrics[-1]["eval_chosen_rewards"] - metrics[-1]["eval_rejected_rewards"] == pytest.approx(
        metrics[-1]["eval_margin"], abs=1e-5
    )


def test_the_reference_stays_at_the_initial_policy():
    trainer, _ = train()
    start = pair_logps(tiny_model(), trainer.pairs, PAD)
    torch.testing.assert_close(trainer.reference_logps, start)
    assert not torch.allclose(pair_logps(trainer.model, trainer.pairs, PAD), start, atol=0.5)


def test_a_different_reference_can_be_passed():
    _, metrics = train(reference=tiny_model(seed=1))
    assert abs(metrics[0]["loss"] - math.log(2)) > 1e-3


class Killed(Exception):
    """Stands for any event that ends a run early."""


def kill_after(step):
    def on_step(row):
        if row["step"] == step:
            raise Killed

    return on_step


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [1, 2, 3, 5])
def test_a_killed_run_resumes_with_the_results_of_an_uninterrupted_run(tmp_path, killed_after):
    straight, expected = train(output=tmp_path / "straight", save_every=2)
    with pytest.raises(Killed):
        train(output=tmp_path / "killed", save_every=2, on_step=kill_after(killed_after))
    resumed, found = train(output=tmp_path / "killed", save_every=2, resume=True)
    assert_same(found, expected, tolerance=0)
    torch.testing.assert_close(resumed.model.state_dict(), straight.model.state_dict(), rtol=0, atol=0)
    for name in ("killed", "straight"):
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_a_trained_model_loads_in_transformers(tmp_path):
    trainer, _ = train(output=tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(model.state_dict(), trainer.model.state_dict())
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("the plot")["input_ids"] == [1, 3, 4]
    written = pipeline("text-generation", model=str(tmp_path / "out"))("the plot was", max_new_tokens=2)
    assert written[0]["generated_text"].startswith("the plot was")


def test_an_output_folder_that_is_not_empty_is_refused_and_not_changed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not empty"):
        train(output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_resuming_needs_a_checkpoint_and_the_same_settings(tmp_path):
    with pytest.raises(ValueError, match="has no run to resume"):
        train(output=tmp_path / "out", resume=True)
    train(output=tmp_path / "out", max_steps=2)
    with pytest.raises(ValueError, match=r"other settings: .*beta was 0\.1 and is now 0\.2"):
        train(output=tmp_path / "out", max_steps=2, beta=0.2, resume=True)


def test_resuming_with_other_pairs_is_refused(tmp_path):
    train(output=tmp_path / "out", max_steps=2)
    with pytest.raises(ValueError, match=r"because the data \(.*\) changed"):
        train(output=tmp_path / "out", max_steps=2, pairs=tiny_pairs(seed=5), resume=True)


def test_the_policy_as_its_own_reference_is_refused_before_training():
    model = tiny_model()
    with pytest.raises(ValueError, match=r"reference is the same object as the policy.*0\.6931"):
        DPOTrainer(model, tiny_tokenizer(), tiny_pairs(), reference=model)
    DPOTrainer(model, tiny_tokenizer(), tiny_pairs(), reference=freeze_reference(model))


def test_a_frozen_policy_is_refused_before_training():
    with pytest.raises(ValueError, match="no trainable weight"):
        DPOTrainer(freeze_reference(tiny_model()), tiny_tokenizer(), tiny_pairs())


def test_a_policy_that_does_not_change_gives_a_warning():
    with pytest.warns(UserWarning, match=r"still ln 2 = 0\.6931 after 10 steps.*learning_rate=1e-12"):
        train(epochs=4, learning_rate=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(epochs=4)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("beta", 0), ("beta", -0.1), ("beta", math.nan), ("beta", math.inf), ("learning_rate", 0.0),
        ("learning_rate", math.nan), ("batch_size", 0), ("epochs", 0), ("max_steps", 0), ("micro_batch_size", -1),
        ("warmup_fraction", 1.0), ("max_grad_norm", 0.0), ("save_every", -1), ("weight_decay", math.nan),
    ],
)  # fmt: skip
def test_invalid_settings_are_reported_by_name(setting, value, unchecked_shapes):
    with pytest.raises(ValueError, match=f"^{setting} must be .*found {value}"):
        DPOConfig(**{setting: value})


def test_a_max_length_beyond_the_context_is_refused():
    with pytest.raises(ValueError, match="max_length=64 is longer than the model's context of 32"):
        DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(), DPOConfig(max_length=64))


def test_metrics_have_one_line_per_step_with_all_documented_fields(tmp_path):
    train(output=tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    promised = {"step", "loss", "margin", "preference_accuracy", "chosen_logps", "rejected_logps", "chosen_rewards",
                "rejected_rewards", "learning_rate", "tokens", "seconds"}  # fmt: skip
    assert len(rows) == 6
    assert all(promised <= set(row) for row in rows)


def test_sft_raises_the_probability_of_the_responses_and_starts_at_their_mean_loss():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    examples = [Example(pair.prompt, pair.chosen) for pair in tiny_pairs()]
    trainer = SFTTrainer(model, tokenizer, examples, SFTConfig(**SETTINGS | {"epochs": 6}), eval_examples=examples[:5])
    first = trainer.plan()[0]
    tokenized = [trainer.examples[i] for i in first]
    with torch.no_grad():
        expected = -response_logps(tiny_model(), collate(tokenized, PAD)).sum() / sum(len(r) for _, r in tokenized)
    metrics = trainer.train()
    assert metrics[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert metrics[-1]["eval_loss"] < metrics[0]["loss"] / 2


DIVERGING = {"learning_rate": 1e30, "warmup_fraction": 0.0, "schedule": "constant", "max_grad_norm": 1e30, "epochs": 1}


def test_a_nan_loss_is_reported_with_its_step_and_rows():
    """The first update breaks the weights. The training loop detects it, because the loss does not check logps."""
    with pytest.raises(
        ValueError, match=r"^step 2: the loss is not finite \(nan\); .* rows of this step: pair \d+; .*learning_rate"
    ):
        train(**DIVERGING)


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_a_model_broken_by_the_last_step_is_not_saved(tmp_path, kind):
    settings = {**SETTINGS, **DIVERGING, "max_steps": 1}
    if kind == "dpo":
        trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(), DPOConfig(**settings), output=tmp_path)
    else:
        examples = [Example(pair.prompt, pair.chosen) for pair in tiny_pairs()]
        trainer = SFTTrainer(tiny_model(), tiny_tokenizer(), examples, SFTConfig(**settings), output=tmp_path)
    with pytest.raises(ValueError, match=r"^after step 1: the loss is not finite .* there is no checkpoint yet"):
        trainer.train()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_nan_evaluation_is_reported_with_its_step():
    with pytest.raises(ValueError, match=r"^after step 1: eval_loss is not finite"):
        train(**DIVERGING, eval_every=1)


def test_checking_the_loss_after_the_last_step_does_not_change_weights(monkeypatch):
    monkeypatch.setattr(DPOTrainer, "_loss_after_last_step", lambda *_: 0.0)
    without_check, _ = train()
    monkeypatch.undo()
    with_check, _ = train()
    torch.testing.assert_close(with_check.model.state_dict(), without_check.model.state_dict(), rtol=0, atol=0)


def test_the_vocabulary_and_context_of_the_reference_are_checked():
    few = tiny_model()
    few.resize_token_embeddings(8)
    with pytest.raises(
        ValueError, match=r"^reference: the tokenizer has 10 tokens, but the model has embeddings for only 8"
    ):
        train(reference=few)
    trainer, _ = train(reference=tiny_model(1, context=20), max_steps=1)
    assert trainer.max_length == 20
    with pytest.raises(ValueError, match="max_length=32 is longer than the model's context of 20 tokens"):
        train(reference=tiny_model(1, context=20), max_length=32)


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_truncated_prompts_and_responses_are_counted(kind):
    """Prompts of 3 or 6 tokens and responses of 2 or 5 tokens, limited to 6 tokens in all and 3 tokens of prompt."""
    texts = [
        ("the plot", "good", "bad"),
        ("the plot was very very", "good", "bad"),
        ("the", "very very very very", "bad"),
    ]
    settings = {"max_length": 6, "max_prompt_length": 3}
    if kind == "dpo":
        pairs = [PreferencePair(*text) for text in texts]
        stats = DPOTrainer(tiny_model(), tiny_tokenizer(), pairs, DPOConfig(**settings)).tokenized.truncation
    else:
        examples = [Example(prompt, chosen) for prompt, chosen, _ in texts]
        stats = SFTTrainer(tiny_model(), tiny_tokenizer(), examples, SFTConfig(**settings)).truncation
    assert stats == TruncationStats(prompts=1, responses=1, dropped=0)


def test_saved_tensors_have_the_permissions_of_the_other_files(tmp_path):
    """safetensors creates files that only their owner can read, but a class shares its files."""
    train(output=tmp_path / "run", max_steps=2)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert (
        modes["model.safetensors"] == modes["optimizer.safetensors"] == modes["config.json"] == modes["metrics.jsonl"]
    )


def test_a_tokenizer_without_a_padding_token_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match=r"^tokenizer has no padding token, .*load_model"):
        DPOTrainer(tiny_model(), tokenizer, tiny_pairs())
    with pytest.raises(ValueError, match=r"^tokenizer has no padding token"):
        evaluate_pairs(tiny_model(), tiny_model(1), tokenizer, tiny_pairs())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_training_half_precision_weights_is_refused(dtype):
    with pytest.raises(
        ValueError, match=f"^model has weights in {str(dtype)[6:]} .transformer.wte.weight.*load it in float32"
    ):
        DPOTrainer(tiny_model().to(dtype), tiny_tokenizer(), tiny_pairs())


@pytest.mark.parametrize("role", ["model", "reference"])
def test_a_model_that_changes_its_logits_in_a_hook_is_refused(role):
    """Training computes logits from hidden states, so its log-probabilities would differ from those of the model."""
    halved = tiny_model()
    halved.register_forward_hook(lambda module, inputs, output: type(output)(logits=output.logits / 2))
    models = {"model": tiny_model(), role: halved}
    with pytest.raises(ValueError, match=f"^{role}: GPT2LMHeadModel is not supported: logits"):
        DPOTrainer(models["model"], tiny_tokenizer(), tiny_pairs(), reference=models.get("reference"))


def dropout_everywhere():
    """Return a model in train mode with a high dropout probability in all dropout layers of GPT-2."""
    model = tiny_model().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.config.resid_pdrop = model.config.embd_pdrop = model.config.attn_pdrop = 0.5
    return model


@pytest.mark.parametrize("precompute", [True, False])
def test_dropout_is_switched_off(precompute):
    """With dropout, the first loss of this run would be 0.8 or more."""
    metrics = train(dropout_everywhere(), precompute_reference=precompute)[1]
    assert metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert metrics[0]["margin"] == pytest.approx(0, abs=1e-5)
    assert_same(metrics, train(precompute_reference=precompute)[1], tolerance=0)


def test_dropout_of_the_reference_is_switched_off():
    reference = dropout_everywhere()
    assert_same(train(reference=reference, precompute_reference=False)[1], train(precompute_reference=False)[1], 0)


def test_dropout_is_switched_off_in_fine_tuning():
    examples = [Example(pair.prompt, pair.chosen) for pair in tiny_pairs()]
    losses = [
        [row["loss"] for row in SFTTrainer(model, tiny_tokenizer(), examples, SFTConfig(**SETTINGS)).train()]
        for model in (dropout_everywhere(), tiny_model())
    ]
    assert losses[0] == losses[1]


def test_an_infinite_logp_is_reported_even_if_the_loss_is_finite():
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(), DPOConfig(**SETTINGS))
    response_logps = trainer.response_logps

    def impossible_rejected(batch):
        chosen, rejected = split_pairs(response_logps(batch))
        return torch.cat([chosen, rejected * math.inf])

    trainer.response_logps = impossible_rejected
    with pytest.raises(ValueError, match=r"^step 1: margin is not finite \(inf\);"):
        trainer.train()


class ReadsFromDevice(TorchDispatchMode):
    """Counts calls such as `item()`, `float(tensor)` and `if tensor`, which make the CPU wait for the GPU."""

    count = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        self.count += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*arguments, **(options or {}))


def test_the_loss_does_not_wait_for_the_device():
    trainer = DPOTrainer(tiny_model(), tiny_tokenizer(), tiny_pairs(), DPOConfig(**SETTINGS))
    loss, counts = trainer.loss, []

    def counted(indices):
        with ReadsFromDevice() as reads:
            found = loss(indices)
        counts.append(reads.count)
        return found

    trainer.loss = counted
    trainer.train()
    assert counts == [0] * 7, "six steps, and the check of the loss after the last step"

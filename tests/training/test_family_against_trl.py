"""Each loss that TRL 1.16 has gives the same loss on the same batches, and the same twenty steps of training.

Two losses are compared with a documented difference removed: TRL averages the supervised term of `rpo` over the tokens
of the whole batch, so the chosen responses have equal lengths here; TRL's `orpo` also trains on the prompt, so its
supervised term is replaced. TRL has no `ipo` that sums over tokens. It has label smoothing for the plain sigmoid only
in its trainer without a reference, whose loss function is called here with log-ratios. Needs the extra `bench`.
"""

from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_model, tiny_pairs, tiny_tokenizer

from dpo_teach.loss_family import LOSSES, PairLogps, compute_losses
from dpo_teach.pairs import PreferencePair
from dpo_teach.training import DPOConfig, DPOTrainer

pytestmark = pytest.mark.slow
trl = pytest.importorskip("trl", minversion="1.16")

STEPS, BATCH = 20, 8
SAME_LOSS, SAME_TRAJECTORY = 1e-6, 1e-5

# name: (our settings, the settings of TRL's trainer)
DPO = {
    "sigmoid": ({"beta": 0.3}, {"loss_type": "sigmoid"}),
    "robust": ({"beta": 0.3, "label_smoothing": 0.2}, {"loss_type": "robust", "label_smoothing": 0.2}),
    "hinge": ({"beta": 0.3}, {"loss_type": "hinge"}),
    "ipo_mean": ({"beta": 0.5}, {"loss_type": "ipo"}),
    "sigmoid_norm": ({"beta": 2.0}, {"loss_type": "sigmoid_norm"}),
    "apo_zero": ({"beta": 0.3}, {"loss_type": "apo_zero"}),
    "apo_down": ({"beta": 0.3}, {"loss_type": "apo_down"}),
    "rpo": ({"beta": 0.3, "sft_weight": 0.5}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}),
}
CPO = {
    "simpo": ({"beta": 2.0, "gamma": 0.8}, {"loss_type": "simpo", "simpo_gamma": 0.8, "cpo_alpha": 0.0}),
    "orpo": ({"beta": 0.3}, {}),
}
KTO = {"kto": ({"beta": 0.3}, {"loss_type": "kto"})}


def make_pairs(name):
    pairs = tiny_pairs(STEPS * BATCH, seed=3)
    if name == "rpo":
        return [PreferencePair(one.prompt, "very good", one.rejected) for one in pairs]
    return pairs


def own_trainer(name, settings, reference):
    config = DPOConfig(loss=name, batch_size=BATCH, learning_rate=1e-3, schedule="constant", warmup_fraction=0.0,
                       save_every=0, length_window=1, **settings)  # fmt: skip
    if not LOSSES[name].needs_reference:
        reference = None
    return DPOTrainer(tiny_model(), tiny_tokenizer(), make_pairs(name), config, reference=reference)


def common(tmp_path, settings, *, batch=BATCH):
    return {"output_dir": str(tmp_path), "learning_rate": 1e-3, "lr_scheduler_type": "constant", "adam_beta2": 0.99,
            "max_steps": STEPS, "per_device_train_batch_size": batch, "train_sampling_strategy": "sequential",
            "gradient_checkpointing": False, "bf16": False, "fp16": False, "report_to": "none", "logging_steps": 1,
            "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False, "use_cpu": True,
            "max_length": 32, **settings}  # fmt: skip


def recording(trainer_class):
    """The trainer with its losses in full precision, because the log may round them."""

    class Recording(trainer_class):
        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.losses = [*getattr(self, "losses", []), loss.item()]
            return loss

    return Recording


def trl_trainer(name, settings, reference, rows, tmp_path):
    from datasets import Dataset

    models = {"model": tiny_model(), "processing_class": tiny_tokenizer()}
    if name in DPO:
        args = trl.DPOConfig(**common(tmp_path, settings))
        return recording(trl.DPOTrainer)(
            **models, ref_model=reference, args=args, train_dataset=Dataset.from_list(rows)
        )
    if name in KTO:
        args = trl.KTOConfig(**common(tmp_path, settings, batch=2 * BATCH))
        unpaired = [
            {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for start in range(0, len(rows), BATCH)
            for side in ("chosen", "rejected")
            for row in rows[start : start + BATCH]
        ]
        data = Dataset.from_list(unpaired)
        return recording(trl.KTOTrainer)(**models, ref_model=reference, args=args, train_dataset=data)
    if name == "simpo":
        from trl.experimental.cpo import CPOConfig as Config
        from trl.experimental.cpo import CPOTrainer as Trainer
    else:
        from trl.experimental.orpo import ORPOConfig as Config
        from trl.experimental.orpo import ORPOTrainer

        class Trainer(ORPOTrainer):
            """The supervised term covers only the response, and each response counts the same."""

            def concatenated_forward(self, model, batch):
                chosen_logps, *others = super().concatenated_forward(model, batch)
                return chosen_logps, *others[:3], -chosen_logps.mean()

    return recording(Trainer)(
        **models, args=Config(**common(tmp_path, settings)), train_dataset=Dataset.from_list(rows)
    )


@pytest.mark.parametrize("name", [*DPO, *CPO, *KTO])
def test_twenty_steps_agree_with_trl(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    own_settings, trl_settings = (DPO | CPO | KTO)[name]
    reference = tiny_model(seed=1)
    own = own_trainer(name, own_settings, reference)
    pairs = make_pairs(name)
    rows = [{"prompt": pairs[i].prompt, "chosen": f" {pairs[i].chosen}", "rejected": f" {pairs[i].rejected}"}
            for step in own.plan() for i in step]  # fmt: skip
    beta = {"beta": own_settings["beta"]}
    other = trl_trainer(name, trl_settings | beta, tiny_model(seed=1), rows, tmp_path)
    metrics = own.train()
    other.train()
    losses = [row["loss"] for row in metrics]
    assert len(losses) == len(other.losses) == STEPS
    first = abs(losses[0] - other.losses[0])
    later = max(abs(a - b) for a, b in zip(losses, other.losses, strict=True))
    print(f"{name}: first loss {first:.1e}, all {later:.1e}; loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    assert first <= SAME_LOSS
    assert later <= SAME_TRAJECTORY
    assert abs(losses[-1] - losses[0]) > 0.01, "if the loss did not change, this test could not fail"
    if name == "kto":
        assert max(row["mismatched_kl"] for row in metrics) > 0.1, "with z0 = 0, this test could not see it"


def test_label_smoothing_agrees_with_trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.cpo import CPOTrainer

    torch.manual_seed(0)
    policy, reference, lengths = 3 * torch.randn(64, 2) - 40, 3 * torch.randn(64, 2) - 40, torch.ones(64, 2)
    settings = {"beta": 0.3, "label_smoothing": 0.2}
    trainer = SimpleNamespace(alpha=0.0, loss_type="sigmoid", accelerator=SimpleNamespace(device="cpu"), **settings)
    expected, _, _ = CPOTrainer.cpo_loss(trainer, *(policy - reference).unbind(dim=1))
    found = compute_losses(PairLogps.from_columns(policy, reference, lengths), "sigmoid", **settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=SAME_LOSS)

"""The public names of `dpo_teach`, which are imported without importing torch."""

import subprocess
import sys

import dpo_teach
import dpo_teach.training
import dpo_teach.widgets

PROMISED = {
    "DPOConfig", "DPOTrainer", "SFTConfig", "SFTTrainer", "compute_dpo_loss", "compute_implicit_reward",
    "evaluate_pairs", "evaluate_reviews", "load_model", "load_pairs", "sample_responses",
}  # fmt: skip


def test_importing_the_package_does_not_import_torch():
    heavy = ["torch", "transformers", "matplotlib", "ipywidgets"]
    code = "import sys, dpo_teach, dpo_teach.training, dpo_teach.widgets\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dpo_teach.widgets" in done.stdout.split()
    assert [name for name in heavy if name in done.stdout.split()] == []


def test_every_public_name_can_be_imported():
    assert set(dpo_teach.__all__) >= PROMISED
    for package in (dpo_teach, dpo_teach.training, dpo_teach.widgets):
        assert [name for name in package.__all__ if not callable(getattr(package, name))] == []


def test_a_top_level_name_is_the_object_of_its_module():
    from dpo_teach.training.dpo import DPOTrainer

    assert dpo_teach.DPOTrainer is dpo_teach.training.DPOTrainer is DPOTrainer

"""A long computation shows a bar in a notebook, and none in the saved outputs of the repository's notebooks."""

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from dpo_teach.progress_bar import progress_bar
from tools.notebooks.run import execute

TRAIN = """
from dpo_teach import DPOConfig, DPOTrainer, load_model, load_pairs
from dpo_teach import progress_bar
from dpo_teach.rlhf import PPOConfig, PPOTrainer, RewardModel, RewardModelConfig, train_reward_model
progress_bar.SHOW_AFTER_S = 0.0
model, tokenizer = load_model("reviews-gpt2")
pairs = load_pairs("reviews-preferences", split="train")[:16]
train_reward_model(RewardModel(load_model("reviews-gpt2").model), tokenizer, pairs, RewardModelConfig(epochs=1))
config = PPOConfig(beta=0.5, iterations=2, rollouts=4, epochs=1, max_new_tokens=8)
PPOTrainer(load_model("reviews-gpt2").model, tokenizer, ["A film."], lambda prompts, texts: [0.0] * 4, config).train()
rows = DPOTrainer(model, tokenizer, pairs, DPOConfig(batch_size=4, max_steps=3)).train()
"""


def shown(folder: Path) -> str:
    """The text that the cell shows."""
    ran = execute(new_notebook(cells=[new_code_cell(TRAIN.strip(), id="train")]), folder)
    return "".join(output["text"] for output in ran["cells"][0]["outputs"])


@pytest.mark.slow
def test_training_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_PROGRESS", str(tmp_path / "progress.json"))
    text = shown(tmp_path)
    for bar in ("reward model: 100%", "PPO: 100%", "log-probabilities: 100%", "step 3 of 3: 100%"):
        assert bar in text, text


@pytest.mark.slow
def test_saved_outputs_contain_no_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_PROGRESS", "off")
    assert shown(tmp_path) == ""


def test_outside_a_notebook_a_bar_appears_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DPO_TEACH_PROGRESS")
    for requested in (False, True):
        assert list(progress_bar("step", range(2), requested=requested, delay=0.0)) == [0, 1]
        found = capsys.readouterr()
        assert found.out == ""
        assert ("step: 100%" in found.err) == requested

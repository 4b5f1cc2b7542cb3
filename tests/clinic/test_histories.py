"""Metrics of ours and of TRL become the same history, and other files are refused in one line."""

import json
from pathlib import Path

import pytest

from dpo_teach.clinic.histories import history_from_rows, read_history

OURS = [
    {"step": 1, "loss": 0.6931, "margin": 0.0, "preference_accuracy": 0.5, "chosen_logps": -32.0, "grad_norm": 1.7},
    {"step": 2, "loss": 0.6, "margin": 0.2, "preference_accuracy": 0.75, "chosen_logps": -31.0, "grad_norm": 1.5,
     "eval_loss": 0.65, "eval_margin": 0.1},
]  # fmt: skip
# A log history as TRL writes it: held-out metrics in a row of their own, and a summary at the end.
TRL = [
    {"epoch": 0.1, "step": 1, "loss": 0.6931, "grad_norm": 1.7, "learning_rate": 5e-7, "num_tokens": 940.0,
     "rewards/chosen": 0.0, "rewards/rejected": 0.0, "rewards/accuracies": 0.5, "rewards/margins": 0.0,
     "logps/chosen": -32.0, "logps/rejected": -30.0, "logits/chosen": -1.2},
    {"epoch": 0.2, "step": 2, "loss": 0.6, "grad_norm": 1.5, "rewards/margins": 0.2, "rewards/accuracies": 0.75},
    {"epoch": 0.2, "step": 2, "eval_loss": 0.65, "eval_rewards/margins": 0.1, "eval_runtime": 1.5},
    {"epoch": 0.2, "step": 2, "train_loss": 0.64, "train_runtime": 9.1, "total_flos": 0.0},
]  # fmt: skip


def write(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_run_folder_and_its_metrics_file_give_the_same_history(tmp_path: Path) -> None:
    file = write(tmp_path / "metrics.jsonl", OURS)
    assert read_history(tmp_path).rows == read_history(file).rows == tuple(OURS)


def test_a_log_history_of_trl_has_our_names_and_one_row_per_step() -> None:
    first, second = history_from_rows(TRL).rows
    assert (first["margin"], first["preference_accuracy"], first["chosen_logps"]) == (0.0, 0.5, -32.0)
    assert (second["loss"], second["margin"], second["eval_loss"], second["eval_margin"]) == (0.6, 0.2, 0.65, 0.1)


def test_the_newest_checkpoint_of_trl_is_read(tmp_path: Path) -> None:
    for step, rows in ((9, TRL[:1]), (10, TRL)):
        state = tmp_path / f"checkpoint-{step}" / "trainer_state.json"
        state.parent.mkdir()
        state.write_text(json.dumps({"log_history": rows, "global_step": step}))
    history = read_history(tmp_path)
    assert history.source.endswith("checkpoint-10/trainer_state.json")
    assert history.series("eval_loss") == [0.65]


def test_nan_is_kept_because_it_is_a_symptom(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 0.69, "margin": 0.0}\n{"step": 2, "loss": NaN, "margin": NaN}\n')
    assert str(read_history(file).series("loss")) == "[0.69, nan]"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metrics.jsonl", '{"step": 1}\n{"step":\n', "metrics.jsonl, line 2: expected JSON"),
        ("metrics.jsonl", "[1, 2]\n", r"row 1: expected an object with the number 'step', found \[1, 2\]"),
        ("metrics.jsonl", '{"step": 1, "loss": 0.7, "lr": 0.1}\n', "among them 'margin', found loss, lr"),
        ("metrics.jsonl", "", "among them 'loss' and 'margin', found none"),
        ("trainer_state.json", '{"epoch": 1}', "expected TRL's 'log_history' or a list of rows, found .*epoch"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_history(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_without_metrics_and_a_missing_path_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected metrics.jsonl or trainer_state.json in this folder, found neither"):
        read_history(tmp_path)
    with pytest.raises(ValueError, match=r"expected a run folder, a metrics.jsonl or .*, found nothing"):
        read_history(tmp_path / "nowhere")

"""Recorded runs are written and read without loss, up to four digits."""

import math
from pathlib import Path

import pytest

from dpo_teach.clinic.recordings import Recording, read_recordings, write_recordings

NUMBERS = dict.fromkeys(
    ("preference_accuracy", "chosen_logps", "rejected_logps", "chosen_rewards", "rejected_rewards"), 0.5
)


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [
        {"step": 1, "loss": 0.693147, "grad_norm": 1.5, **NUMBERS},
        {"step": 2, "loss": 0.5, "grad_norm": 2.0, **NUMBERS, "eval_loss": 0.25,
         **{f"eval_{name}": value for name, value in NUMBERS.items()}, "eval_chosen_rewards": 0.75},
    ]  # fmt: skip
    write_recordings(tmp_path / "runs.jsonl", [Recording("dropout", 0.3, 5e-4, 2, rows)])
    (found,) = read_recordings(tmp_path / "runs.jsonl")
    assert found.key == ("dropout", 0.3, 5e-4, 2)
    assert [row["loss"] for row in found.rows] == [0.6931, 0.5]
    assert [row["step"] for row in found.rows] == [1, 2]
    assert "eval_loss" not in found.rows[0]
    assert (found.rows[1]["eval_loss"], found.rows[1]["eval_margin"], found.rows[1]["margin"]) == (0.25, 0.25, 0.0)


def test_a_run_that_ended_with_nan_is_kept(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss": math.nan, "grad_norm": math.nan, **NUMBERS}]
    write_recordings(tmp_path / "runs.jsonl", [Recording("half-precision", 0.3, 5e-4, 0, rows)])
    assert math.isnan(read_recordings(tmp_path / "runs.jsonl")[0].rows[0]["loss"])


def test_the_margin_follows_from_the_rewards(tmp_path: Path) -> None:
    row = {"step": 1, "loss": 0.6, "grad_norm": 1.0, **NUMBERS, "chosen_rewards": 0.5, "rejected_rewards": -0.25}
    write_recordings(tmp_path / "runs.jsonl", [Recording("healthy", 0.3, 5e-4, 0, [row])])
    assert read_recordings(tmp_path / "runs.jsonl")[0].rows[0]["margin"] == pytest.approx(0.75)

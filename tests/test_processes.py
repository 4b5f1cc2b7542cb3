"""One process and two give the same run: real processes, started as a user starts them."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from tiny import tiny_model, tiny_pairs, tiny_tokenizer

REPORTED = {"loss", "margin", "chosen_logps", "rejected_logps", "grad_norm", "eval_loss", "tokens"}
# 13 pairs in steps of 4: the last step of an epoch has one pair, so that one of two processes has none.
SETTINGS = ["--batch-size", "4", "--epochs", "2", "--learning-rate", "1e-2", "--length-window", "4", "--save-every",
            "3", "--eval-every", "2", "--precision", "fp32", "--hold-out", "5"]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    rows = [{name: asdict(pair)[name] for name in ("prompt", "chosen", "rejected")} for pair in tiny_pairs(18)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def launch(files, output, processes, *options):
    """The metrics of a run; torch's launcher, since accelerate's wants MPI for several processes on a CPU."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = ["-m", "dpo_teach.cli", "train", "--data", str(files / "pairs.jsonl"), "--model", str(files / "model")]
    done = subprocess.run(
        [sys.executable, *launcher, *command, "--output", str(output), *SETTINGS, *options],
        check=False, capture_output=True, text=True, timeout=300,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def one(files):
    return launch(files, files / "one", 1)


@pytest.mark.parametrize("micro_batch_size", ["4", "1"])
def test_two_processes_take_the_steps_of_one(files, one, tmp_path, micro_batch_size):
    two = launch(files, tmp_path / "two", 2, "--micro-batch-size", micro_batch_size)
    assert len(one) == 8
    assert [row["step"] for row in two] == [row["step"] for row in one]
    for ours, theirs in zip(two, one, strict=True):
        assert ours.keys() == theirs.keys()
        for name in REPORTED & theirs.keys():
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-4), (ours["step"], name)
    assert one[-1]["loss"] < one[0]["loss"] - 0.1, "a run that goes nowhere would agree with itself"


def test_a_compiled_run_takes_the_same_steps(files, one, tmp_path):
    """In a process of its own: here the shapes of every call are checked, which the compiler would stumble over."""
    compiled = launch(files, tmp_path / "compiled", 1, "--compile")
    for ours, theirs in zip(compiled, one, strict=True):
        for name in REPORTED & theirs.keys():
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-3), (ours["step"], name)

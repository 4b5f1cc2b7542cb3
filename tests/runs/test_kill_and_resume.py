"""Runs survive kills at any moment, truncated files, full disks, a second run in the folder, SIGTERM and Ctrl-C."""

import errno
import itertools
import json
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import kill_and_resume
import numpy as np
import pytest
import torch
from kill_and_resume import make_trainer
from safetensors import SafetensorError
from safetensors.torch import load_file
from tiny import tiny_model, tiny_pairs, tiny_tokenizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from dpo_teach.runs import atomic_io, checkpoint, folder
from dpo_teach.runs import run as run_module
from dpo_teach.runs.checkpoint import find_checkpoints, read_newest
from dpo_teach.runs.fingerprint import fingerprint_tokenizer
from dpo_teach.runs.folder import RunFolder
from dpo_teach.runs.state import random_state, restore_random_state
from dpo_teach.training import Example, SFTConfig, SFTTrainer

STEPS = 24
SHORT = {"epochs": 1, "save_every": 2}  # 6 steps, saved after 2, 4 and 6
SHORTEST = {"max_steps": 3, "save_every": 1}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGKILL nor fork"),
]


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Restore the default Ctrl-C handler, because jobs that a shell starts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def start():
    """Start functions of `kill_and_resume` in processes forked from one that has imported everything, to save time."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "OMP_NUM_THREADS")}
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, before["PYTHONPATH"] or ""])
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kill_and_resume"])

    def start_process(function, *arguments, **options):
        process = context.Process(target=function, args=arguments, kwargs=options)
        process.start()
        return process

    finish(start_process(os.getpid))
    yield start_process
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def finish(process):
    process.join(120)
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode


def was_started(output):
    return (output / "checkpoint" / "lock").exists()


def metrics_of(output):
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_run(output, other):
    """Check that two runs have the same metrics, except for times, and bit-identical weights and optimizer states."""
    assert metrics_of(output) == metrics_of(other)
    (found, refused), (expected, _) = (read_newest(folder / "checkpoint") for folder in (output, other))
    assert not refused
    assert found.step == expected.step
    for name in ("model", "optimizer", "precomputed"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True)
    weights = [load_file(folder / "model.safetensors") for folder in (output, other)]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def assert_little_was_lost(output):
    """Check that the checkpoint of a run that saves after every step is from its last or second-to-last step."""
    steps = len(RunFolder(output).read_metrics())
    if steps > 1:
        assert read_newest(output / "checkpoint")[0].step >= steps - 1


@pytest.fixture(scope="module")
def straight(start, tmp_path_factory):
    """An uninterrupted run of 24 steps."""
    output = tmp_path_factory.mktemp("straight") / "run"
    assert finish(start(kill_and_resume.run, str(output), False)) == 0
    rows = metrics_of(output)
    assert len(rows) == STEPS
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.1, "if the loss did not fall, this test could not fail"
    return output


# Kills


def test_a_run_killed_at_random_moments_equals_an_uninterrupted_run(start, straight, tmp_path):
    rng, kills, runs = random.Random(0), 0, 0
    while kills < 20:
        runs += 1
        output = tmp_path / f"run-{runs}"
        for attempt in itertools.count(1):
            process = start(kill_and_resume.run, str(output), was_started(output))
            # Wait longer at each attempt, so that the run also ends on a slow machine.
            process.join(rng.uniform(0.02, 0.4) * 1.05**attempt)
            process.kill()
            if finish(process) == 0:
                break
            assert process.exitcode == -signal.SIGKILL
            assert_little_was_lost(output)
            kills += 1
        assert_same_run(output, straight)
    assert runs <= kills


def test_a_run_killed_at_any_disk_operation_can_be_resumed(start, tmp_path):
    """Kill the run in the middle of each write and before each fsync, rename, mkdir and rmtree, one after the other."""
    output, expected = tmp_path / "run", tmp_path / "expected"
    assert finish(start(kill_and_resume.run, str(expected), False, **SHORTEST)) == 0
    for call in itertools.count(1):
        shutil.rmtree(output, ignore_errors=True)
        killed = finish(start(kill_and_resume.run, str(output), False, call, **SHORTEST)) == -signal.SIGKILL
        if killed:
            assert_little_was_lost(output)
            assert finish(start(kill_and_resume.run, str(output), was_started(output), **SHORTEST)) == 0, call
        assert_same_run(output, expected)
        if not killed:
            break
    assert call > 60, "three checkpoints and a model need more disk operations"


def test_the_last_two_checkpoints_are_kept(straight):
    assert [path.name for path in find_checkpoints(straight / "checkpoint")] == ["step-00000024", "step-00000023"]


def test_bytes_are_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    """A wrong order would lose data in a power cut, but not when a process is killed."""
    events, sync, rename = [], atomic_io.sync, Path.rename

    def noted_sync(path):
        events.append(("sync", path.name))
        sync(path)

    def noted_rename(path, target):
        events.append(("rename", path.name, target.name))
        return rename(path, target)

    for module in (atomic_io, checkpoint, folder):
        monkeypatch.setattr(module, "sync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    make_trainer(tmp_path / "run", max_steps=1).train()
    at = events.index(("rename", "unfinished", "step-00000001"))
    files = {"model.safetensors", "optimizer.safetensors", "precomputed.safetensors", "state.json"}
    assert {name for _, name in events[:at]} == {"metrics.jsonl", "unfinished", *files}
    assert events[at - 1] == ("sync", "unfinished")
    assert events[at + 1] == ("sync", "checkpoint")
    assert events[-2:] == [("sync", "model.unfinished"), ("sync", "run")]


# Damaged checkpoints


def stop_after(step):
    def on_step(row):
        if row["step"] == step:
            raise RuntimeError("the power went out")

    return on_step


def interrupted_run(output, after=5):
    """Start a short run that ends without saving after some steps; it has checkpoints of steps 2 and 4."""
    with pytest.raises(RuntimeError, match="the power went out"):
        make_trainer(output, on_step=stop_after(after), **SHORT).train()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """An uninterrupted short run in this process."""
    output = tmp_path_factory.mktemp("here") / "run"
    make_trainer(output, **SHORT).train()
    return output


@pytest.mark.parametrize("name", [*(f"{tensors}.safetensors" for tensors in checkpoint.TENSORS), "state.json"])
@pytest.mark.parametrize("damage", [truncate, flip_a_bit, Path.unlink])
def test_a_damaged_checkpoint_is_detected_and_the_previous_one_is_used(tmp_path, capsys, here, name, damage):
    output = tmp_path / "run"
    interrupted_run(output)
    damage(output / "checkpoint" / "step-00000004" / name)
    redone = []

    def note(row):
        redone.append((row["step"], find_checkpoints(output / "checkpoint")[0].name))

    make_trainer(output, on_step=note, **SHORT).train(resume=True)
    assert redone == [
        (3, "step-00000002"), (4, "step-00000002"), (5, "step-00000004"), (6, "step-00000004")
    ]  # fmt: skip
    assert {path.name for path in (output / "checkpoint").iterdir()} == {"lock", "step-00000004", "step-00000006"}
    printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dpo-teach: ")]
    assert len(printed) == 1
    start = "dpo-teach: warning: resuming from step 2, the newest intact checkpoint; step-00000004: "
    assert printed[0].startswith(f"{start}{name}")
    assert_same_run(output, here)


def test_resuming_without_an_intact_checkpoint_is_refused_and_removes_no_files(tmp_path):
    output = tmp_path / "run"
    interrupted_run(output)
    truncate(output / "checkpoint" / "step-00000004" / "model.safetensors")
    flip_a_bit(output / "checkpoint" / "step-00000002" / "state.json")
    before = sorted(path for path in output.rglob("*"))
    message = r"no intact checkpoint in .*: step-00000004: model.safetensors: expected \d+ bytes, found \d+; .*"
    with pytest.raises(ValueError, match=message + "step-00000002: state.json was "):
        make_trainer(output, **SHORT).train(resume=True)
    assert sorted(path for path in output.rglob("*")) == before


def test_a_truncated_line_of_metrics_is_rewritten(tmp_path, here):
    output = tmp_path / "run"
    interrupted_run(output)
    with (output / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    make_trainer(output, **SHORT).train(resume=True)
    assert_same_run(output, here)


# Resuming with different inputs

OTHERS = {
    "other weights": ({"model": tiny_model(seed=1)}, r"the model \(its weights at the start of the run"),
    "another tokenizer": ({"tokenizer": tiny_tokenizer(with_bos=False)}, "the tokenizer changed"),
    "other data": ({"pairs": tiny_pairs(seed=5)}, "the data .* changed"),
    "another order": ({"pairs": tiny_pairs()[::-1]}, "the data .* changed"),
    "a context": (
        {"model": tiny_model(context=16)},
        r"the model \(.* and the truncation \(was max_length=32, .*is now max_length=16",
    ),
    "a reference": ({"reference": tiny_model(seed=3)}, "the reference model changed"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_resuming_with_other_inputs_is_refused_and_names_them(tmp_path, name):
    changes, message = OTHERS[name]
    output = tmp_path / "run"
    interrupted_run(output)
    with pytest.raises(ValueError, match=f"run': cannot resume, because {message}"):
        make_trainer(output, **changes, **SHORT).train(resume=True)


def test_one_changed_weight_is_detected(tmp_path):
    output, model = tmp_path / "run", tiny_model()
    interrupted_run(output)
    model.transformer.h[1].mlp.c_fc.bias.data[3] += 1e-7
    with pytest.raises(ValueError, match="because the model"):
        make_trainer(output, model=model, **SHORT).train(resume=True)


def test_padding_and_truncation_do_not_change_the_tokenizers_fingerprint():
    tokenizer = tiny_tokenizer()
    before = fingerprint_tokenizer(tokenizer)
    tokenizer(["the plot", "the"], padding=True, truncation=True, max_length=3)
    assert fingerprint_tokenizer(tokenizer) == before != fingerprint_tokenizer(tiny_tokenizer(with_bos=False))


def test_a_reference_in_memory_is_restored_as_the_initial_policy(tmp_path):
    settings = {**SHORT, "precompute_reference": False}
    make_trainer(tmp_path / "straight", **settings).train()
    with pytest.raises(RuntimeError):
        make_trainer(tmp_path / "run", on_step=stop_after(5), **settings).train()
    make_trainer(tmp_path / "run", **settings).train(resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_a_setting_that_the_run_did_not_know_had_its_default(tmp_path, monkeypatch):
    make_trainer(tmp_path / "straight", **SHORT).train()
    with pytest.raises(RuntimeError):
        make_trainer(tmp_path / "run", on_step=stop_after(5), **SHORT).train()
    read = run_module.Run.read_checkpoint

    def of_an_earlier_version(run):
        found = read(run)
        del found.settings["loss"]
        return found

    monkeypatch.setattr(run_module.Run, "read_checkpoint", of_an_earlier_version)
    with pytest.raises(ValueError, match="loss was 'sigmoid' and is now 'ipo'"):
        make_trainer(tmp_path / "run", loss="ipo", **SHORT).train(resume=True)
    make_trainer(tmp_path / "run", **SHORT).train(resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_every_random_state_is_restored():
    def draw():
        return random.random(), random.gauss(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()

    draw()  # Python and NumPy then store the second of a pair of normal numbers
    state = json.loads(json.dumps(random_state(torch.device("cpu"))))
    expected = draw()
    assert draw() != expected
    restore_random_state(state, torch.device("cpu"))
    assert draw() == expected


def test_a_run_with_dropout_resumes_with_the_same_random_numbers(tmp_path):
    def with_dropout(*arguments, **options):
        """Switch dropout on after the trainer has switched it off; only then does a run draw random numbers."""
        trainer = make_trainer(*arguments, **options, **SHORT)
        for module in trainer.model.train().modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        return trainer

    torch.manual_seed(0)
    rows = with_dropout(tmp_path / "straight").train()
    assert rows[0]["loss"] != pytest.approx(math.log(2), abs=1e-3), "no dropout"
    with pytest.raises(RuntimeError):
        with_dropout(tmp_path / "run", on_step=stop_after(5)).train()
    torch.manual_seed(99)
    with_dropout(tmp_path / "run").train(resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


# The disk


FULL = {
    "reported by the system": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "reported by safetensors": SafetensorError("I/O error: No space left on device (os error 28)"),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_is_reported_in_one_line_and_keeps_the_last_checkpoint(tmp_path, monkeypatch, here, name):
    output, save_file = tmp_path / "run", checkpoint.save_file

    def full(tensors, path):
        if path.name == "optimizer.safetensors" and (output / "checkpoint" / "step-00000002").exists():
            raise FULL[name]
        save_file(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    trainer = make_trainer(output, **SHORT)
    message = (
        r"^the checkpoint of step 4 could not be written to '.*checkpoint': .*No space left on device.*; "
        r"the last good checkpoint is '.*step-00000002': resume from it with --resume or train\(resume=True\)$"
    )
    with pytest.raises(OSError, match=message):
        trainer.train()
    assert [path.name for path in find_checkpoints(output / "checkpoint")] == ["step-00000002"]
    assert not (output / "checkpoint" / "unfinished").exists(), "an unfinished checkpoint must not occupy a full disk"
    monkeypatch.undo()
    redone = []
    trainer.on_step = lambda row: redone.append(row["step"])
    trainer.train(resume=True)
    assert redone == [5, 6], "the steps in memory must not be lost"
    assert_same_run(output, here)


def test_a_full_disk_while_logging_loses_no_row(tmp_path, monkeypatch, here):
    output = tmp_path / "run"
    trainer = make_trainer(output, **SHORT)
    append = trainer.run.folder.append_metrics

    def full(row):
        if row["step"] == 3:
            (output / "metrics.jsonl").open("a").write('{"step": 3, "los')
            raise OSError("the metrics of step 3 could not be written")
        append(row)

    monkeypatch.setattr(trainer.run.folder, "append_metrics", full)
    with pytest.raises(OSError, match="the metrics of step 3 could not be written"):
        trainer.train()
    monkeypatch.undo()
    trainer.train(resume=True)
    assert_same_run(output, here)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A training command without its output folder."""
    folder = tmp_path_factory.mktemp("command")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    pairs = [replace(pair, prompt=f"the {'very ' * i}plot was") for i, pair in enumerate(tiny_pairs())]
    rows = [{name: asdict(pair)[name] for name in ("prompt", "chosen", "rejected")} for pair in pairs]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["train", "--data", str(folder / "pairs.jsonl"), "--model", str(folder / "model"), "--batch-size", "4",
            "--learning-rate", "1e-2", "--precision", "fp32", "--hold-out", "4"]  # fmt: skip


def lines_of(log):
    return [line for line in log.read_text().splitlines() if line.startswith("dpo-teach: ")]


def test_a_failed_write_prints_one_line_on_the_command_line(start, command, tmp_path):
    """A system limit of 12,000 bytes per file makes the write fail."""
    log, output = tmp_path / "log", tmp_path / "run"
    process = start(kill_and_resume.run_command, str(log), *command, "--output", str(output), largest_file=12_000)
    assert finish(process) == 2
    assert len(lines_of(log)) == 1
    assert re.search(r"error: the checkpoint of step 5 could not be written to .*File too large", lines_of(log)[0])
    process = start(kill_and_resume.run_command, str(log), *command, "--output", str(output), "--resume")
    assert finish(process) == 0, log.read_text()


def test_a_folder_that_cannot_be_created_is_reported_in_one_line():
    """Not even root can create a folder in /sys."""
    with pytest.raises(ValueError, match=r"^output folder '/sys/run' cannot be written to: [^;]*$") as error:
        make_trainer("/sys/run", **SHORT).train()
    assert "\n" not in str(error.value)


def test_a_folder_that_became_read_only_is_reported_in_one_line(tmp_path, monkeypatch):
    interrupted_run(tmp_path / "run")

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    trainer = make_trainer(tmp_path / "run", **SHORT)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ValueError, match=r"^output folder '.*run' cannot be written to: Permission denied$"):
        trainer.train(resume=True)


# Two runs


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_is_running(tmp_path, here):
    output, refusals = tmp_path / "run", []

    def start_another(row):
        for resume in (False, True):
            with pytest.raises(ValueError, match=r"run' is in use by another run") as error:
                make_trainer(output, **SHORT).train(resume=resume)
            refusals.append(error)

    make_trainer(output, on_step=start_another, **SHORT).train()
    assert len(refusals) == 12
    assert_same_run(output, here)
    with pytest.raises(ValueError, match="is not empty"):
        make_trainer(output, **SHORT).train()


def test_a_second_command_in_the_same_folder_is_refused_in_one_line(start, command, tmp_path):
    output, logs = tmp_path / "run", [tmp_path / "first", tmp_path / "second"]
    first = start(kill_and_resume.run_command, str(logs[0]), *command, "--output", str(output), "--epochs", "2000")
    wait_for_rows(output, 2)
    second = start(kill_and_resume.run_command, str(logs[1]), *command, "--output", str(output), "--resume")
    assert finish(second) == 2
    assert len(lines_of(logs[1])) == 1
    assert "is in use by another run" in lines_of(logs[1])[0]
    first.kill()
    finish(first)


# Requests to stop


def wait_for_rows(output, count):
    deadline = time.monotonic() + 60
    while not (output / "metrics.jsonl").exists() or len((output / "metrics.jsonl").read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the run does not make progress"
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status", "word"), [
    (signal.SIGTERM, 143, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted"),
])  # fmt: skip
def test_a_signal_stops_a_command_after_the_current_step_and_saves_the_run(
    start, command, tmp_path, number, status, word
):
    log, output = tmp_path / "log", tmp_path / "run"
    whole = [*command, "--epochs", "40", "--save-every", "0"]
    process = start(kill_and_resume.run_command, str(log), *whole, "--output", str(output))
    wait_for_rows(output, 3)
    os.kill(process.pid, number)
    assert finish(process) == status, log.read_text()
    done = len(metrics_of(output))
    assert 3 <= done < 200
    assert lines_of(log) == [
        f"dpo-teach: {word} after step {done} of 200; the last good checkpoint is "
        f"'{output}/checkpoint/step-{done:08d}': resume from it with --resume or train(resume=True)"
    ]
    assert finish(start(kill_and_resume.run_command, str(log), *whole, "--output", str(output), "--resume")) == 0
    assert finish(start(kill_and_resume.run_command, str(log), *whole, "--output", str(tmp_path / "straight"))) == 0
    assert_same_run(output, tmp_path / "straight")


def weights_of(trainer):
    return {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def interrupt_at(step, how):
    """Return a callback that interrupts once, at a step."""
    seen = []

    def on_step(row):
        if row["step"] == step and not seen:
            seen.append(step)
            how()

    return on_step


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def raise_interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", [press_ctrl_c, raise_interrupt])
@pytest.mark.parametrize("with_folder", [True, False])
def test_ctrl_c_in_a_notebook_can_be_resumed(tmp_path, here, how, with_folder):
    output = tmp_path / "run" if with_folder else None
    trainer = make_trainer(output, on_step=interrupt_at(3, how), **SHORT)
    where = "'.*step-00000003': resume" if with_folder else r"kept in memory: continue with train\(resume=True\)"
    with pytest.raises(KeyboardInterrupt, match=f"^interrupted after step 3 of 6; the .*{where}"):
        trainer.train()
    assert len(trainer.metrics) == 3
    rows = trainer.train(resume=True)
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows] == metrics_of(here)
    torch.testing.assert_close(
        {k: v for k, v in weights_of(trainer).items() if k != "lm_head.weight"},
        load_file(here / "model.safetensors"), rtol=0, atol=0,
    )  # fmt: skip
    if with_folder:
        assert_same_run(output, here)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_reference_in_memory_survives_ctrl_c(tmp_path):
    """The policy no longer has its initial weights, so a new copy of it would be a different reference."""
    settings = {**SHORT, "precompute_reference": False}
    make_trainer(tmp_path / "straight", **settings).train()
    trainer = make_trainer(tmp_path / "run", on_step=interrupt_at(3, raise_interrupt), **settings)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.train(resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_another_trainer_can_resume_after_ctrl_c(tmp_path, here):
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path / "run", on_step=interrupt_at(3, press_ctrl_c), **SHORT).train()
    make_trainer(tmp_path / "run", **SHORT).train(resume=True)
    assert_same_run(tmp_path / "run", here)


@pytest.mark.parametrize("with_folder", [True, False])
def test_ctrl_c_between_micro_batches_discards_the_gradient(tmp_path, with_folder):
    settings = {**SHORT, "micro_batch_size": 2}
    expected = make_trainer(**settings).train()
    trainer = make_trainer(tmp_path / "run" if with_folder else None, **settings)
    loss, calls = trainer.loss, []

    def interrupted(indices):
        calls.append(indices)
        if len(calls) == 6:  # the second half of the third step
            raise KeyboardInterrupt
        return loss(indices)

    trainer.loss = interrupted
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step 2 of 6"):
        trainer.train()
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    rows = trainer.train(resume=True)
    assert [row["loss"] for row in rows] == [row["loss"] for row in expected]


def test_ctrl_c_in_the_first_step_keeps_the_precomputed_reference(tmp_path, here):
    trainer = make_trainer(tmp_path / "run", **SHORT)
    trainer.loss = lambda _: raise_interrupt()
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step 0 of 6; .*step-00000000"):
        trainer.train()
    again = make_trainer(tmp_path / "run", **SHORT)
    again.prepare = None  # the reference's log-probabilities are in the checkpoint
    again.train(resume=True)
    assert_same_run(tmp_path / "run", here)


def test_repeated_ctrl_c_waits_for_the_optimizer_step():
    """Ctrl-C is pressed three times at the start of the third optimizer step: it is completed, and no fourth starts."""
    calls = []

    def press_thrice(*_):
        calls.append(1)
        if len(calls) == 3:
            for _ in range(3):
                press_ctrl_c()

    expected = []
    undisturbed = make_trainer(**SHORT, on_step=lambda _: expected.append(weights_of(undisturbed)))
    undisturbed.train()
    trainer = make_trainer(**SHORT)
    hook = register_optimizer_step_pre_hook(press_thrice)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step 3 of 6"):
            trainer.train()
    finally:
        hook.remove()
    torch.testing.assert_close(weights_of(trainer), expected[2], rtol=0, atol=0)


def test_a_second_ctrl_c_interrupts_the_current_step():
    trainer = make_trainer(**SHORT)
    loss, reached = trainer.loss, []

    def press_twice(indices):
        if trainer.run.step == 2:
            press_ctrl_c()
            reached.append("after the first")
            press_ctrl_c()
            reached.append("after the second")
        return loss(indices)

    trainer.loss = press_twice
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step 2 of 6"):
        trainer.train()
    assert reached == ["after the first"]


def test_an_interrupted_evaluation_is_repeated_on_resuming(tmp_path, here):
    trainer = make_trainer(tmp_path / "run", **SHORT)
    evaluate, calls = trainer.evaluate, []

    def interrupted():
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return evaluate()

    trainer.evaluate = interrupted
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step 5 of 6"):
        trainer.train()
    assert len(metrics_of(tmp_path / "run")) == 4
    make_trainer(tmp_path / "run", **SHORT).train(resume=True)
    assert "eval_loss" in metrics_of(tmp_path / "run")[4]
    assert_same_run(tmp_path / "run", here)


def test_resuming_without_a_run_is_refused():
    with pytest.raises(ValueError, match=r"^resume=True needs the output folder"):
        make_trainer(**SHORT).train(resume=True)


def test_a_run_in_another_thread_does_not_handle_signals(here):
    import threading

    trainer, rows = make_trainer(**SHORT), []
    thread = threading.Thread(target=lambda: rows.extend(trainer.train()))
    thread.start()
    thread.join()
    assert [row["loss"] for row in rows] == [row["loss"] for row in metrics_of(here)]


# Losses that are not finite


def with_rows(pairs):
    from dataclasses import replace

    return [replace(pair, where=f"pairs.jsonl, line {number}") for number, pair in enumerate(pairs, start=1)]


def spoil(trainer, step, value):
    loss = trainer.loss

    def spoilt(indices):
        total, metrics = loss(indices)
        return (total * value if trainer.run.step == step else total), metrics

    trainer.loss = spoilt


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_loss_is_reported_with_step_rows_and_checkpoint(tmp_path, value):
    trainer = make_trainer(tmp_path / "run", pairs=with_rows(tiny_pairs()), **{**SHORT, "save_every": 1})
    spoil(trainer, 3, value)
    rows = "; ".join(f"pairs.jsonl, line {index + 1}" for index in trainer.plan()[3])
    message = (rf"^step 4: the loss is not finite \({value}\); .*"
               rf"rows of this step: {re.escape(rows)}; .*learning_rate.* 0\.01; "
               r"the last good checkpoint is '.*step-00000003'")  # fmt: skip
    with pytest.raises(ValueError, match=message):
        trainer.train()
    saved, _ = read_newest(tmp_path / "run" / "checkpoint")
    torch.testing.assert_close({name: weights_of(trainer)[name] for name in saved.model}, saved.model, rtol=0, atol=0)


def test_only_a_few_rows_are_named_and_dropped_rows_do_not_shift_their_numbers():
    pairs = with_rows(tiny_pairs())
    long = type(pairs[0])("the " * 40, "good", "bad", "pairs.jsonl, line 0")
    trainer = make_trainer(pairs=[long, *pairs], batch_size=8, on_overlong="drop")
    spoil(trainer, 0, math.nan)
    first = [f"pairs.jsonl, line {index + 1}" for index in trainer.plan()[0]]
    with pytest.raises(ValueError, match=f"rows of this step: {'; '.join(first[:4])}; and 4 more; .*no output folder"):
        trainer.train()


class BrokenGradient(torch.autograd.Function):
    @staticmethod
    def forward(_, value):
        return value.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * math.nan


def test_a_non_finite_gradient_stops_the_run_before_the_weights_change():
    trainer = make_trainer(pairs=with_rows(tiny_pairs()))
    before, loss = weights_of(trainer), trainer.loss
    trainer.loss = lambda indices: (BrokenGradient.apply(loss(indices)[0]), {})
    with pytest.raises(
        ValueError, match=r"^step 1: the gradient is not finite \(nan\).*rows of this step: pairs.jsonl, line"
    ):
        trainer.train()
    torch.testing.assert_close(weights_of(trainer), before, rtol=0, atol=0)


def sft_trainer(output, **options):
    examples = [Example(pair.prompt, pair.chosen, pair.where) for pair in with_rows(tiny_pairs())]
    config = SFTConfig(batch_size=4, learning_rate=1e-2, save_every=2)
    return SFTTrainer(options.pop("model", None) or tiny_model(), tiny_tokenizer(), options.pop("examples", examples),
                      config, output=output, **options)  # fmt: skip


def test_fine_tuning_runs_can_be_resumed(tmp_path):
    sft_trainer(tmp_path / "straight").train()
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step 3 of 6"):
        sft_trainer(tmp_path / "run", on_step=interrupt_at(3, press_ctrl_c)).train()
    with pytest.raises(ValueError, match="because the data"):
        sft_trainer(tmp_path / "run", examples=[Example("the plot was", "good")] * 24).train(resume=True)
    sft_trainer(tmp_path / "run").train(resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_fine_tuning_reports_the_rows_of_a_non_finite_loss(tmp_path):
    trainer = sft_trainer(tmp_path / "run")
    spoil(trainer, 2, math.nan)
    rows = "; ".join(f"pairs.jsonl, line {index + 1}" for index in trainer.plan()[2])
    message = rf"^step 3: the loss is not finite \(nan\).*rows of this step: {re.escape(rows)};.*step-00000002'"
    with pytest.raises(ValueError, match=message):
        trainer.train()


# Several processes


def test_an_error_in_the_main_process_is_raised_in_all_processes(tmp_path, monkeypatch):
    trainer, shared = make_trainer(tmp_path / "run", **SHORT), []
    monkeypatch.setattr(type(trainer.accelerator), "num_processes", 2)
    monkeypatch.setattr(run_module, "broadcast_object_list", shared.append)

    def full():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        trainer.run._on_main_process(full)
    assert str(shared[0][0]) == "the disk is full", "otherwise the other processes would wait for ever"

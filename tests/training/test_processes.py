"""One process and two give the same run: real processes, started as a user starts them."""

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from two_processes import (
    LAUNCH,
    kill_at_first_checkpoint,
    largest_differences,
    launch,
    read_metrics,
    start,
    write_files,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("processes"))


@pytest.fixture(scope="module")
def one(files):
    return launch(files, files / "one", "one")


def assert_same(ones, others, distance=1e-5):
    differences = largest_differences(ones, others)
    assert max(differences.values()) <= distance, differences


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["two", "sharded"])
def test_two_processes_take_the_steps_of_one(files, one, tmp_path, processes):
    assert_same(launch(files, tmp_path / "two", processes), one)
    assert len(one) == 30
    assert one[-1]["loss"] < one[0]["loss"] - 0.1, "a run that goes nowhere would agree with itself"


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["two", "sharded"])
def test_two_processes_in_micro_batches_take_the_steps_of_one(files, one, tmp_path, processes):
    """One process has two micro-batches and the other one, and all have to meet in every forward pass of FSDP."""
    assert_same(launch(files, tmp_path / "two", processes, "--micro-batch-size", "1"), one)


@pytest.mark.slow
def test_a_model_sharded_in_bfloat16_keeps_its_sums_in_float32(files, tmp_path):
    rows = launch(files, tmp_path / "sharded", "sharded", "--precision", "bf16", "--max-steps", "2")
    logps = torch.tensor([row["chosen_logps"] for row in rows])
    assert not torch.equal(logps, logps.bfloat16().float())


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [("sharded", "one"), ("one", "two")])
def test_a_killed_run_resumes_on_another_number_of_processes(files, one, tmp_path, before, after):
    kill_at_first_checkpoint(start(files, tmp_path / "run", before), tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")) < len(one), "it had come to its end before it was killed"
    assert_same(launch(files, tmp_path / "run", after, "--resume"), one)


@pytest.mark.slow
def test_a_compiled_run_takes_the_same_steps(files, one, tmp_path):
    """In a process of its own: here the shapes of every call are checked, which the compiler would stumble over."""
    assert_same(launch(files, tmp_path / "compiled", "one", "--compile"), one, distance=1e-4)


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_knows_every_key_of_the_launch_files(path):
    config = load_config_from_file(str(path))
    assert config.mixed_precision == ("no" if config.use_cpu else "bf16")
    options = vars(launch_command_parser().parse_args(["script"]))  # with which the loader does not compare
    assert [key for key in config.fsdp_config if key not in options] == []
    assert ("fsdp" in path.stem) == (config.distributed_type == "FSDP") == bool(config.fsdp_config)


def test_the_launch_files_are_those_that_are_tested():
    assert {path.name for path in LAUNCH.iterdir()} == {"ddp.yaml", "fsdp.yaml", "two_cpu_processes.yaml"}

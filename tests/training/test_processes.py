"""Runs with one process and with two give the same results. The tests start real processes, as users do."""

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from tiny import tiny_model, tiny_tokenizer
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
def test_two_processes_give_the_results_of_one(files, one, tmp_path, processes):
    assert_same(launch(files, tmp_path / "two", processes), one)
    assert len(one) == 30
    assert one[-1]["loss"] < one[0]["loss"] - 0.1, "if the loss did not fall, this test could not fail"


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["two", "sharded"])
def test_two_processes_with_micro_batches_give_the_results_of_one(files, one, tmp_path, processes):
    """One process has two micro-batches and the other has one, but FSDP needs both processes in every forward pass."""
    assert_same(launch(files, tmp_path / "two", processes, "--micro-batch-size", "1"), one)


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["two", "sharded"])
def test_two_processes_share_the_mismatched_pairs_of_kto(files, tmp_path, processes):
    """Steps of 5, 5 and 3 pairs: with micro-batches of 2, the processes have different numbers of micro-batches."""
    tiny_model(seed=1).save_pretrained(tmp_path / "reference")
    tiny_tokenizer().save_pretrained(tmp_path / "reference")
    options = ["--loss", "kto", "--reference", str(tmp_path / "reference"), "--batch-size", "5", "--max-steps", "6"]
    alone = launch(files, tmp_path / "alone", "one", *options)
    options += ["--micro-batch-size", "2"]
    assert max(row["mismatched_kl"] for row in alone) > 0.1, "with a KL of 0, this test could not fail"
    assert_same(launch(files, tmp_path / "two", processes, *options), alone)


@pytest.mark.slow
def test_a_sharded_bfloat16_run_sums_log_probabilities_in_float32(files, tmp_path):
    rows = launch(files, tmp_path / "sharded", "sharded", "--precision", "bf16", "--max-steps", "2")
    logps = torch.tensor([row["chosen_logps"] for row in rows])
    assert not torch.equal(logps, logps.bfloat16().float())


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [("sharded", "one"), ("one", "two")])
def test_a_killed_run_resumes_with_a_different_number_of_processes(files, one, tmp_path, before, after):
    kill_at_first_checkpoint(start(files, tmp_path / "run", before), tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")) < len(one), "the run ended before it was killed"
    assert_same(launch(files, tmp_path / "run", after, "--resume"), one)


@pytest.mark.slow
def test_a_compiled_run_gives_the_same_results(files, one, tmp_path):
    """Runs in a separate process, because the compiler cannot handle the shape checks that are active in tests."""
    assert_same(launch(files, tmp_path / "compiled", "one", "--compile"), one, distance=1e-4)


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.yaml")), ids=lambda path: path.stem)
def test_all_keys_of_the_launch_files_exist_in_accelerate(path):
    config = load_config_from_file(str(path))
    assert config.mixed_precision == ("no" if config.use_cpu else "bf16")
    options = vars(launch_command_parser().parse_args(["script"]))  # the loader does not check these names
    assert [key for key in config.fsdp_config if key not in options] == []
    assert ("fsdp" in path.stem) == (config.distributed_type == "FSDP") == bool(config.fsdp_config)


def test_all_launch_files_are_tested():
    assert {path.name for path in LAUNCH.iterdir()} == {"ddp.yaml", "fsdp.yaml", "two_cpu_processes.yaml"}

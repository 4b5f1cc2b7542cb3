"""The commands as a user runs them: their output, the files they write, and their errors for invalid input."""

import json
import logging
import math
import os
import subprocess
import sys

import pytest
from tiny import tiny_model, tiny_tokenizer

from dpo_teach.cli import main

QUICK = ["--batch-size", "4", "--epochs", "1", "--learning-rate", "0.01"]


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "tiny-gpt2"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def data(tmp_path):
    rows = [
        {"question": "the plot was", "good": f"{'very ' * (i % 4)}good", "bad": f"{'not ' * (i % 3)}bad"}
        for i in range(20)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


COLUMNS = ["--columns", "prompt", "question", "chosen", "good", "rejected", "bad"]


def run(capsys, *arguments):
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def refuse(capsys, *arguments):
    """Return the error of a command, and check that it is one line on stderr with exit status 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dpo-teach: ")]
    assert len(lines) == 1
    return lines[0]


def test_sft_then_train_then_evaluate_then_sample(capsys, tmp_path, model, data):
    held = ["--hold-out", "4", "--hold-out-seed", "1"]
    run(capsys, "sft", "--model", model, "--data", data, *COLUMNS, *held, "--output", tmp_path / "sft", *QUICK)
    printed = run(capsys, "train", "--model", tmp_path / "sft", "--data", data, *COLUMNS, *held,
                  "--output", tmp_path / "dpo", "--beta", "0.5", *QUICK)  # fmt: skip
    assert printed.startswith("16 pairs; truncated: 0 prompts, 0 responses; dropped: 0")
    assert "step 4:" in printed and "eval_preference_accuracy 1.0000" in printed
    printed = run(capsys, "evaluate", tmp_path / "dpo", "--reference", tmp_path / "sft", "--data", data, *COLUMNS,
                  *held, "--beta", "0.5", "--json")  # fmt: skip
    scores = json.loads(printed)
    assert scores["pairs"] == 4 and scores["preference_accuracy"] == 1.0 and scores["loss"] < math.log(2)
    printed = run(
        capsys, "sample", tmp_path / "dpo", "--prompt", "the plot was", "--count", "2", "--max-new-tokens", "3"
    )
    assert printed.count("the plot was|") == 2


@pytest.mark.parametrize(("loss", "reported"), [
    ("ipo", ["margin", "preference_accuracy"]),
    ("simpo", ["mean_logp_margin", "mean_logp_accuracy"]),
])  # fmt: skip
def test_train_with_another_loss(capsys, tmp_path, model, data, loss, reported):
    printed = run(capsys, "train", "--model", model, "--data", data, *COLUMNS, "--output", tmp_path / "out",
                  "--hold-out", "4", "--loss", loss, *QUICK)  # fmt: skip
    names = [part.split()[-2] for part in printed.split("step 4:")[1].split("; saved")[0].split(",")]
    assert names == ["loss", *reported, "eval_loss", *(f"eval_{name}" for name in reported)]
    assert json.loads((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 4


@pytest.mark.slow
def test_evaluate_in_the_reviews_world_also_scores_new_samples(capsys):
    printed = run(capsys, "evaluate", "reviews-gpt2", "--split", "test", "--samples", "16", "--json")
    scores = json.loads(printed)
    assert scores["kl"] == 0.0 and 0 <= scores["fluency"] <= 1
    assert {"true_reward", "true_reward_error", "mean_tokens", "preference_accuracy", "margin"} <= set(scores)


def test_inspect_prints_counts_lengths_and_three_rows(capsys, model, data):
    printed = run(capsys, "inspect", data, "--model", model, *COLUMNS)
    assert "20 pairs, 0 invalid rows" in printed
    assert printed.count("chosen    'good'") == 1 and printed.count("  prompt    'the plot was'") == 3
    tokens = {
        line.split()[0]: line.split()[1:]
        for line in printed.splitlines()
        if line.startswith("  ") and len(line.split()) == 4 and line[-1] in "0123456789"
    }
    assert tokens == {"prompt": ["4", "4", "4"], "chosen": ["2", "4", "5"], "rejected": ["2", "3", "4"]}
    assert "problems: 0" in printed


def test_inspect_reports_every_invalid_row(capsys, tmp_path, model):
    path = tmp_path / "pairs.jsonl"
    good = {"prompt": "the plot was", "chosen": "good", "rejected": "bad"}
    rows = [good, {**good, "chosen": " "}, {**good, "rejected": "good"}, {**good, "prompt": "the " * 40}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken\n")
    error = refuse(capsys, "inspect", path, "--model", model)
    assert "4 problems" in error
    with pytest.raises(SystemExit):
        main(["inspect", str(path), "--model", model])
    printed = capsys.readouterr().out
    for line in (2, 3, 4, 5):
        assert f"pairs.jsonl, line {line}" in printed


def test_inspect_names_what_is_worth_a_look_and_it_is_not_an_error(capsys, tmp_path, model):
    path = tmp_path / "pairs.jsonl"
    pair = {"prompt": "the plot was", "chosen": "good", "rejected": "bad"}
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in (pair, {**pair, "chosen": "bad", "rejected": "good"}, pair))
    )
    printed = run(capsys, "inspect", path, "--model", model)
    assert "worth a look:\n  pairs that repeat an earlier one: 1 (line 3)\n  pairs that another pair contr" in printed
    assert "problems: 0" in printed


@pytest.mark.slow
@pytest.mark.parametrize("command", ["inspect", "sample"])
def test_a_terminal_that_is_not_utf_8_shows_other_characters_as_escapes(tmp_path, model, command):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "the plot \u7532 \u03b2", "chosen": "good", "rejected": "bad"}))
    arguments = (
        [str(path), "--model", model]
        if command == "inspect"
        else [model, "--prompt", "the \u7532 \u03b2", "--max-new-tokens", "3"]
    )
    done = subprocess.run(
        [sys.executable, "-m", "dpo_teach.cli", command, *arguments],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u7532 \u03b2" in done.stdout


def test_a_template_joins_columns_and_converts_backslash_n_to_a_new_line(capsys, tmp_path, model):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([{"a": "the", "b": "plot", "chosen": "good", "rejected": "bad"}]))
    printed = run(capsys, "inspect", path, "--model", model, "--prompt-template", "{a}\\n{b} was\\n")
    assert "prompt    'the\\nplot was\\n'" in printed


def test_resume_continues(capsys, tmp_path, model, data):
    common = ["train", "--model", model, "--data", data, *COLUMNS, "--output", tmp_path / "out", *QUICK]
    run(capsys, *common, "--max-steps", "3")
    printed = run(capsys, *common, "--max-steps", "3", "--resume")
    assert "step 3:" in printed
    assert "max_steps was 3 and is now 5" in refuse(capsys, *common, "--max-steps", "5", "--resume")


BAD_COMMANDS = {
    "a missing file": (["train", "--data", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    "beta 0": (["train", "--beta", "0"], "beta must be a finite number above 0, found 0"),
    "beta negative": (["train", "--beta", "-1"], "beta must be a finite number above 0, found -1"),
    "beta nan": (["train", "--beta", "nan"], "beta must be a finite number above 0, found nan"),
    "an unknown loss": (["train", "--loss", "dpo"], "--loss"),
    "a setting of another loss": (
        ["train", "--loss", "ipo", "--label-smoothing", "0.1"],
        "label_smoothing=0.1 is not used by loss 'ipo'; remove it",
    ),
    "a reference that is not used": (
        ["train", "--loss", "simpo", "--reference", "reviews-gpt2"],
        "loss 'simpo' uses no reference; omit reference (--reference)",
    ),
    "a Hub name without a network": (["train", "--model", "gpt2"], "HF_HUB_OFFLINE is set"),
    "a folder that does not exist": (["train", "--model", "./nothing"], "found nothing"),
    "too many held-out pairs": (["train", "--hold-out", "40000"], "the number of pairs (16384), found 40000"),
    "a word instead of a number": (["train", "--epochs", "few"], "--epochs"),
    "a Hub dataset without a network": (
        ["train", "--data", "org/pairs", "--dataset-config", "helpful"],
        "org/pairs: the Hub is not reachable (HF_HUB_OFFLINE is set)",
    ),
    "a misspelt option": (["train", "--betta", "1"], "Unrecognized options: --betta"),
    "a length beyond the context": (
        ["train", "--max-length", "1024"],
        "max_length=1024 is longer than the model's context",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_invalid_input_gives_a_one_line_error_and_writes_nothing(capsys, tmp_path, name):
    arguments, message = BAD_COMMANDS[name]
    output = tmp_path / "out"
    assert message in refuse(capsys, *arguments, "--output", output)
    assert not output.exists()


GOOD_ROW = {"prompt": "the plot was", "chosen": "good", "rejected": "bad"}
BAD_ROWS = {
    "an empty file": ("", "empty"),
    "a broken line": ('{"prompt": "the"\n', "line 1"),
    "a misspelt column": (json.dumps({"prompt": "the", "choosen": "good", "rejected": "bad"}), "'chosen'"),
    "a blank response": (json.dumps(GOOD_ROW | {"chosen": "  "}), "line 1, field 'chosen'"),
    "equal responses": (json.dumps(GOOD_ROW | {"rejected": "good"}), "line 1, field 'rejected'"),
    "a number": (json.dumps(GOOD_ROW | {"rejected": 3}), "line 1, field 'rejected'"),
    "a prompt that fills the context": (json.dumps(GOOD_ROW | {"prompt": "the " * 40}), "41 tokens leave no room"),
    "a prompt that leaves no token for the response": (
        json.dumps(GOOD_ROW | {"prompt": "the " * 31}),
        "line 1, field 'prompt': its 32",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
@pytest.mark.parametrize("command", ["sft", "train"])
def test_invalid_rows_are_reported_with_file_row_and_field(capsys, tmp_path, model, name, command):
    content, message = BAD_ROWS[name]
    path, output = tmp_path / "pairs.jsonl", tmp_path / "out"
    path.write_text(content)
    error = refuse(capsys, command, "--model", model, "--data", path, "--output", output)
    assert "pairs.jsonl" in error and message in error
    assert not output.exists()


def test_an_output_folder_with_other_files_is_refused_and_not_changed(capsys, tmp_path, model, data):
    output = tmp_path / "out"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    assert "is not empty" in refuse(capsys, "train", "--model", model, "--data", data, *COLUMNS, "--output", output)
    assert [path.name for path in output.iterdir()] == ["thesis.txt"]


def test_skipped_rows_are_counted_and_the_first_problem_is_reported(capsys, tmp_path, model):
    path = tmp_path / "pairs.jsonl"
    rows = [GOOD_ROW, GOOD_ROW | {"chosen": " "}, GOOD_ROW | {"prompt": "the plot", "rejected": "very bad"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["evaluate", model, "--reference", model, "--data", str(path), "--on-bad-row", "drop", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["pairs"] == 2
    assert "dpo-teach: warning: 1 of 3 rows" in printed.err and f"{path}, line 2, field 'chosen'" in printed.err


def test_pairs_that_share_a_held_out_prompt_are_not_used_for_training(capsys, tmp_path, model):
    """There are two pairs for each of three prompts. The other pair of the held-out prompt is removed."""
    path = tmp_path / "pairs.jsonl"
    prompts = ["the plot", "the plot was", "the plot was very"] * 2
    rows = [{"prompt": p, "chosen": "good", "rejected": "bad " * (1 + i)} for i, p in enumerate(prompts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["train", "--model", model, "--data", str(path), "--hold-out", "1", "--output", str(tmp_path / "o"), *QUICK])
    printed = capsys.readouterr()
    assert (
        "warning: 1 of the 5 remaining pairs share a prompt with a held-out pair and are not used for training"
        in printed.err
    )
    assert printed.out.startswith("4 pairs; ")


@pytest.mark.parametrize("command", ["sft", "train"])
def test_evaluating_on_training_pairs_gives_a_warning(capsys, tmp_path, model, command):
    """Six different pairs, two of them held out: evaluated on all six, the policy has seen four."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "the plot " * (1 + i), "chosen": "good", "rejected": "bad"} for i in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    held, out = ["--hold-out", "2"], str(tmp_path / "o")
    main([command, "--model", model, "--data", str(path), *held, "--output", out, *QUICK])
    warnings = []
    for options in ([], held):
        capsys.readouterr()
        main(["evaluate", out, "--reference", model, "--data", str(path), *options, "--json"])
        warnings.append([line for line in capsys.readouterr().err.splitlines() if "was trained on" in line])
    assert len(warnings[0]) == 1 and f"{out} was trained on 4 of these 6 pairs" in warnings[0][0]
    assert "--hold-out" in warnings[0][0]
    assert warnings[1] == []


def test_held_out_pairs_that_share_the_only_prompt_give_a_warning(capsys, tmp_path, model, data):
    arguments = ["--model", model, "--data", data, *COLUMNS, "--hold-out", "4", "--output", str(tmp_path / "o"), *QUICK]
    main(["train", *arguments])
    printed = capsys.readouterr()
    assert "warning: 16 of the 16 remaining pairs share a prompt with a held-out pair: " in printed.err
    assert printed.out.startswith("16 pairs; ")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_reference_with_a_different_tokenizer_is_refused(capsys, tmp_path, model, data, command):
    other = tmp_path / "other"
    tiny_model().save_pretrained(other)
    tokenizer = tiny_tokenizer(with_bos=False)
    tokenizer.bos_token = "<eos>"
    tokenizer.save_pretrained(other)
    arguments = ["--model", model, "--output", tmp_path / "o"] if command == "train" else [model]
    error = refuse(capsys, command, *arguments, "--reference", other, "--data", data, *COLUMNS)
    assert f"--reference {str(other)!r}: expected the same tokenizer as {model!r}" in error
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--count", "0"], "--count must be at least 1, found 0"),
        (["evaluate", "reviews-gpt2", "--samples", "-1"], "--samples must be at least 0, found -1"),
        (["inspect", "reviews-preferences", "--max-length", "0"], "max_length must be at least 2"),
        (["inspect", "reviews-preferences", "--max-length", "99999"], "longer than the model's context of 512 tokens"),
        (["inspect", "reviews-preferences", "--max-prompt-length", "0"], "max_prompt_length must be at least 1"),
        (["frontier", "--output", "x.json", "--steps", "0"], "steps must be at least 1, found 0"),
        (["frontier", "--output", "/proc/none/x.json"], "/proc/none"),
        (["train", "--output", "x", "--max-length", "0"], "max_length must be a finite number above 0, found 0"),
        (["sft", "--output", "x", "--max-prompt-length", "0"], "max_prompt_length must be a finite number above 0"),
    ],
)
def test_invalid_values_are_reported_with_their_option(capsys, arguments, message):
    assert message in refuse(capsys, *arguments)


def test_inspect_lists_only_the_first_problems(capsys, tmp_path, model):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(GOOD_ROW | {"chosen": " "}) + "\n" for _ in range(60)) + json.dumps(GOOD_ROW))
    with pytest.raises(SystemExit):
        main(["inspect", str(path), "--model", model])
    printed = capsys.readouterr().out
    assert (
        "problems: 60" in printed and "and 10 more" in printed and "line 50," in printed and "line 51," not in printed
    )


def test_inspect_counts_truncated_pairs(capsys, model, data):
    printed = run(capsys, "inspect", data, "--model", model, *COLUMNS, "--max-length", "7", "--max-prompt-length", "3")
    assert "truncated: the responses of 5 pairs" in printed  # those with three times "very": 3 + 4 + 1 tokens
    assert "problems: 0" in printed


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["sample --count 1", "inspect reviews-preferences"])
def test_a_pipe_that_closes_early_is_not_an_error(arguments):
    """`| head -c 1` closes the pipe before the command has finished."""
    command = f"{sys.executable} -m dpo_teach.cli {arguments} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(("arguments", "status"), [(["train", "--help"], 0), (["train", "--betta", "1"], 2)])
def test_help_and_a_misspelt_option_do_not_import_torch(arguments, status):
    code = (
        "import sys, dpo_teach.cli\n"
        "try:\n"
        f"    dpo_teach.cli.main({arguments})\n"
        "except SystemExit as stop:\n"
        f"    assert stop.code == {status}\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_ctrl_c_during_imports_prints_one_line_and_threads_wait_passively():
    code = (
        "import sys, os, types, dpo_teach.cli\n"
        "assert 'torch' not in sys.modules\n"
        "class Interrupted(types.ModuleType):\n"
        "    def __getattr__(self, name):\n"
        "        assert os.environ['OMP_WAIT_POLICY'] == 'passive'\n"
        "        raise KeyboardInterrupt\n"
        "sys.modules['torch'] = Interrupted('torch')\n"
        "dpo_teach.cli.main(['sample'])\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "dpo-teach: interrupted\n")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_only_the_first_process_prints_output_but_all_print_errors(capsys, tmp_path, monkeypatch, rank):
    """accelerate and torchrun set RANK. This also applies to `inspect` and `evaluate`."""
    monkeypatch.setenv("RANK", rank)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [GOOD_ROW, GOOD_ROW | {"chosen": " "}, GOOD_ROW]))
    main(["evaluate", "reviews-gpt2", "--data", str(path), "--on-bad-row", "drop", "--json"])
    printed = capsys.readouterr()
    first = rank == "0"
    assert (printed.out.startswith("{"), "warning: 1 of 3 rows" in printed.err) == (first, first)
    assert "--count must be at least 1" in refuse(capsys, "sample", "--count", "0")
    assert logging.getLogger("dpo_teach").handlers == []

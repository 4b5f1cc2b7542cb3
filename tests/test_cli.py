"""The commands, as a person types them: what they print, what they leave behind, and what they say of bad input."""

import json
import math

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
    """What a command says on stderr as it gives up: one line, exit status 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dpo-teach: ")]
    assert len(lines) == 1
    return lines[0]


def test_sft_then_train_then_evaluate_then_sample(capsys, tmp_path, model, data):
    held = ["--hold-out", "4", "--hold-out-seed", "1"]
    run(capsys, "sft", "--model", model, "--data", data, *COLUMNS, *held, "--output", tmp_path / "sft", *QUICK)
    said = run(capsys, "train", "--model", tmp_path / "sft", "--data", data, *COLUMNS, *held,
               "--output", tmp_path / "dpo", "--beta", "0.5", *QUICK)  # fmt: skip
    assert "16 pairs, 0 cut to fit, 0 left out" in said
    assert "step 4:" in said and "eval_preference_accuracy 1.0000" in said
    said = run(capsys, "evaluate", tmp_path / "dpo", "--reference", tmp_path / "sft", "--data", data, *COLUMNS, *held,
               "--beta", "0.5", "--json")  # fmt: skip
    scores = json.loads(said)
    assert scores["pairs"] == 4 and scores["preference_accuracy"] == 1.0 and scores["loss"] < math.log(2)
    said = run(capsys, "sample", tmp_path / "dpo", "--prompt", "the plot was", "--count", "2", "--max-new-tokens", "3")
    assert said.count("the plot was|") == 2


@pytest.mark.slow
def test_evaluate_in_the_reviews_world_also_judges_fresh_samples(capsys):
    said = run(capsys, "evaluate", "reviews-gpt2", "--split", "test", "--samples", "16", "--json")
    scores = json.loads(said)
    assert scores["kl"] == 0.0 and 0 <= scores["fluency"] <= 1
    assert {"true_reward", "true_reward_error", "mean_tokens", "preference_accuracy", "margin"} <= set(scores)


def test_inspect_prints_counts_lengths_and_three_rows(capsys, model, data):
    said = run(capsys, "inspect", data, "--model", model, *COLUMNS)
    assert "20 pairs, 0 rows that cannot be used" in said
    assert said.count("chosen    'good'") == 1 and said.count("  prompt    'the plot was'") == 3
    tokens = {
        line.split()[0]: line.split()[1:]
        for line in said.splitlines()
        if line.startswith("  ") and line[-1] in "0123456789"
    }
    assert tokens == {"prompt": ["4", "4", "4"], "chosen": ["2", "4", "5"], "rejected": ["2", "3", "4"]}
    assert "problems: 0" in said


def test_inspect_names_every_row_that_is_wrong(capsys, tmp_path, model):
    path = tmp_path / "pairs.jsonl"
    good = {"prompt": "the plot was", "chosen": "good", "rejected": "bad"}
    rows = [good, {**good, "chosen": " "}, {**good, "rejected": "good"}, {**good, "prompt": "the " * 40}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken\n")
    error = refuse(capsys, "inspect", path, "--model", model)
    assert "4 problems" in error
    with pytest.raises(SystemExit):
        main(["inspect", str(path), "--model", model])
    said = capsys.readouterr().out
    for line in (2, 3, 4, 5):
        assert f"pairs.jsonl, line {line}" in said


def test_a_template_joins_columns_and_reads_backslash_n_as_a_new_line(capsys, tmp_path, model):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([{"a": "the", "b": "plot", "chosen": "good", "rejected": "bad"}]))
    said = run(capsys, "inspect", path, "--model", model, "--prompt-template", "{a}\\n{b} was\\n")
    assert "prompt    'the\\nplot was\\n'" in said


def test_resume_goes_on(capsys, tmp_path, model, data):
    common = ["train", "--model", model, "--data", data, *COLUMNS, "--output", tmp_path / "out", *QUICK]
    run(capsys, *common, "--max-steps", "3")
    said = run(capsys, *common, "--max-steps", "3", "--resume")
    assert "step 3:" in said
    assert "other settings: max_steps was 3, is 5" in refuse(capsys, *common, "--max-steps", "5", "--resume")


BAD_COMMANDS = {
    "a missing file": (["train", "--data", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    "beta 0": (["train", "--beta", "0"], "beta must be a finite number above 0, found 0"),
    "beta negative": (["train", "--beta", "-1"], "beta must be a finite number above 0, found -1"),
    "beta nan": (["train", "--beta", "nan"], "beta must be a finite number above 0, found nan"),
    "a Hub name without a network": (["train", "--model", "gpt2"], "HF_HUB_OFFLINE is set"),
    "a folder that is none": (["train", "--model", "./nothing"], "found nothing"),
    "too much held out": (["train", "--hold-out", "4000"], "below the number of pairs (2048), found 4000"),
    "a word for a number": (["train", "--epochs", "few"], "--epochs"),
    "a misspelt option": (["train", "--betta", "1"], "Unrecognized options: --betta"),
    "a context too long": (["train", "--max-length", "1024"], "max_length=1024 is longer than the model's context"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_bad_input_is_one_line_and_nothing_is_written(capsys, tmp_path, name):
    arguments, message = BAD_COMMANDS[name]
    output = tmp_path / "out"
    assert message in refuse(capsys, *arguments, "--output", output)
    assert not output.exists()


GOOD_ROW = {"prompt": "the plot was", "chosen": "good", "rejected": "bad"}
BAD_ROWS = {
    "an empty file": ("", "empty"),
    "a broken line": ('{"prompt": "the"\n', "line 1"),
    "a misspelt column": (json.dumps({"prompt": "the", "choosen": "good", "rejected": "bad"}), "'chosen'"),
    "a blank response": (json.dumps(GOOD_ROW | {"chosen": "  "}), "line 1, chosen"),
    "equal responses": (json.dumps(GOOD_ROW | {"rejected": "good"}), "line 1, rejected"),
    "a number": (json.dumps(GOOD_ROW | {"rejected": 3}), "line 1, rejected"),
    "a prompt that fills the context": (json.dumps(GOOD_ROW | {"prompt": "the " * 40}), "41 tokens leave no room"),
    "a response cut to nothing": (json.dumps(GOOD_ROW | {"prompt": "the " * 31}), "line 1, field 'prompt': its 32"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
@pytest.mark.parametrize("command", ["sft", "train"])
def test_bad_rows_are_named_by_file_row_and_field(capsys, tmp_path, model, name, command):
    content, message = BAD_ROWS[name]
    path, output = tmp_path / "pairs.jsonl", tmp_path / "out"
    path.write_text(content)
    error = refuse(capsys, command, "--model", model, "--data", path, "--output", output)
    assert "pairs.jsonl" in error and message in error
    assert not output.exists()


def test_an_output_folder_with_something_in_it_is_left_alone(capsys, tmp_path, model, data):
    output = tmp_path / "out"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    assert "is not empty" in refuse(capsys, "train", "--model", model, "--data", data, *COLUMNS, "--output", output)
    assert [path.name for path in output.iterdir()] == ["thesis.txt"]

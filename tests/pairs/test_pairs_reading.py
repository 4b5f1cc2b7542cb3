"""Read pairs from lists, files, folders and the Hub, and check the error for each source that cannot be read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair_sources import GOOD, PAIRS, ROWS, error_of, write_jsonl

from dpo_teach.pairs import PairError, PairFileNotFoundError, PreferencePair, load_pairs, reading, survey_pairs


def test_jsonl(tmp_path):
    assert load_pairs(write_jsonl(tmp_path / "pairs.jsonl", ROWS)) == PAIRS


def test_a_path_may_be_a_string(tmp_path):
    assert load_pairs(str(write_jsonl(tmp_path / "pairs.jsonl", ROWS))) == PAIRS


def test_json_array(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(ROWS, indent=4), encoding="utf-8")
    assert load_pairs(path) == PAIRS


texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
some_pairs = st.lists(st.tuples(texts, texts, texts).filter(lambda row: row[1] != row[2]), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(some_pairs, st.booleans())
def test_every_format_preserves_the_texts(tmp_path, pairs, ascii_only):
    rows = [dict(zip(GOOD, row, strict=True)) for row in pairs]
    lines, array, table = (tmp_path / f"pairs.{ending}" for ending in ("jsonl", "json", "parquet"))
    lines.write_bytes(b"\n".join(json.dumps(row, ensure_ascii=ascii_only).encode() for row in rows))
    array.write_bytes(json.dumps(rows, ensure_ascii=ascii_only).encode())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    expected = [PreferencePair(*row) for row in pairs]
    assert load_pairs(rows) == load_pairs(lines) == load_pairs(array) == load_pairs(table) == expected


@pytest.mark.parametrize("prompt", ["The plot", "\n\nHuman: The plot?\n\nAssistant:"])
def test_each_line_is_parsed_once(tmp_path, monkeypatch, prompt):
    """Both with a prompt column and with an implicit prompt, which needs all rows before the first pair is built."""
    rows = [{"prompt": prompt, "chosen": f"{i}", "rejected": " bad"} for i in range(10)]
    if prompt.endswith(":"):
        rows = [{name: prompt + row[name] for name in ("chosen", "rejected")} for row in rows]
    parsed = []
    monkeypatch.setattr(reading.JSON, "decode", lambda line: parsed.append(line) or json.loads(line))
    assert len(load_pairs(write_jsonl(tmp_path / "pairs.jsonl", rows))) == len(parsed) == 10


@pytest.mark.parametrize("name", ["pairs.parquet", "what [a] *name?.parquet"])
def test_parquet(tmp_path, name):
    path = tmp_path / name
    datasets.Dataset.from_list(ROWS).to_parquet(str(path))
    assert load_pairs(path) == PAIRS


def test_parquet_of_conversations(tmp_path):
    path = tmp_path / "chats.parquet"
    question = {"role": "user", "content": "Hi"}
    answers = [{"role": "assistant", "content": content} for content in ("Hello", "Go away")]
    rows = [{"chosen": [question, answers[0]], "rejected": [question, answers[1]]}]
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    assert load_pairs(path) == [PreferencePair("\n\nHuman: Hi\n\nAssistant:", " Hello", " Go away")]


def test_parquet_row_numbers(tmp_path):
    path = tmp_path / "pairs.parquet"
    datasets.Dataset.from_list([*ROWS, {"prompt": "x", "chosen": None, "rejected": "b"}]).to_parquet(str(path))
    assert error_of(path).startswith(f"{path}, row 3, field 'chosen': expected text, found None")


def test_a_list_of_dicts_and_of_pairs():
    assert load_pairs(ROWS) == PAIRS
    assert load_pairs(PAIRS) == PAIRS
    assert load_pairs([ROWS[0], PAIRS[1]]) == PAIRS


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet"])
def test_a_folder_has_one_file_for_each_split(tmp_path, ending):
    for split, row in zip(["train", "test"], ROWS, strict=True):
        path = tmp_path / f"{split}{ending}"
        if ending == ".parquet":
            datasets.Dataset.from_list([row]).to_parquet(str(path))
        else:
            path.write_text(json.dumps(row if ending == ".jsonl" else [row]), encoding="utf-8")
    assert load_pairs(tmp_path) == PAIRS[:1]
    assert load_pairs(str(tmp_path), split="test") == PAIRS[1:]


def test_a_folder_without_the_split_lists_its_files(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    message = error_of(tmp_path, split="validation")
    assert message.startswith(f"{tmp_path}: no file for the split 'validation'")
    assert "validation.jsonl, validation.json, validation.parquet" in message and "found 'train.jsonl'" in message


def test_a_bundled_name_is_read_from_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("dpo_teach.pairs.reading.ASSETS", tmp_path)
    folder = tmp_path / "reviews-preferences"
    folder.mkdir()
    rewards = {"chosen_reward": 1.5, "rejected_reward": -0.5}
    write_jsonl(folder / "train.jsonl", [ROWS[0] | rewards])
    write_jsonl(folder / "test.jsonl", [ROWS[1] | rewards])
    assert load_pairs("reviews-preferences") == PAIRS[:1]
    assert load_pairs("reviews-preferences", split="test") == PAIRS[1:]


def test_a_single_file_ignores_the_split(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    assert load_pairs(path, split="test") == PAIRS


def test_empty_lines_are_skipped_but_count_as_lines(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = ["", json.dumps(ROWS[0]), "   ", json.dumps(ROWS[1]), json.dumps(GOOD | {"chosen": ""}), ""]
    path.write_text("\r\n".join(lines), encoding="utf-8")
    survey = survey_pairs(path)
    (problem,) = survey.problems
    assert survey.pairs == PAIRS
    assert (problem.source, problem.unit, problem.row, problem.field) == (str(path), "line", 5, "chosen")
    assert [pair.where for pair in survey.pairs] == [f"{path}, line 2", f"{path}, line 4"]


def test_a_byte_order_mark_is_ignored(tmp_path):
    for name, text in [("a.jsonl", json.dumps(GOOD)), ("a.json", json.dumps([GOOD]))]:
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert load_pairs(tmp_path / name) == PAIRS[:1]


def test_a_unicode_line_separator_does_not_end_a_line(tmp_path):
    row = GOOD | {"chosen": " one\u2028two\x85three"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    assert load_pairs(path) == [PreferencePair("The plot", " one\u2028two\x85three", " drags.")]


def test_a_missing_file_lists_the_files_in_its_folder(tmp_path):
    write_jsonl(tmp_path / "train-pairs.jsonl", ROWS)
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    missing = tmp_path / "train-pair.jsonl"
    message = error_of(missing)
    assert message.startswith(f"{missing}: no such file")
    assert "'notes.txt', 'train-pairs.jsonl'" in message and message.endswith("did you mean 'train-pairs.jsonl'?")
    with pytest.raises(FileNotFoundError):
        load_pairs(str(missing))


@pytest.mark.parametrize(
    "name", ["pairs.jsonl", "./pairs", "../a/b", "/no/pairs", "a/b/c", "data.csv", "C:\\pairs", "-x"]
)
def test_a_name_that_looks_like_a_path_is_not_looked_up_on_the_hub(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PairFileNotFoundError, match="no such file"):
        load_pairs(name)


def test_a_path_object_is_never_a_hub_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PairFileNotFoundError, match="no such file; the folder contains nothing"):
        load_pairs(Path("pairs"))


def test_a_missing_folder(tmp_path):
    missing = tmp_path / "nowhere" / "pairs.jsonl"
    message = error_of(missing)
    assert message.startswith(f"{missing}: no such file") and f"'{tmp_path / 'nowhere'}' does not exist" in message


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json", "pairs.parquet"])
@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    message = error_of(path)
    assert message.startswith(f"{path}: ") and "found an empty file" in message


def test_no_rows(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text("[]", encoding="utf-8")
    for source, name in ((path, path), ([], "the list")):
        message = error_of(source)
        assert message.startswith(f"{name}: ") and "found no rows" in message


def test_an_unsupported_file_type_is_refused(tmp_path):
    path = tmp_path / "pairs.yaml"
    path.write_text("prompt: x\n", encoding="utf-8")
    message = error_of(path)
    assert message.startswith(f"{path}: ") and ".jsonl, .json, .parquet, .csv, .tsv, found '.yaml'" in message


def test_invalid_json_is_reported_with_line_and_column(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(GOOD) + '\n\n{"prompt": "x", \n', encoding="utf-8")
    assert re.match(rf"{re.escape(str(path))}, line 3: .*invalid JSON at column 17 ", error_of(path))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'[\n  {"prompt": "x"},\n  {"prompt" "y"}\n]', ", line 3, column 13: .*invalid JSON"),
        (b'{"prompt": "x"}\n{"prompt": "y"}\n', ", line 2, column 1: .*invalid JSON .Extra data"),
        (b'{"prompt": "x", "rows": [1]}', ": .*found a single object with the array 'rows'"),
        (b'"text"', ": .*found a single string"),
        (b'[\n"\xff"]', ", line 2: expected UTF-8"),
        (b"[" * 100_000, ": .*invalid JSON"),
    ],
)
def test_invalid_json_files(tmp_path, content, what):
    path = tmp_path / "pairs.json"
    path.write_bytes(content)
    assert re.match(re.escape(str(path)) + what, error_of(path))


def test_jsonl_and_json_with_swapped_suffixes_suggest_renaming(tmp_path):
    lines, array = tmp_path / "lines.json", tmp_path / "array.jsonl"
    write_jsonl(lines, ROWS)
    array.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    assert error_of(lines).endswith("rename the file to .jsonl")
    assert error_of(array).endswith("rename the file to .json")


def test_rows_that_are_not_objects(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text('[null, "x", 3, true]', encoding="utf-8")
    whats = [problem.what for problem in survey_pairs(path).problems]
    found = ["found None (null)", "found 'x' (string)", "found 3 (number)", "found True (boolean)"]
    assert [what.split(", ")[-1] for what in whats] == found


@pytest.mark.parametrize("content", [b"not parquet", b"PAR1 cut off", b"PAR1 garbage in between PAR1"])
def test_a_damaged_parquet_file(tmp_path, content):
    path = tmp_path / "pairs.parquet"
    path.write_bytes(content)
    message = error_of(path)
    assert message.startswith(f"{path}: ")
    assert "Parquet" in message


@pytest.mark.slow
def test_a_flipped_byte_in_a_parquet_file_is_harmless_or_a_pair_error(tmp_path):
    path = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS * 20), path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            load_pairs(path)
        except PairError as error:
            assert str(error).startswith(str(path))


def test_a_hub_name_in_offline_mode_names_the_environment_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = error_of("nobody/no-such-pairs")
    assert message.startswith("nobody/no-such-pairs: the Hub is not reachable (HF_HUB_OFFLINE is set)")


def test_a_misspelt_bundled_name_gets_a_suggestion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'reviews-preferences'?" in error_of("review-preferences")


@pytest.mark.parametrize(
    ("raised", "what"),
    [
        (
            ConnectionError("Couldn't reach 'a/b' on the Hub (LocalEntryNotFoundError)"),
            "is not reachable (no network?)",
        ),
        (TimeoutError("slow"), "is not reachable (no network?)"),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist"), "has no dataset of this name"),
        (datasets.exceptions.DatasetNotFoundError("'a/b' is a gated dataset"), "is restricted"),
        (ValueError('Unknown split "dev".\nShould be one of ...'), "Hub dataset cannot be read: Unknown split"),
        (ValueError(), "Hub dataset cannot be read: ValueError"),
        (
            ValueError("Config name is missing.\nPlease pick one among the available configs: ['base', 'online']\n"),
            "choose one of its configurations with dataset_config (--dataset-config NAME): ['base', 'online']",
        ),
        (
            ValueError("BuilderConfig 'bsae' not found. Available: ['base', 'online']"),
            "(--dataset-config NAME): ['base', 'online']",
        ),
    ],
)
def test_errors_of_the_hub_are_explained(tmp_path, monkeypatch, raised, what):
    def refuse(*_args, **_options):
        raise raised

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    message = error_of("a/b")
    assert message.startswith("a/b: ")
    assert what in message


def test_a_hub_dataset_is_read_by_name_and_split(tmp_path, monkeypatch):
    requested = []

    def answer(name, *, split):
        requested.append((name, split))
        return datasets.Dataset.from_list([*ROWS, GOOD | {"chosen": ""}])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", answer)
    survey = survey_pairs("org/pairs-v1.5", split="test_prefs")
    assert requested == [("org/pairs-v1.5", "test_prefs")]
    assert survey.pairs == PAIRS
    assert str(survey.problems[0]).startswith("org/pairs-v1.5 (test_prefs), row 3, field 'chosen': ")


def test_the_cause_of_an_error_of_the_hub_is_named(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        try:
            raise KeyError("column 'label'")
        except KeyError as cause:
            raise RuntimeError("An error occurred while generating the dataset") from cause

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    assert "while generating the dataset; \"column 'label'\"" in error_of("a/b")


def test_a_configuration_of_a_hub_dataset_is_chosen_by_name(tmp_path, monkeypatch):
    def answer(name, configuration, *, split):
        assert (name, configuration, split) == ("org/pairs", "online", "test")
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", answer)
    assert load_pairs("org/pairs", split="test", dataset_config="online") == PAIRS


@pytest.mark.slow
def test_json_is_read_without_the_datasets_library():
    code = "import sys, dpo_teach.pairs as p; p.load_pairs([p.PreferencePair('a', 'b', 'c')]); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "dpo_teach.pairs" in modules
    assert "datasets" not in modules


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    path = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.table({name: pyarrow.array([], pyarrow.string()) for name in GOOD}), path)
    message = error_of(path)
    assert message.startswith(f"{path}: ") and "found no rows" in message


def test_a_duplicate_key_is_an_error(tmp_path):
    """Python's json module and pyarrow would silently keep the last one."""
    row = '{"prompt": "the plot was", "chosen": "good", "chosen": "bad", "rejected": "dull"}'
    lines, array = tmp_path / "pairs.jsonl", tmp_path / "pairs.json"
    lines.write_text(json.dumps(GOOD) + "\n" + row)
    array.write_text(f"[{row}]")
    for source, place in ((lines, f"{lines}, line 2: "), (array, f"{array}: ")):
        message = error_of(source)
        assert message.startswith(place) and "duplicate key 'chosen'" in message
    columns = [pyarrow.array([text]) for text in ("the plot was", "good", "bad", "dull")]
    table = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, ["prompt", "chosen", "chosen", "rejected"]), table)
    message = error_of(table)
    assert message.startswith(f"{table}: ") and message.endswith("duplicate key 'chosen'")


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_utf_16_is_reported_once(tmp_path, ending):
    path = tmp_path / f"pairs.{ending}"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD), encoding="utf-16")
    message = error_of(path)
    assert message.startswith(f"{path}: ") and "UTF-16" in message and "expected UTF-8" in message

"""Compressed files, CSV and TSV, folders of shards, saved datasets, and files that are not what their ending says."""

import bz2
import gzip
import json
import lzma

import datasets
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair_sources import GOOD, PAIRS, ROWS, error_of, write_jsonl

from dpo_teach.pairs import PairError, PreferencePair, load_pairs, survey_pairs


def zstandard(data: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard}
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = b"prompt,chosen,rejected\nThe plot, is a delight., drags.\nThe cast, shines., is wooden.\n"


# Compressed files.


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize(("ending", "content"), [
    (".jsonl", LINES), (".json", json.dumps(ROWS).encode()), (".csv", TABLE), (".tsv", TABLE.replace(b",", b"\t")),
])  # fmt: skip
def test_compressed_files_are_read(tmp_path, compression, ending, content):
    path = tmp_path / f"pairs{ending}{compression}"
    path.write_bytes(COMPRESS[compression](content))
    assert load_pairs(path) == load_pairs(str(path)) == PAIRS


@pytest.mark.parametrize("compression", COMPRESS)
def test_errors_in_a_compressed_file_name_file_line_and_field(tmp_path, compression):
    path = tmp_path / f"pairs.jsonl{compression}"
    path.write_bytes(COMPRESS[compression](LINES + b'\n{"prompt": "x", "chosen": "", "rejected": "y"}\n'))
    assert error_of(path).startswith(f"{path}, line 4, field 'chosen': expected text, found an empty string")


@pytest.mark.parametrize("compression", COMPRESS)
def test_two_compressed_parts_in_one_file_are_both_read(tmp_path, compression):
    path = tmp_path / f"pairs.jsonl{compression}"
    path.write_bytes(b"".join(COMPRESS[compression](json.dumps(row).encode() + b"\n") for row in ROWS))
    assert load_pairs(path) == PAIRS


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("damage", ["cut", "not compressed", "empty"])
def test_a_damaged_compressed_file_is_one_line_of_error(tmp_path, compression, damage):
    path = tmp_path / f"pairs.jsonl{compression}"
    whole = COMPRESS[compression](LINES * 100)
    path.write_bytes({"cut": whole[: len(whole) // 2], "not compressed": LINES, "empty": b""}[damage])
    message = error_of(path)
    assert message.startswith(f"{path}") and ("cannot be decompressed" in message or "found an empty file" in message)


def test_the_public_implicit_prompts_are_read_as_they_are_published(tmp_path):
    start = "\n\nHuman: Name a prime above ten.\n\nAssistant:"
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"chosen": f"{start} 11", "rejected": f"{start} 12"}).encode()))
    assert load_pairs(tmp_path) == [PreferencePair(start, " 11", " 12")]


# CSV and TSV.


def test_cells_in_quotes_keep_quotes_commas_and_line_breaks(tmp_path):
    path = tmp_path / "pairs.csv"
    text = 'prompt,chosen,rejected\r\n"List two primes,\none a line."," 2\n3"," ""4""\n6"\r\n'
    path.write_bytes(text.encode())
    assert load_pairs(path) == [PreferencePair("List two primes,\none a line.", " 2\n3", ' "4"\n6')]


def test_rows_of_a_csv_file_are_counted_by_the_line_on_which_they_begin(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('prompt,chosen,rejected\n"a\nb",x,y\n\nc,,y\nd,x\n"e",x,y,z\n')
    problems = [str(problem) for problem in survey_pairs(path).problems]
    assert problems == [
        f"{path}, line 5, field 'chosen': expected text, found an empty string",
        f"{path}, line 6: expected 3 cells, as in the header, found 2",
        f"{path}, line 7: expected 3 cells, as in the header, found 4",
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'prompt,chosen,rejected\na,x,y\n"b,x,y\nc,x,y\n', ", line 3: expected a double quote that closes a cell"),
        (
            b'prompt,chosen,rejected\na,x,y\nb,"x" x,y\n',
            ", line 3: expected cells separated by ',', found invalid text",
        ),
        (b"prompt,chosen,rejected\na,x,y\nb,caf\xe9,y\n", ", line 3: expected UTF-8, found an invalid byte"),
        (b"prompt,chosen,chosen\na,x,y\n", ", line 1: expected different column names, found duplicate key 'chosen'"),
        (b"question,chosen,rejected\n", ": expected at least one preference pair, found no rows"),
        ("prompt,chosen\n".encode("utf-16"), ": expected UTF-8, found UTF-16"),
    ],
)
def test_invalid_csv_files(tmp_path, content, what):
    path = tmp_path / "pairs.csv"
    path.write_bytes(content)
    assert error_of(path).startswith(f"{path}{what}")


def test_a_long_cell_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"prompt\tchosen\trejected\na\t{'x' * 200_000}\ty\n", encoding="utf-8-sig")
    assert len(load_pairs(path)[0].chosen) == 200_000


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(cells, cells, cells).filter(lambda row: row[1] != row[2]), min_size=1, max_size=4))
def test_csv_preserves_the_texts(tmp_path, rows):
    path = tmp_path / "pairs.csv"
    quoted = (",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [tuple(GOOD), *rows])
    path.write_bytes("\r\n".join(quoted).encode())
    assert load_pairs(path) == [PreferencePair(*row) for row in rows]


# Folders.


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"),
        ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"),
        ("train/a.jsonl", "train/b.jsonl"),
        ("train_1.jsonl", "train_2.jsonl"),
        ("part-0.jsonl", "part-1.jsonl"),
    ],
)
def test_shards_are_read_in_order_with_their_own_names_and_lines(tmp_path, names):
    for name, row in zip(names, ROWS, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(tmp_path / name, [row, GOOD | {"chosen": ""}])
    (tmp_path / "README.md").write_text("pairs")
    survey = survey_pairs(tmp_path)
    assert survey.pairs == PAIRS
    assert [pair.where for pair in survey.pairs] == [f"{tmp_path / name}, line 1" for name in names]
    assert [str(problem).partition(":")[0] for problem in survey.problems] == [
        f"{tmp_path / name}, line 2, field 'chosen'" for name in names
    ]


def test_another_split_of_shards(tmp_path):
    (tmp_path / "data").mkdir()
    for name, row in zip(("train_prefs", "test_prefs"), ROWS, strict=True):
        datasets.Dataset.from_list([row]).to_parquet(str(tmp_path / "data" / f"{name}-00000-of-00001.parquet"))
    assert load_pairs(tmp_path, split="test_prefs") == PAIRS[1:]
    assert "no file for the split 'train'" in error_of(tmp_path), "train_prefs is another split"


def test_the_other_splits_are_not_read_as_training_pairs(tmp_path):
    write_jsonl(tmp_path / "valid.jsonl", ROWS)
    write_jsonl(tmp_path / "more.jsonl", ROWS)
    assert "no file for the split 'train'" in error_of(tmp_path)
    assert load_pairs(tmp_path, split="valid") == PAIRS


@pytest.mark.parametrize(
    "names", [("train.jsonl", "train.jsonl.gz"), ("train.csv", "train.jsonl"), ("a.json", "b.tsv")]
)
def test_a_split_in_two_formats_is_refused_because_it_may_hold_every_pair_twice(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("x")
    assert f"expected files of one format for the split 'train', found '{names[0]}', '{names[1]}'" in error_of(tmp_path)


def test_datasets_saved_to_disk_are_read(tmp_path):
    saved = datasets.Dataset.from_list([*ROWS, GOOD | {"chosen": None}])
    saved.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(train=saved.select([0]), test=saved.select([1])).save_to_disk(str(tmp_path / "dict"))
    survey = survey_pairs(tmp_path / "one")
    assert survey.pairs == PAIRS
    assert str(survey.problems[0]).startswith(f"{tmp_path / 'one'} (train), row 3, field 'chosen': ")
    assert load_pairs(tmp_path / "dict", split="test") == PAIRS[1:]
    assert "no split 'tests', found 'train', 'test'; did you mean 'test'?" in error_of(tmp_path / "dict", split="tests")
    (tmp_path / "one" / "state.json").write_text("{}")
    assert "cannot be read as a dataset saved by save_to_disk" in error_of(tmp_path / "one")


@pytest.mark.usefixtures("unchecked_shapes")
def test_datasets_and_tables_in_memory_are_read_and_several_splits_are_refused():
    dataset = datasets.Dataset.from_list(ROWS)
    assert load_pairs(dataset) == load_pairs(dataset.to_pandas()) == PAIRS
    message = error_of(datasets.DatasetDict(train=dataset, test=dataset))
    assert "expected a list of rows, found a DatasetDict with 'train', 'test'; pass one of them" in message


# Files that are not what their ending says.


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n"


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet", ".csv"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (POINTER, "a Git LFS pointer instead of the data; run git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>\n<body>\nSign in\n", "a web page; download the file itself"),
        (gzip.compress(LINES), "a gzip file; rename it to end in .gz"),
        (zstandard(LINES), "a Zstandard file; rename it to end in .zst"),
        (b"PK\x03\x04....", "a zip file or a spreadsheet"),
    ],
)
def test_a_file_of_another_kind_is_one_error(tmp_path, ending, content, what):
    path = tmp_path / f"pairs{ending}"
    path.write_bytes(content)
    assert error_of(path, on_bad_row="drop").startswith(f"{path}: expected a {ending} file, found {what}")


def test_a_parquet_file_with_another_ending(tmp_path):
    path = tmp_path / "pairs.jsonl"
    datasets.Dataset.from_list(ROWS).to_parquet(str(path))
    assert error_of(path) == f"{path}: expected a .jsonl file, found a Parquet file; rename it to end in .parquet"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("\n".join(json.dumps(row, indent=2) for row in ROWS), "an object that continues on the next line; write each"),
        ("".join(json.dumps(row) + ",\n" for row in ROWS), "a comma after the object; remove the commas"),
        (",\n".join(json.dumps(row) for row in [*ROWS, *ROWS]), "a comma after the object; remove the commas"),
        ("".join(f"{row}\n" for row in ROWS), "invalid JSON at column 2 (Expecting property name"),
        ("Entry not found\nTry again\n", "invalid JSON at column 1 (Expecting value); no other line is an object"),
    ],
)
def test_the_same_mistake_in_every_line_is_one_error(tmp_path, content, what):
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(PairError) as caught:
        survey_pairs(path)
    assert str(caught.value).startswith(f"{path}, line 1: expected one JSON object per line, found {what}")


def test_a_comma_after_one_line_is_the_problem_of_that_line(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + end for row, end in zip([*ROWS, GOOD], [",\n", "\n", "\n"], strict=True)))
    (problem,) = survey_pairs(path).problems
    assert str(problem) == f"{path}, line 1: expected one JSON object per line, found a comma after the object"

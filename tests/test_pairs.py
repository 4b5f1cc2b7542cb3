"""Reading preference pairs: each kind of row worked out by hand, and each bad input with the message it must get."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dpo_teach.pairs import (
    PairError,
    PairFileNotFoundError,
    PairProblem,
    PairSurvey,
    PreferencePair,
    hold_out,
    load_pairs,
    map_pairs,
    survey_pairs,
    without_prompts_of,
)
from dpo_teach.pairs.reading import ASSETS

REAL = Path(__file__).parents[2] / "shared/data/instruction-preferences/instruction-data-with-preference.json"

ROWS = [
    {"prompt": "The plot", "chosen": " is a delight.", "rejected": " drags."},
    {"prompt": "The cast", "chosen": " shines.", "rejected": " is wooden."},
]
PAIRS = [PreferencePair(**row) for row in ROWS]
GOOD = ROWS[0]


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


def write_jsonl(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def the_error(source, **options) -> str:
    """The message with which `source` is refused; every message is one line."""
    with pytest.raises(PairError) as caught:
        load_pairs(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def the_problem(row: dict, **options) -> PairProblem:
    """What is wrong with `row`, after a row that is right."""
    survey = survey_pairs([GOOD, row], **options)
    assert len(survey.pairs) == 1
    (problem,) = survey.problems
    assert (problem.source, problem.unit, problem.row) == ("the list", "row", 2)
    return problem


# Where pairs come from.


def test_jsonl(tmp_path):
    assert load_pairs(write_jsonl(tmp_path / "pairs.jsonl", ROWS)) == PAIRS


def test_a_path_may_be_a_string(tmp_path):
    assert load_pairs(str(write_jsonl(tmp_path / "pairs.jsonl", ROWS))) == PAIRS


def test_json_array(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(ROWS, indent=4), encoding="utf-8")
    assert load_pairs(path) == PAIRS


@pytest.mark.parametrize("name", ["pairs.parquet", "what [a] *name?.parquet"])
def test_parquet(tmp_path, name):
    path = tmp_path / name
    datasets.Dataset.from_list(ROWS).to_parquet(str(path))
    assert load_pairs(path) == PAIRS


def test_parquet_of_conversations(tmp_path):
    path = tmp_path / "chats.parquet"
    rows = [{"chosen": [user("Hi"), assistant("Hello")], "rejected": [user("Hi"), assistant("Go away")]}]
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    assert load_pairs(path) == [PreferencePair("\n\nHuman: Hi\n\nAssistant:", " Hello", " Go away")]


def test_parquet_row_numbers(tmp_path):
    path = tmp_path / "pairs.parquet"
    datasets.Dataset.from_list([*ROWS, {"prompt": "x", "chosen": None, "rejected": "b"}]).to_parquet(str(path))
    message = the_error(path)
    assert message.startswith(f"{path}, row 3, chosen: is None")


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


def test_a_folder_without_the_split(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    message = the_error(tmp_path, split="validation")
    assert message == (
        f"{tmp_path}: no file for the split 'validation', wanted validation.jsonl, validation.json, "
        "validation.parquet; found 'train.jsonl'"
    )


def test_the_bundled_name_is_a_folder_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("dpo_teach.pairs.reading.ASSETS", tmp_path)
    folder = tmp_path / "reviews-preferences"
    folder.mkdir()
    rewards = {"chosen_reward": 1.5, "rejected_reward": -0.5}
    write_jsonl(folder / "train.jsonl", [ROWS[0] | rewards])
    write_jsonl(folder / "test.jsonl", [ROWS[1] | rewards])
    assert load_pairs("reviews-preferences") == PAIRS[:1]
    assert load_pairs("reviews-preferences", split="test") == PAIRS[1:]


@pytest.mark.slow
@pytest.mark.skipif(not (ASSETS / "reviews-preferences").is_dir(), reason="the bundled pairs are not made yet")
@pytest.mark.parametrize(("split", "at_least"), [("train", 2048), ("test", 512)])
def test_the_bundled_pairs_are_all_usable(split, at_least):
    survey = survey_pairs("reviews-preferences", split=split)
    assert survey.problems == []
    assert len(survey.pairs) >= at_least


def test_one_file_is_used_whole_whatever_the_split(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", ROWS)
    assert load_pairs(path, split="test") == PAIRS


def test_empty_lines_are_skipped_and_counted(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = ["", json.dumps(ROWS[0]), "   ", json.dumps(ROWS[1]), json.dumps(GOOD | {"chosen": ""}), ""]
    path.write_text("\r\n".join(lines), encoding="utf-8")
    survey = survey_pairs(path)
    assert survey == PairSurvey(PAIRS, [PairProblem(str(path), "line", 5, "chosen", "is empty, wanted text")])


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path):
    for name, text in [("a.jsonl", json.dumps(GOOD)), ("a.json", json.dumps([GOOD]))]:
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert load_pairs(tmp_path / name) == PAIRS[:1]


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    row = GOOD | {"chosen": " one\u2028two\x85three"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    assert load_pairs(path) == [PreferencePair("The plot", " one\u2028two\x85three", " drags.")]


# An explicit prompt.


def test_columns_of_other_names():
    row = {"question": "2 + 2 =", "good": " 4", "bad": " 5", "prompt": "unused"}
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    assert load_pairs([row], columns=columns) == [PreferencePair("2 + 2 =", " 4", " 5")]


@pytest.mark.parametrize("empty", [None, ""])
def test_a_template_joins_columns_and_null_is_empty(empty):
    rows = [
        {"instruction": "Add.", "input": "2 + 2", "chosen": "4", "rejected": "5"},
        {"instruction": "Greet.", "input": empty, "chosen": "Hi", "rejected": "Bye"},
    ]
    assert load_pairs(rows, prompt_template="Do: {instruction}\n{input}\n{{}}") == [
        PreferencePair("Do: Add.\n2 + 2\n{}", "4", "5"),
        PreferencePair("Do: Greet.\n\n{}", "Hi", "Bye"),
    ]


def test_a_template_goes_before_a_prompt_column():
    assert load_pairs([GOOD | {"title": "Up"}], prompt_template="{title}: {prompt}")[0].prompt == "Up: The plot"


def test_one_row_without_the_prompt_that_others_have_is_bad_and_not_implicit():
    problem = the_problem({"chosen": "Sky is blue", "rejected": "Sky is red"})
    assert problem.field == "prompt"
    assert "found 'chosen', 'rejected'" in problem.what


@pytest.mark.parametrize("field", ["prompt", "chosen"])
def test_the_first_row_does_not_decide_which_columns_there_are(field):
    first = {name: text for name, text in GOOD.items() if name != field}
    survey = survey_pairs([first, ROWS[1]])
    assert survey.pairs == PAIRS[1:]
    assert [(problem.row, problem.field) for problem in survey.problems] == [(1, field)]


# An implicit prompt.


def test_turns_end_the_prompt_after_the_last_assistant_that_both_share():
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Two?\n\nAssistant:"
    pair = load_pairs([{"chosen": f"{start} It is 2", "rejected": f"{start} It is 3"}])
    assert pair == [PreferencePair(start, " It is 2", " It is 3")]


def test_turns_after_the_parting_belong_to_the_responses():
    start = "\n\nHuman: Hi\n\nAssistant:"
    chosen, rejected = " Hello\n\nHuman: Two?\n\nAssistant: 2", " No\n\nHuman: Two?\n\nAssistant: 3"
    pair = load_pairs([{"chosen": start + chosen, "rejected": start + rejected}])
    assert pair == [PreferencePair(start, chosen, rejected)]


@pytest.mark.parametrize(
    ("chosen", "rejected", "cut"),
    [
        ("The sky is blue", "The sky is red", len("The sky is")),
        ("The sky is blue", "The sky is black", len("The sky is")),  # "bl" is shared, and no word
        ("Q: two?\nA: 2", "Q: two?\nA: 3", len("Q: two?\nA:")),
        ("Say yes.\nYes", "Say yes.\nNo", len("Say yes.")),
        ("Say yes. Yes", "Say yes.\nNo", len("Say yes.")),  # two kinds of space
        ("the answer", "the answer is", len("the")),  # both responses keep a word
        ("the answer is", "the answer", len("the")),
        ("the answer \n", "the answer is", len("the")),
        ("the answer is", "the answer \n", len("the")),
    ],
)
def test_text_without_turns_is_cut_where_a_word_ends(chosen, rejected, cut):
    (pair,) = load_pairs([{"chosen": chosen, "rejected": rejected}])
    assert pair == PreferencePair(chosen[:cut], chosen[cut:], rejected[cut:])


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [("Yes", "No"), ("Yes sir", "Yesterday"), (" Yes", " No"), ("  Yes", "  No"), ("word", "word more")],
)
def test_no_shared_beginning_asks_for_a_prompt_column(chosen, rejected):
    message = the_error([{"chosen": chosen, "rejected": rejected}])
    assert message.startswith("the list, row 1, chosen: shares no beginning with 'rejected'")
    assert "a prompt column" in message


words = st.text(st.characters(codec="utf-8"), min_size=1)


@given(start=words, chosen=words, rejected=words)
def test_an_implicit_prompt_takes_nothing_away(start, chosen, rejected):
    row = {"chosen": f"Say {start} {chosen}", "rejected": f"Say {start} {rejected}"}
    survey = survey_pairs([row])
    assume(survey.pairs)
    (pair,) = survey.pairs
    assert pair.prompt + pair.chosen == row["chosen"]
    assert pair.prompt + pair.rejected == row["rejected"]
    assert pair.prompt.strip() and pair.chosen.strip() and pair.rejected.strip()
    assert pair.prompt.endswith("\n\nAssistant:") or (pair.chosen[0].isspace() and pair.rejected[0].isspace())


@given(words, st.lists(words, max_size=3), words, words)
def test_an_implicit_prompt_with_turns_takes_nothing_away(question, turns, chosen, rejected):
    assume(chosen != rejected and chosen.strip() and rejected.strip())
    assume("\n\nAssistant:" not in chosen + rejected)
    start = "\n\nAssistant:".join([f"\n\nHuman: {question}", *turns, ""])
    (pair,) = load_pairs([{"chosen": start + chosen, "rejected": start + rejected}])
    assert pair == PreferencePair(start, chosen, rejected)


@pytest.mark.parametrize("name", ["promt", "Prompt", "prompts", "instruction", "question"])
def test_a_column_that_looks_like_the_prompt_is_not_passed_over(name):
    """Else the words that two answers share by chance would become the prompt, and nobody would be told."""
    message = the_error([{name: "Colour?", "chosen": "It is blue", "rejected": "It is red"}])
    assert f"no column 'prompt', found '{name}', 'chosen', 'rejected'" in message
    assert f"columns={{'prompt': '{name}'}}" in message


def test_turns_are_a_prompt_whatever_other_columns_there_are():
    start = "\n\nHuman: Colour?\n\nAssistant:"
    row = {"question": "Colour?", "chosen": f"{start} blue", "rejected": f"{start} red"}
    assert load_pairs([row]) == [PreferencePair(start, " blue", " red")]


# Conversations.

QUESTION = [user("Two?")]
ASKED = "\n\nHuman: Two?\n\nAssistant:"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": QUESTION, "chosen": [assistant("2")], "rejected": [assistant("3")]},
        {"prompt": QUESTION, "chosen": "2", "rejected": "3"},
        {"prompt": "Two?", "chosen": [assistant("2")], "rejected": [assistant("3")]},
        {"chosen": [*QUESTION, assistant("2")], "rejected": [*QUESTION, assistant("3")]},
        {"prompt": QUESTION, "chosen": [*QUESTION, assistant("2")], "rejected": [*QUESTION, assistant("3")]},
        {"prompt": "Two?", "chosen": [*QUESTION, assistant("2")], "rejected": [*QUESTION, assistant("3")]},
    ],
)
def test_one_conversation_in_six_spellings(row):
    assert load_pairs([row]) == [PreferencePair(ASKED, " 2", " 3")]


def test_a_conversation_of_several_turns():
    shared = [system("Be brief."), user("Hi"), assistant("Hello"), user("Two?")]
    (pair,) = load_pairs([{"chosen": [*shared, assistant("2")], "rejected": [*shared, assistant("3")]}])
    prompt = "\n\nSystem: Be brief.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Two?\n\nAssistant:"
    assert pair == PreferencePair(prompt, " 2", " 3")


def test_the_prompt_column_may_be_one_of_the_shared_messages():
    shared = [system("Be brief."), user("Two?")]
    row = {"prompt": "Two?", "chosen": [*shared, assistant("2")], "rejected": [*shared, assistant("3")]}
    assert load_pairs([row])[0].prompt == "\n\nSystem: Be brief.\n\nHuman: Two?\n\nAssistant:"


def test_a_shared_answer_after_the_prompt_column_goes_on_with_it():
    shared = [assistant("Hello"), user("Two?")]
    row = {"prompt": [user("Hi")], "chosen": [*shared, assistant("2")], "rejected": [*shared, assistant("3")]}
    assert load_pairs([row])[0].prompt == "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Two?\n\nAssistant:"


def test_a_conversation_that_parts_early_keeps_its_turns_in_the_response():
    row = {
        "chosen": [*QUESTION, assistant("2"), user("Sure?"), assistant("Yes")],
        "rejected": [*QUESTION, assistant("2")],
    }
    assert load_pairs([row]) == [PreferencePair(ASKED, " 2\n\nHuman: Sure?\n\nAssistant: Yes", " 2")]


@pytest.mark.parametrize(
    ("row", "field", "what"),
    [
        ({"chosen": [{"content": "2"}]}, "chosen, message 1", "has no 'role', found 'content'"),
        ({"chosen": [{"role": "assistant"}]}, "chosen, message 1", "has no 'content', found 'role'"),
        ({"rejected": [assistant("2"), "3"]}, "rejected, message 2", "is '3', wanted an object with 'role'"),
        ({"rejected": ["3"]}, "rejected, message 1", "is '3', wanted an object with 'role'"),
        ({"chosen": [{"role": "bot", "content": "2"}]}, "chosen, message 1", "the role 'bot', wanted one of 'system'"),
        ({"chosen": [{"role": ["x"], "content": "2"}]}, "chosen, message 1", "the role ['x'], wanted one of 'system'"),
        ({"chosen": [assistant(None)]}, "chosen, message 1, content", "is None (type NoneType), wanted text"),
        ({"chosen": []}, "chosen", "is an empty list"),
        ({"chosen": [assistant(" ")]}, "chosen", "has no text after the prompt"),
        ({"chosen": [user("2")]}, "chosen", "starts with a message of the role 'user', wanted 'assistant'"),
        ({"chosen": [assistant(" drags.")]}, "rejected", "is the same as 'chosen'"),
        (
            {"chosen": [*QUESTION, assistant("2")], "rejected": [*QUESTION, assistant("3")]},
            "prompt",
            "is not among the messages that 'chosen' and 'rejected' share",
        ),
    ],
)
def test_bad_messages(row, field, what):
    problem = the_problem(GOOD | row)
    assert problem.field == field
    assert what in problem.what


def test_conversations_that_share_no_message_ask_for_a_prompt_column():
    message = the_error([{"chosen": [user("Two?"), assistant("2")], "rejected": [user("2?"), assistant("3")]}])
    assert message.startswith("the list, row 1, chosen: shares no first message with 'rejected'")
    assert "a prompt column" in message


# Rows that are no pair.


@pytest.mark.parametrize(
    ("row", "field", "what"),
    [
        ({"chosen": ""}, "chosen", "is empty, wanted text"),
        ({"rejected": ""}, "rejected", "is empty, wanted text"),
        ({"chosen": " \n\t"}, "chosen", "is only whitespace, wanted text"),
        ({"rejected": "\u00a0"}, "rejected", "is only whitespace, wanted text"),
        ({"prompt": ""}, "prompt", "is empty, wanted text"),
        ({"rejected": " is a delight."}, "rejected", "is the same as 'chosen', wanted two different responses"),
        ({"chosen": 3}, "chosen", "is 3 (type int), wanted text"),
        ({"rejected": None}, "rejected", "is None (type NoneType), wanted text"),
        ({"prompt": 1.5}, "prompt", "is 1.5 (type float), wanted text"),
        ({"chosen": {"text": "hi"}}, "chosen", "is {'text': 'hi'} (type dict), wanted text"),
        ({"chosen": "a\ud83d"}, "chosen", "character 2 is '\\ud83d', half of a surrogate pair"),
    ],
)
def test_bad_cells(row, field, what):
    problem = the_problem(GOOD | row)
    assert problem.field == field
    assert problem.what.startswith(what)


def test_bad_cells_go_by_the_name_that_the_file_gives_them():
    columns = {"chosen": "good", "rejected": "bad"}
    message = the_error([{"prompt": "2 + 2 =", "good": " 4", "bad": " 4"}], columns=columns)
    assert message.startswith("the list, row 1, bad: is the same as 'good'")


def test_an_implicit_prompt_that_leaves_nothing_of_a_response():
    start = "\n\nHuman: Hi\n\nAssistant:"
    message = the_error([{"chosen": f"{start} Hello", "rejected": f"{start} "}])
    assert message.startswith("the list, row 1, rejected: has no text after the prompt")


def test_a_template_that_comes_out_blank():
    message = the_error([{"a": None, "chosen": "x", "rejected": "y"}], prompt_template="{a}\n")
    assert message.startswith("the list, row 1, the prompt that prompt_template makes: is only whitespace")


def test_a_template_wants_text():
    message = the_error([{"a": 7, "chosen": "x", "rejected": "y"}], prompt_template="{a}\n")
    assert message.startswith("the list, row 1, a: is 7 (type int), wanted text")


def test_a_long_cell_is_cut_short():
    message = the_error([GOOD | {"chosen": list(range(10_000))}])
    assert len(message) < 300


def test_a_bad_row_is_an_error_that_tells_the_way_out(tmp_path):
    rows = [*ROWS, GOOD | {"chosen": ""}, GOOD | {"rejected": 3}]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    assert the_error(path) == (
        f"{path}, line 3, chosen: is empty, wanted text (2 of 4 rows cannot be used; "
        "on_bad_row='drop', CLI: --on-bad-row drop, leaves such rows out)"
    )


def test_bad_rows_can_be_dropped(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", [ROWS[0], GOOD | {"chosen": ""}, ROWS[1]])
    assert load_pairs(path, on_bad_row="drop") == PAIRS


def test_dropping_every_row_is_an_error(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", [GOOD | {"chosen": ""}, GOOD | {"chosen": 3}])
    message = the_error(path, on_bad_row="drop")
    assert message.startswith(f"{path}: none of its 2 rows is a pair; the first: {path}, line 1, chosen: is empty")


def test_a_survey_collects_every_problem(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [
        json.dumps(ROWS[0]).encode(),
        b'{"prompt": "x", "chosen" "y"}',
        json.dumps(GOOD | {"chosen": " "}).encode(),
        b'{"prompt": "caf\xe9"}',
        b"[1, 2]",
        json.dumps({"prompt": "x", "chosen": "y"}).encode(),
        json.dumps(ROWS[1]).encode(),
        b"[" * 100_000,
    ]
    path.write_bytes(b"\n".join(lines))
    survey = survey_pairs(path)
    assert survey.pairs == PAIRS
    assert [(problem.row, problem.field) for problem in survey.problems] == [
        (2, ""),
        (3, "chosen"),
        (4, ""),
        (5, ""),
        (6, "rejected"),
        (8, ""),
    ]
    assert [str(problem) for problem in survey.problems[:5]] == [
        f"{path}, line 2: broken JSON at column 26: Expecting ':' delimiter, wanted one object on the line",
        f"{path}, line 3, chosen: is only whitespace, wanted text",
        f"{path}, line 4: byte 16 is not valid UTF-8, wanted a file in UTF-8",
        f"{path}, line 5: is [1, 2] (one array), wanted an object with named columns",
        f"{path}, line 6, rejected: the row has no such column, found 'prompt', 'chosen'",
    ]


# Columns and templates that do not fit the file.


@pytest.mark.parametrize("on_bad_row", ["error", "drop"])
def test_a_misspelt_column_is_named_once_with_those_that_exist(tmp_path, on_bad_row):
    path = write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": "x", "choosen": "y", "rejected": "z"}] * 3)
    message = the_error(path, on_bad_row=on_bad_row)
    assert message == (f"{path}: no column 'chosen', found 'prompt', 'choosen', 'rejected'; did you mean 'choosen'?")


@pytest.mark.parametrize(("field", "near"), [("prompt", "Prompt"), ("chosen", "CHOSEN"), ("rejected", "reject")])
def test_a_mapped_column_that_does_not_exist(field, near):
    row = {name: text for name, text in GOOD.items() if name != field} | {near: "text"}
    message = the_error([row], columns={field: field})
    assert f"no column '{field}'" in message
    assert message.endswith(f"did you mean '{near}'?")


def test_a_template_field_that_does_not_exist():
    row = {"instruction": "Add.", "chosen": "4", "rejected": "5"}
    message = the_error([row], prompt_template="{instuction}\n")
    assert message == (
        "the list: prompt_template names the column 'instuction', found 'instruction', 'chosen', 'rejected'; "
        "did you mean 'instruction'?"
    )


@pytest.mark.parametrize("template", ["{", "{}", "no column", "", "{prompt!r}", "{prompt:>10}"])
def test_a_template_that_is_none(template):
    assert the_error(ROWS, prompt_template=template).startswith("prompt_template: ")


def test_a_template_looks_up_columns_and_nothing_else():
    message = the_error(ROWS, prompt_template="{prompt.__class__}")
    assert "prompt_template names the column 'prompt.__class__'" in message


def test_options_that_contradict_themselves():
    assert "wanted one of the two" in the_error(ROWS, prompt_template="{prompt}", columns={"prompt": "prompt"})
    assert (
        the_error(ROWS, columns={"answer": "x"}) == "columns: found 'answer', wanted 'prompt', 'chosen' or 'rejected'"
    )


@pytest.mark.usefixtures("unchecked_shapes")
def test_on_bad_row_is_one_of_two_words():
    assert the_error(ROWS, on_bad_row="skip") == "on_bad_row must be 'error' or 'drop', found 'skip'"


# Files that are no source.


def test_a_missing_file_names_its_neighbours(tmp_path):
    write_jsonl(tmp_path / "train-pairs.jsonl", ROWS)
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    missing = tmp_path / "train-pair.jsonl"
    message = the_error(missing)
    assert message == (
        f"{missing}: no such file; beside it: 'notes.txt', 'train-pairs.jsonl'; did you mean 'train-pairs.jsonl'?"
    )
    with pytest.raises(FileNotFoundError):
        load_pairs(str(missing))


@pytest.mark.parametrize(
    "name", ["pairs.jsonl", "./pairs", "../a/b", "/no/pairs", "a/b/c", "data.csv", "C:\\pairs", "-x"]
)
def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PairFileNotFoundError, match="no such file"):
        load_pairs(name)


def test_a_path_object_is_never_a_hub_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PairFileNotFoundError, match="no such file; beside it: nothing"):
        load_pairs(Path("pairs"))


def test_a_missing_folder(tmp_path):
    missing = tmp_path / "nowhere" / "pairs.jsonl"
    assert the_error(missing) == f"{missing}: no such file; there is no folder '{tmp_path / 'nowhere'}' either"


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json", "pairs.parquet"])
@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert the_error(path) == f"{path}: the file is empty, wanted at least one preference pair"


def test_no_rows(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text("[]", encoding="utf-8")
    assert the_error(path) == f"{path}: holds no rows, wanted at least one preference pair"
    assert the_error([]) == "the list: holds no rows, wanted at least one preference pair"


def test_an_ending_that_is_not_supported(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,chosen,rejected\n", encoding="utf-8")
    assert the_error(path) == f"{path}: the ending '.csv' is not supported, wanted one of .jsonl, .json, .parquet"


def test_a_broken_json_line_is_named(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(GOOD) + '\n\n{"prompt": "x", \n', encoding="utf-8")
    message = the_error(path)
    assert message.startswith(f"{path}, line 3: broken JSON at column 17: ")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'[\n  {"prompt": "x"},\n  {"prompt" "y"}\n]', ", line 3, column 13: broken JSON"),
        (b'{"prompt": "x"}\n{"prompt": "y"}\n', ", line 2, column 1: broken JSON: Extra data"),
        (b'{"prompt": "x", "rows": [1]}', ": found one object whose 'rows' may be meant, wanted an array"),
        (b'"text"', ": found one string, wanted an array of objects"),
        (b'[\n"\xff"]', ", line 2: not valid UTF-8"),
        (b"[" * 100_000, ": unreadable JSON"),
    ],
)
def test_bad_json_files(tmp_path, content, what):
    path = tmp_path / "pairs.json"
    path.write_bytes(content)
    assert the_error(path).startswith(f"{path}{what}")


def test_jsonl_and_json_by_the_wrong_name(tmp_path):
    lines, array = tmp_path / "lines.json", tmp_path / "array.jsonl"
    write_jsonl(lines, ROWS)
    array.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    assert the_error(lines).endswith("name the file .jsonl")
    assert "name it .json" in the_error(array)


def test_rows_that_are_no_objects(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text('[null, "x", 3, true]', encoding="utf-8")
    whats = [problem.what for problem in survey_pairs(path).problems]
    assert [what.split(",")[0] for what in whats] == [
        "is None (one null)",
        "is 'x' (one string)",
        "is 3 (one number)",
        "is True (one true or false)",
    ]


@pytest.mark.parametrize("content", [b"no parquet", b"PAR1 cut off", b"PAR1 garbage in between PAR1"])
def test_a_damaged_parquet_file(tmp_path, content):
    path = tmp_path / "pairs.parquet"
    path.write_bytes(content)
    message = the_error(path)
    assert message.startswith(f"{path}: ")
    assert "Parquet" in message


# The Hub, as far as it can be tried without one.


def test_a_hub_name_with_the_hub_switched_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = the_error("nobody/no-such-pairs")
    assert message.startswith("nobody/no-such-pairs: the Hub is not reachable (HF_HUB_OFFLINE is set)")


def test_a_misspelt_bundled_name_is_recognized(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'reviews-preferences'?" in the_error("review-preferences")


@pytest.mark.parametrize(
    ("raised", "what"),
    [
        (
            ConnectionError("Couldn't reach 'a/b' on the Hub (LocalEntryNotFoundError)"),
            "is not reachable (no network?)",
        ),
        (TimeoutError("slow"), "is not reachable (no network?)"),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist"), "has no dataset of that name"),
        (datasets.exceptions.DatasetNotFoundError("'a/b' is a gated dataset"), "does not give the dataset to you"),
        (ValueError('Unknown split "dev".\nShould be one of ...'), "dataset cannot be read: Unknown split"),
        (ValueError(), "dataset cannot be read: ValueError"),
    ],
)
def test_what_the_hub_may_answer(tmp_path, monkeypatch, raised, what):
    def refuse(*_args, **_options):
        raise raised

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    message = the_error("a/b")
    assert message.startswith("a/b: the Hub")
    assert what in message


def test_a_hub_dataset_is_read_by_name_and_split(tmp_path, monkeypatch):
    asked = []

    def answer(name, *, split):
        asked.append((name, split))
        return datasets.Dataset.from_list([*ROWS, GOOD | {"chosen": ""}])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", answer)
    survey = survey_pairs("org/pairs-v1.5", split="test_prefs")
    assert asked == [("org/pairs-v1.5", "test_prefs")]
    assert survey.pairs == PAIRS
    assert str(survey.problems[0]) == "org/pairs-v1.5 (test_prefs), row 3, chosen: is empty, wanted text"


@pytest.mark.slow
def test_json_is_read_without_the_datasets_library():
    code = "import sys, dpo_teach.pairs as p; p.load_pairs([p.PreferencePair('a', 'b', 'c')]); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "dpo_teach.pairs" in modules
    assert "datasets" not in modules


def test_a_parquet_file_without_rows_holds_none(tmp_path):
    path = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.table({name: pyarrow.array([], pyarrow.string()) for name in GOOD}), path)
    assert the_error(path) == f"{path}: holds no rows, wanted at least one preference pair"


def test_a_cell_that_is_there_twice_is_told(tmp_path):
    """Which of the two is meant, nobody knows."""
    row = '{"prompt": "the plot was", "chosen": "good", "chosen": "bad", "rejected": "dull"}'
    lines, array = tmp_path / "pairs.jsonl", tmp_path / "pairs.json"
    lines.write_text(json.dumps(GOOD) + "\n" + row)
    array.write_text(f"[{row}]")
    assert the_error(lines).startswith(f"{lines}, line 2: unreadable JSON: 'chosen' is there twice")
    assert the_error(array) == f"{array}: unreadable JSON: 'chosen' is there twice"


# Holding out.


@given(st.integers(1, 50), st.data(), st.integers(0, 2**32))
def test_hold_out_is_a_partition_that_keeps_the_order(count, data, seed):
    size = data.draw(st.integers(0, count - 1))
    everything = list(range(count))
    kept, held = hold_out(everything, size, seed)
    assert len(held) == size
    assert sorted(kept + held) == everything
    assert kept == sorted(kept) and held == sorted(held)
    assert hold_out(everything, size, seed) == (kept, held)


def test_hold_out_depends_on_the_seed_and_on_nothing_else():
    assert hold_out(range(10), size=3, seed=123) == ([2, 3, 5, 6, 7, 8, 9], [0, 1, 4])
    assert len({tuple(hold_out(range(10), size=3, seed=seed)[1]) for seed in range(20)}) > 10


@pytest.mark.parametrize("size", [-1, 2, 3])
def test_hold_out_leaves_something_to_train_on(size):
    with pytest.raises(ValueError, match=rf"size must be .*\(2\), found {size}"):
        hold_out(PAIRS, size, seed=0)


def test_pairs_of_a_held_out_prompt_are_not_trained_on(tmp_path):
    """Four pairs of three prompts: the other pair of the held-out prompt goes, mapped or not."""
    rows = [GOOD | {"prompt": prompt, "rejected": f"bad {i}"} for i, prompt in enumerate("abca")]
    mapped = map_pairs(write_jsonl(tmp_path / "pairs.jsonl", rows))
    for pairs in (mapped, list(mapped)):
        held, rest = [pairs[0]], pairs[1:] if isinstance(pairs, list) else pairs.select([1, 2, 3])
        kept = without_prompts_of(held, rest)
        assert [pair.prompt for pair in kept] == ["b", "c"]
        assert type(kept) is type(rest)
    assert without_prompts_of([], mapped.select([0, 3]))[1].rejected == "bad 3"


def test_what_is_wrong_with_the_rows_that_were_left_out_is_kept(tmp_path):
    path = write_jsonl(tmp_path / "pairs.jsonl", [GOOD, GOOD | {"chosen": ""}])
    pairs = map_pairs(path, on_bad_row="drop")
    assert [str(problem) for problem in pairs.problems] == [f"{path}, line 2, chosen: is empty, wanted text"]
    assert map_pairs(write_jsonl(path, [GOOD])).problems == []


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_utf_16_is_told_once(tmp_path, ending):
    path = tmp_path / f"pairs.{ending}"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD), encoding="utf-16")
    assert the_error(path) == f"{path}: is in UTF-16 (Windows calls it Unicode), wanted UTF-8: save it again as UTF-8"


# Data that this project did not make.


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="../shared/data is not here")
def test_real_instruction_preferences():
    template = "{instruction}\n{input}\n"
    survey = survey_pairs(REAL, prompt_template=template)
    assert len(survey.pairs) == 1094
    assert len(survey.problems) == 6
    assert {(problem.field, problem.what.split(",")[0]) for problem in survey.problems} == {
        ("rejected", "is the same as 'chosen'")
    }
    assert survey.pairs[0].prompt == (
        "Evaluate the following phrase by transforming it into the spelling given.\nfreind --> friend\n"
    )
    assert load_pairs(REAL, prompt_template=template, on_bad_row="drop") == survey.pairs
    assert "6 of 1100 rows cannot be used" in the_error(REAL, prompt_template=template)
    assert "if 'instruction' is the prompt" in the_error(REAL)

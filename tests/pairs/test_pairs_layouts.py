"""Each kind of row with its expected pair, and each invalid row or column with its expected error."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pair_sources import GOOD, PAIRS, ROWS, error_of, problem_of, write_jsonl

from dpo_teach.pairs import PreferencePair, load_pairs, survey_pairs


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


# An explicit prompt.


def test_columns_can_have_other_names():
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


def test_a_template_takes_precedence_over_a_prompt_column():
    assert load_pairs([GOOD | {"title": "Up"}], prompt_template="{title}: {prompt}")[0].prompt == "Up: The plot"


def test_a_row_without_the_prompt_column_of_other_rows_is_invalid():
    problem = problem_of({"chosen": "Sky is blue", "rejected": "Sky is red"})
    assert problem.field == "prompt"
    assert "found 'chosen', 'rejected'" in problem.what


@pytest.mark.parametrize("field", ["prompt", "chosen"])
def test_columns_are_collected_from_all_rows(field):
    first = {name: text for name, text in GOOD.items() if name != field}
    survey = survey_pairs([first, ROWS[1]])
    assert survey.pairs == PAIRS[1:]
    assert [(problem.row, problem.field) for problem in survey.problems] == [(1, field)]


# An implicit prompt.


def test_the_prompt_ends_after_the_last_shared_assistant_turn():
    start = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Two?\n\nAssistant:"
    pair = load_pairs([{"chosen": f"{start} It is 2", "rejected": f"{start} It is 3"}])
    assert pair == [PreferencePair(start, " It is 2", " It is 3")]


def test_turns_after_the_first_difference_belong_to_the_responses():
    start = "\n\nHuman: Hi\n\nAssistant:"
    chosen, rejected = " Hello\n\nHuman: Two?\n\nAssistant: 2", " No\n\nHuman: Two?\n\nAssistant: 3"
    pair = load_pairs([{"chosen": start + chosen, "rejected": start + rejected}])
    assert pair == [PreferencePair(start, chosen, rejected)]


@pytest.mark.parametrize(
    ("chosen", "rejected", "cut"),
    [
        ("The sky is blue", "The sky is red", len("The sky is")),
        ("The sky is blue", "The sky is black", len("The sky is")),  # "bl" is shared but is not a word
        ("Q: two?\nA: 2", "Q: two?\nA: 3", len("Q: two?\nA:")),
        ("Say yes.\nYes", "Say yes.\nNo", len("Say yes.")),
        ("Say yes. Yes", "Say yes.\nNo", len("Say yes.")),  # two kinds of space
        ("the answer", "the answer is", len("the")),  # both responses keep a word
        ("the answer is", "the answer", len("the")),
        ("the answer \n", "the answer is", len("the")),
        ("the answer is", "the answer \n", len("the")),
    ],
)
def test_text_without_turns_is_split_at_the_end_of_a_word(chosen, rejected, cut):
    (pair,) = load_pairs([{"chosen": chosen, "rejected": rejected}])
    assert pair == PreferencePair(chosen[:cut], chosen[cut:], rejected[cut:])


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [("Yes", "No"), ("Yes sir", "Yesterday"), (" Yes", " No"), ("  Yes", "  No"), ("word", "word more")],
)
def test_texts_without_a_shared_beginning_need_a_prompt_column(chosen, rejected):
    message = error_of([{"chosen": chosen, "rejected": rejected}])
    assert message.startswith("the list, row 1, field 'chosen': ")
    assert "no shared beginning" in message and "the prompt column" in message


words = st.text(st.characters(codec="utf-8"), min_size=1)


@given(start=words, chosen=words, rejected=words)
def test_an_implicit_prompt_loses_no_text(start, chosen, rejected):
    row = {"chosen": f"Say {start} {chosen}", "rejected": f"Say {start} {rejected}"}
    survey = survey_pairs([row])
    assume(survey.pairs)
    (pair,) = survey.pairs
    assert pair.prompt + pair.chosen == row["chosen"]
    assert pair.prompt + pair.rejected == row["rejected"]
    assert pair.prompt.strip() and pair.chosen.strip() and pair.rejected.strip()
    assert pair.prompt.endswith("\n\nAssistant:") or (pair.chosen[0].isspace() and pair.rejected[0].isspace())


@given(words, st.lists(words, max_size=3), words, words)
def test_an_implicit_prompt_with_turns_loses_no_text(question, turns, chosen, rejected):
    assume(chosen != rejected and chosen.strip() and rejected.strip())
    assume("\n\nAssistant:" not in chosen + rejected)
    start = "\n\nAssistant:".join([f"\n\nHuman: {question}", *turns, ""])
    (pair,) = load_pairs([{"chosen": start + chosen, "rejected": start + rejected}])
    assert pair == PreferencePair(start, chosen, rejected)


@pytest.mark.parametrize("name", ["promt", "Prompt", "prompts", "instruction", "question"])
def test_a_column_that_looks_like_the_prompt_is_not_ignored(name):
    """Otherwise the words that two answers share by chance would silently become the prompt."""
    message = error_of([{name: "Colour?", "chosen": "It is blue", "rejected": "It is red"}])
    assert f"no column 'prompt', found '{name}', 'chosen', 'rejected'" in message
    assert f"columns={{'prompt': '{name}'}}" in message


def test_turns_form_the_prompt_even_if_another_column_looks_like_it():
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
def test_six_formats_of_one_conversation_give_the_same_pair(row):
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


def test_a_shared_answer_is_appended_to_the_prompt_column():
    shared = [assistant("Hello"), user("Two?")]
    row = {"prompt": [user("Hi")], "chosen": [*shared, assistant("2")], "rejected": [*shared, assistant("3")]}
    assert load_pairs([row])[0].prompt == "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Two?\n\nAssistant:"


def test_turns_after_an_early_difference_stay_in_the_response():
    row = {
        "chosen": [*QUESTION, assistant("2"), user("Sure?"), assistant("Yes")],
        "rejected": [*QUESTION, assistant("2")],
    }
    assert load_pairs([row]) == [PreferencePair(ASKED, " 2\n\nHuman: Sure?\n\nAssistant: Yes", " 2")]


@pytest.mark.parametrize(
    ("row", "field", "what"),
    [
        ({"chosen": [{"content": "2"}]}, "chosen", "message 1: no 'role', found 'content'"),
        ({"chosen": [{"role": "assistant"}]}, "chosen", "message 1: no 'content', found 'role'"),
        ({"rejected": [assistant("2"), "3"]}, "rejected", "message 2: expected an object"),
        ({"rejected": ["3"]}, "rejected", "found '3'"),
        ({"chosen": [{"role": "bot", "content": "2"}]}, "chosen", "message 1: expected one of the roles 'system'"),
        ({"chosen": [{"role": ["x"], "content": "2"}]}, "chosen", "found ['x']"),
        ({"chosen": [assistant(None)]}, "chosen", "message 1: 'content': expected text, found None (NoneType)"),
        ({"chosen": []}, "chosen", "found an empty list"),
        ({"chosen": [assistant(" ")]}, "chosen", "after the prompt, found no text"),
        ({"chosen": [user("2")]}, "chosen", "found the role 'user'"),
        ({"chosen": [assistant(" drags.")]}, "rejected", "differs from 'chosen'"),
        (
            {"chosen": [*QUESTION, assistant("2")], "rejected": [*QUESTION, assistant("3")]},
            "prompt",
            "messages that 'chosen' and 'rejected' share",
        ),
    ],
)
def test_invalid_messages_are_reported(row, field, what):
    problem = problem_of(GOOD | row)
    assert problem.field == field
    assert what in problem.what


def test_conversations_that_share_no_message_need_a_prompt_column():
    message = error_of([{"chosen": [user("Two?"), assistant("2")], "rejected": [user("2?"), assistant("3")]}])
    assert message.startswith("the list, row 1, field 'chosen': ")
    assert "no shared message" in message and "the prompt column" in message


# Invalid rows.


@pytest.mark.parametrize(
    ("row", "field", "found"),
    [
        ({"chosen": ""}, "chosen", "found an empty string"),
        ({"rejected": ""}, "rejected", "found an empty string"),
        ({"chosen": " \n\t"}, "chosen", "found only whitespace"),
        ({"rejected": "\u00a0"}, "rejected", "found only whitespace"),
        ({"prompt": ""}, "prompt", "found an empty string"),
        ({"rejected": " is a delight."}, "rejected", "differs from 'chosen', found the same"),
        ({"chosen": 3}, "chosen", "found 3 (int)"),
        ({"rejected": None}, "rejected", "found None (NoneType)"),
        ({"prompt": 1.5}, "prompt", "found 1.5 (float)"),
        ({"chosen": {"text": "hi"}}, "chosen", "found {'text': 'hi'} (dict)"),
        ({"chosen": "a\ud83d"}, "chosen", "an unpaired surrogate, '\\ud83d', at character 2"),
    ],
)
def test_invalid_cells_are_reported(row, field, found):
    problem = problem_of(GOOD | row)
    assert problem.field == field
    assert found in problem.what


def test_errors_use_the_column_names_of_the_source():
    columns = {"chosen": "good", "rejected": "bad"}
    message = error_of([{"prompt": "2 + 2 =", "good": " 4", "bad": " 4"}], columns=columns)
    assert message.startswith("the list, row 1, field 'bad': ") and "differs from 'good'" in message


def test_an_implicit_prompt_that_leaves_an_empty_response_is_invalid():
    start = "\n\nHuman: Hi\n\nAssistant:"
    message = error_of([{"chosen": f"{start} Hello", "rejected": f"{start} "}])
    assert message.startswith("the list, row 1, field 'rejected': expected a response")


def test_a_template_that_gives_a_blank_prompt_is_invalid():
    message = error_of([{"a": None, "chosen": "x", "rejected": "y"}], prompt_template="{a}\n")
    assert message.startswith("the list, row 1: ") and "prompt_template, found only whitespace" in message


def test_a_template_column_must_contain_text():
    message = error_of([{"a": 7, "chosen": "x", "rejected": "y"}], prompt_template="{a}\n")
    assert message.startswith("the list, row 1, field 'a': expected text, found 7 (int)")


def test_a_long_cell_is_shortened():
    message = error_of([GOOD | {"chosen": list(range(10_000))}])
    assert len(message) < 300


# Columns and templates that do not match the source.


@pytest.mark.parametrize("on_bad_row", ["error", "drop"])
def test_a_misspelt_column_is_reported_once_with_the_existing_columns(tmp_path, on_bad_row):
    path = write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": "x", "choosen": "y", "rejected": "z"}] * 3)
    message = error_of(path, on_bad_row=on_bad_row)
    assert message.startswith(f"{path}: no column 'chosen', found 'prompt', 'choosen', 'rejected'")
    assert message.endswith("did you mean 'choosen'?")


@pytest.mark.parametrize(("field", "near"), [("prompt", "Prompt"), ("chosen", "CHOSEN"), ("rejected", "reject")])
def test_a_mapped_column_that_does_not_exist_is_an_error(field, near):
    row = {name: text for name, text in GOOD.items() if name != field} | {near: "text"}
    message = error_of([row], columns={field: field})
    assert f"no column '{field}'" in message
    assert message.endswith(f"did you mean '{near}'?")


def test_a_template_field_that_does_not_exist_is_an_error():
    row = {"instruction": "Add.", "chosen": "4", "rejected": "5"}
    message = error_of([row], prompt_template="{instuction}\n")
    assert message.startswith("the list: no column 'instuction' (named in prompt_template), found 'instruction', ")
    assert message.endswith("did you mean 'instruction'?")


@pytest.mark.parametrize("template", ["{", "{}", "no column", "", "{prompt!r}", "{prompt:>10}"])
def test_an_invalid_template_is_an_error(template):
    assert error_of(ROWS, prompt_template=template).startswith("prompt_template: ")


def test_a_template_only_looks_up_columns():
    message = error_of(ROWS, prompt_template="{prompt.__class__}")
    assert "no column 'prompt.__class__' (named in prompt_template)" in message


def test_contradictory_or_unknown_options_are_an_error():
    assert "found both" in error_of(ROWS, prompt_template="{prompt}", columns={"prompt": "prompt"})
    unknown = error_of(ROWS, columns={"answer": "x"})
    assert unknown.startswith("columns: ") and "found 'answer'" in unknown

"""Public forms of messages, columns that are not read, and layouts that are not preference pairs."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_sources import GOOD, error_of, problem_of

from dpo_teach.pairs import Conversation, PreferencePair, load_pairs, survey_pairs

CONVERSATION = Conversation(
    (("system", "Be brief."), ("user", "Two?")), chosen=(("assistant", "2"),), rejected=(("assistant", "3"),)
)
PLAIN = PreferencePair("\n\nSystem: Be brief.\n\nHuman: Two?\n\nAssistant:", " 2", " 3")


def message(role: str, content: object) -> dict:
    return {"role": role, "content": content}


def share_gpt(role: str, content: str) -> dict:
    return {"from": role, "value": content}


ASKED = [message("system", "Be brief."), message("user", "Two?")]
ASKED_SHARE_GPT = [share_gpt("system", "Be brief."), share_gpt("human", "Two?")]
GOOD_CHAT, BAD_CHAT = ([*ASKED, message("assistant", answer)] for answer in "23")
PARTS = [message(each["role"], [{"type": "text", "text": each["content"]}]) for each in GOOD_CHAT]

FORMS = {
    "messages with a prompt": {
        "prompt": ASKED, "chosen": [message("assistant", "2")], "rejected": [message("assistant", "3")]
    },
    "messages with an implicit prompt": {"chosen": GOOD_CHAT, "rejected": BAD_CHAT},
    "text parts": {"chosen": PARTS, "rejected": BAD_CHAT},
    "two text parts": {"prompt": [ASKED[0], message("user", [
        {"type": "text", "text": "T", "image": None}, {"type": "text", "text": "wo?"}])],
        "chosen": "2", "rejected": "3"},
    "ShareGPT": {"prompt": ASKED_SHARE_GPT, "chosen": [share_gpt("gpt", "2")], "rejected": [share_gpt("gpt", "3")]},
    "one ShareGPT message": {"prompt": ASKED_SHARE_GPT, "chosen": share_gpt("gpt", "2"),
                             "rejected": share_gpt("gpt", "3")},
    "JSON text": {"chosen": json.dumps(GOOD_CHAT), "rejected": json.dumps(BAD_CHAT, indent=1)},
    "Python text": {"chosen": str(GOOD_CHAT), "rejected": str(BAD_CHAT)},
    "JSON text of an object": {"chosen": json.dumps({"messages": GOOD_CHAT, "tools": []}),
                               "rejected": json.dumps({"conversations": BAD_CHAT})},
    "an object": {"chosen": {"messages": GOOD_CHAT}, "rejected": {"messages": BAD_CHAT}},
    "arrays, as pandas gives them": {"chosen": np.array(GOOD_CHAT, dtype=object),
                                     "rejected": np.array(BAD_CHAT, dtype=object)},
    "both kinds of keys, as Parquet gives them": {
        "chosen": [{**one, "from": None, "value": None} for one in GOOD_CHAT],
        "rejected": [{"role": None, "content": None, **one} for one in (*ASKED_SHARE_GPT, share_gpt("gpt", "3"))]},
    "empty keys, as Parquet gives them": {"chosen": [{**one, "tool_calls": None} for one in GOOD_CHAT],
                                          "rejected": BAD_CHAT},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_messages_gives_the_same_pair(form):
    survey = survey_pairs([FORMS[form]])
    assert survey.problems == []
    assert survey.pairs == [PLAIN] and survey.pairs[0].conversation == CONVERSATION
    assert survey.not_read == ""


def test_a_pair_from_text_has_no_messages_and_a_list_of_pairs_keeps_them():
    assert load_pairs([GOOD])[0].conversation is None
    (pair,) = load_pairs(load_pairs([FORMS["ShareGPT"]]))
    assert (pair, pair.conversation) == (PLAIN, CONVERSATION)


def test_a_swapped_pair_swaps_its_messages():
    pair = load_pairs([FORMS["ShareGPT"]])[0].swapped()
    assert pair == PreferencePair(PLAIN.prompt, " 3", " 2")
    assert pair.conversation == Conversation(CONVERSATION.prompt, CONVERSATION.rejected, CONVERSATION.chosen)


@pytest.mark.parametrize("text", [
    '{"from": "Ghent", "to": "Rome"}', '{"role": "admin"}', "[1] is a citation", '["role", "content"]', "[{", "{}",
    '{"messages": 3, "role": "x"}', "[" * 10_000 + '"role"', '{"messages": [{"id": 1}], "role": 2, "extra": 1}',
])  # fmt: skip
def test_other_text_with_brackets_stays_text(text):
    survey = survey_pairs([{"prompt": "Write JSON.", "chosen": text, "rejected": "no"}])
    assert survey.pairs == [PreferencePair("Write JSON.", text, "no")]
    assert survey.not_read == ""


@given(st.text(st.sampled_from("""[]{}"':, \\rolefm"""), min_size=1).filter(str.strip))
def test_no_text_is_an_error_or_a_warning_when_it_is_decoded(text):
    with warnings.catch_warnings(action="error"):
        survey = survey_pairs([{"prompt": "p", "chosen": f'[{{"x": "role{text}', "rejected": "no"}])
    assert len(survey.pairs) == 1


@pytest.mark.parametrize("text", [
    '[{"role": "user", "content": "Hi"}, {"role": "assist', "[{'content': 'Hi', 'role': 'user'}\n {'content': 'x'}]",
    "[{'from': 'human', 'value': array(['x'])}]",
])  # fmt: skip
def test_text_that_begins_like_messages_but_cannot_be_decoded_is_invalid(text):
    problem = problem_of(GOOD | {"chosen": text})
    assert problem.field == "chosen" and "begins like messages but is neither JSON nor Python" in problem.what


@pytest.mark.parametrize(("content", "what"), [
    ([{"type": "image", "image": "x.png"}], "message 1: 'content': part 1: expected the type 'text', found 'image'"),
    ([{"type": "text", "text": "x"}, "y"], "message 1: 'content': part 2: expected the type 'text', found 'y'"),
    ([{"type": "text"}], "message 1: 'content': part 1: expected text, found None"),
])  # fmt: skip
def test_parts_that_are_not_text_are_invalid(content, what):
    problem = problem_of(GOOD | {"chosen": [message("assistant", content)]})
    assert problem.field == "chosen" and what in problem.what


# What is not read.


def test_columns_and_message_keys_that_are_not_read_are_named():
    call = message("assistant", "I look it up.") | {"tool_calls": [{"name": "weather"}], "reasoning_content": "Hm."}
    row = {
        "system": "Be brief.", "history": [], "images": ["x.png"], "tools": [{"name": "weather"}],
        "prompt": [message("user", "Rain?")], "chosen": [call], "rejected": [message("assistant", "No.")],
    }  # fmt: skip
    not_read = survey_pairs([row]).not_read
    assert not_read == "columns 'system', 'images', 'tools'; message keys 'tool_calls', 'reasoning_content'"


def test_keys_beside_a_list_of_messages_and_in_parts_are_named():
    part = {"type": "text", "text": "2", "annotations": ["x"]}
    chosen = {"messages": [*ASKED, message("assistant", [part])], "tools": ["t"]}
    assert survey_pairs([{"chosen": chosen, "rejected": BAD_CHAT}]).not_read == "message keys 'tools', 'annotations'"


def test_columns_of_a_template_are_read():
    row = {"a": "x", "b": "y", "chosen": "2", "rejected": "3"}
    assert survey_pairs([row], prompt_template="{a}").not_read == "columns 'b'"
    assert survey_pairs([row], prompt_template="{a}{b}").not_read == ""


PROMPT_NAMES = ("messages", "conversations", "history", "post", "article", "user", "text", "title", "system",
                "question", "document", "instructions", "human", "ask", "source_text", "dialogue", "turns", "request",
                "task", "story", "context")  # fmt: skip


@pytest.mark.parametrize("name", PROMPT_NAMES)
@pytest.mark.parametrize("prompt", ["Colour?", [message("user", "Colour?")]])
def test_a_column_of_another_name_is_asked_about_and_not_replaced_by_shared_words(name, prompt):
    row = {name: prompt, "id": "7", "chosen": "I think it is blue.", "rejected": "I think it is red."}
    message_ = error_of([row], on_bad_row="drop")
    assert f"if {name!r} is the prompt, pass columns={{'prompt': {name!r}}} (--columns prompt {name})" in message_
    assert len(load_pairs([row], columns={"prompt": name})) == 1


@pytest.mark.parametrize("chosen", [share_gpt("gpt", "Blue."), [message("assistant", "Blue.")]])
def test_responses_that_are_messages_without_a_question_are_asked_about_too(chosen):
    row = {"conversations": [share_gpt("human", "Colour?")], "chosen": chosen, "rejected": share_gpt("gpt", "Red.")}
    assert "if 'conversations' is the prompt" in error_of([row])
    (pair,) = load_pairs([row], columns={"prompt": "conversations"})
    assert pair == PreferencePair("\n\nHuman: Colour?\n\nAssistant:", " Blue.", " Red.")


def test_numbers_names_of_sources_and_empty_columns_are_no_prompts():
    row = {"score": 3, "source": "web", "prompt_id": "a1", "chosen_model": "m", "post": "", "title": None}
    survey = survey_pairs([row | {"chosen": "The sky is blue", "rejected": "The sky is red"}])
    assert survey.pairs == [PreferencePair("The sky is", " blue", " red")]
    assert survey.not_read == "columns 'score', 'source', 'prompt_id', 'chosen_model'"


# Layouts that are not pairs.


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            {"prompt": "p", "completion": "c", "label": True},
            "single responses with a label (unpaired preferences); join",
        ),
        ({"prompt": "p", "completion": [message("assistant", "c")], "label": False}, "(unpaired preferences)"),
        ({"prompt": "p", "completion": "c"}, "single responses without a comparison; DPO needs two responses"),
        ({"text": "t"}, "single responses without a comparison"),
        ({"messages": GOOD_CHAT}, "single responses without a comparison"),
        ({"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}, "two responses in one list"),
        ({"prompt": "p", "completions": ["a", "b", "c"], "labels": [True, True, False]}, "stepwise supervision"),
        ({"prompt": "p", "response": "r", "score": 4}, "responses with scores; take, for each prompt, the best"),
        (
            {"instruction": "p", "completions": [{"response": "r", "score": 4}]},
            "several responses to each prompt; take",
        ),
        ({"post": "p", "summaries": [{"text": "a"}, {"text": "b"}], "choice": 1}, "several responses and a label"),
        ({"instruction": "p", "output": ["good", "bad"]}, "'chosen': r['output'][0], 'rejected': r['output'][1]"),
        (
            {"prompt": "p", "response_0": "a", "response_1": "b", "is_response_0_safe": False, "better_response_id": 1},
            "'chosen': r['response_0'], 'rejected': r['response_1']} if better_response_id prefers 'response_0'",
        ),
        (
            {
                "history": "p",
                "c_root_id_A": "x",
                "c_root_id_B": "y",
                "human_ref_A": "a",
                "human_ref_B": "b",
                "labels": 1,
            },
            "'chosen': r['human_ref_A'], 'rejected': r['human_ref_B']} if labels prefers 'human_ref_A'",
        ),
        (
            {"question": "p", "answer_0": "a", "answer_1": "b", "score_0": 1, "score_1": -1},
            "r['answer_0'], 'rejected': r['answer_1']} if score_0 and score_1 prefers",
        ),
        ({"conversation_a": GOOD_CHAT, "conversation_b": BAD_CHAT, "winner": "model_a"}, "r['conversation_a']"),
    ],
)
def test_layouts_without_pairs_are_recognised_and_the_message_says_how_to_convert_them(row, what):
    message_ = error_of([row])
    assert message_.startswith("the list: no column 'chosen', found ") and "; the rows seem to be " in message_
    assert what in message_


def test_a_misspelt_or_mapped_column_is_not_taken_for_another_layout():
    row = {"prompt": "p", "completion": "c", "label": True}
    assert "seem" not in error_of([row], columns={"chosen": "better", "rejected": "worse"})
    assert error_of([row | {"choosen": "x"}]).endswith("did you mean 'choosen'?")

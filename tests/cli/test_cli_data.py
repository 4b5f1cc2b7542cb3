"""What the commands say of the data: what was not read, how conversations are rendered, and special tokens."""

import json

import pytest
from tiny import tiny_model, tiny_tokenizer

from dpo_teach.cli import main

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ ' ' + m['role'] + ' ' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ ' <eos>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' assistant' }}{% endif %}"
)
PAIR = {"prompt": "the plot was", "chosen": "good", "rejected": "bad"}
QUICK = ["--batch-size", "2", "--learning-rate", "0.01"]


def chat(question: str, good: str, bad: str, **columns: object) -> dict:
    asked = {"role": "user", "content": question}
    answers = ([asked, {"role": "assistant", "content": answer}] for answer in (good, bad))
    return dict(zip(("chosen", "rejected"), answers, strict=True)) | columns


CHATS = [chat("the plot", "very good", "bad", score=9), chat("the plot was", "good", "not good", score=7)]


@pytest.fixture
def save_model(tmp_path):
    def save(template: str | None = None) -> str:
        folder = tmp_path / f"model-{template is not None}"
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = template
        tiny_model().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save


@pytest.fixture
def write(tmp_path):
    def write_rows(*rows: dict) -> str:
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write_rows


def run(capsys, *arguments):
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_inspect_shows_a_rendered_conversation_with_its_special_tokens(capsys, save_model, write):
    model = save_model(TEMPLATE)
    printed = run(capsys, "inspect", write(*CHATS), "--model", model)
    assert f"conversations: 2 pairs, rendered with the chat template of {model}" in printed
    assert "chosen    'very good <eos>'" in printed and "prompt    '<bos> " in printed
    assert "not read: columns 'score'" in printed


def test_inspect_says_that_there_is_no_chat_template(capsys, save_model, write):
    model = save_model()
    printed = run(capsys, "inspect", write(*CHATS), "--model", model)
    plain = rf'"\n\nHuman: ...\n\nAssistant: ...", because {model} has no chat template'
    assert f"conversations: 2 pairs, as plain text, {plain}" in printed
    assert r"prompt    '\n\nHuman: the plot\n\nAssistant:'" in printed


def test_inspect_says_nothing_of_conversations_and_columns_if_there_are_none(capsys, save_model, write):
    printed = run(capsys, "inspect", write(PAIR), "--model", save_model(TEMPLATE))
    assert "conversations" not in printed and "not read" not in printed and "worth a look" not in printed


def test_a_chat_template_from_a_file_is_used_and_saved_with_the_policy(capsys, tmp_path, save_model, write):
    model, data, template = save_model(TEMPLATE), write(*CHATS), tmp_path / "own.jinja"
    template.write_text(TEMPLATE.replace("' assistant'", "' plot good'").replace("m['role'] +", "'plot good' +"))
    (tmp_path / "models.jinja").write_text(TEMPLATE)
    printed = run(capsys, "inspect", data, "--model", model, "--chat-template", template)
    assert f"conversations: 2 pairs, rendered with the chat template of {template}" in printed
    out = tmp_path / "out"
    for command in ("sft", "train"):
        printed = run(capsys, command, "--model", model, "--data", data, "--chat-template", template,
                      "--output", out / command, *QUICK)  # fmt: skip
        assert f"2 pairs, rendered with the chat template of {template}" in printed
        assert "not read: columns 'score'" in printed
    evaluation = ["evaluate", out / "train", "--reference", model, "--data", data, "--json"]
    templates = ([], ["--chat-template", template], ["--chat-template", tmp_path / "models.jinja"])
    evaluated = [run(capsys, *evaluation, *options) for options in templates]
    assert evaluated[0] == evaluated[1] != evaluated[2], "the template was saved with the policy"


def test_a_chat_template_that_is_not_used_is_named(capsys, tmp_path, save_model, write):
    (tmp_path / "own.jinja").write_text(TEMPLATE)
    printed = run(capsys, "inspect", write(PAIR), "--model", save_model(), "--chat-template", tmp_path / "own.jinja")
    assert f"not used: the chat template of {tmp_path / 'own.jinja'}, because no pair consists of messages" in printed


@pytest.mark.parametrize(("content", "what"), [(b"", "expected a template, found an empty file"),
                                               (b"\xff", "expected UTF-8"), (None, "No such file")])  # fmt: skip
def test_an_invalid_template_file_is_one_line_of_error(capsys, tmp_path, save_model, write, content, what):
    template = tmp_path / "own.jinja"
    if content is not None:
        template.write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        main(["inspect", write(*CHATS), "--model", save_model(), "--chat-template", str(template)])
    assert stop.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dpo-teach: error: ")]
    assert len(errors) == 1 and what in errors[0] and "own.jinja" in errors[0]


def test_a_template_that_refuses_a_conversation_is_a_problem_of_its_row(capsys, save_model, write):
    template = "{% if messages[0]['content'] == 'the plot' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    with pytest.raises(SystemExit):
        main(["inspect", write(*CHATS), "--model", save_model(template)])
    printed = capsys.readouterr().out
    assert (
        "problems: 1" in printed
        and "pairs.jsonl, line 1, messages: the chat template cannot render them: no" in printed
    )


def test_special_tokens_in_texts_are_worth_a_look_in_inspect_and_train(capsys, tmp_path, save_model, write):
    data, model = write(PAIR | {"prompt": "<bos> the"}, PAIR | {"chosen": "good <eos> very"}), save_model()
    shown = ["pairs whose prompt begins with its own <bos>, which is not added again: 1 (line 1)",
             "pairs with a special token inside a text: 1 (line 2)"]  # fmt: skip
    printed = run(capsys, "inspect", data, "--model", model)
    assert all(f"\n  {line}\n" in printed for line in shown)
    printed = run(capsys, "train", "--model", model, "--data", data, "--output", tmp_path / "out", *QUICK)
    assert all(f"worth a look: {line}\n" in printed for line in shown)


def test_inspect_skips_invalid_rows_as_training_does(capsys, save_model, write):
    data, model = write(PAIR, PAIR | {"chosen": " "}), save_model()
    printed = run(capsys, "inspect", data, "--model", model, "--on-bad-row", "drop")
    assert "1 pairs, 1 invalid rows" in printed
    assert "problems: 1" in printed and "line 2, field 'chosen'" in printed
    with pytest.raises(SystemExit) as stop:
        main(["inspect", data, "--model", model])
    assert stop.value.code == 2
    with pytest.raises(SystemExit):
        main(["inspect", write(PAIR | {"chosen": " "}), "--model", model, "--on-bad-row", "drop"])
    assert "all 1 rows are invalid" in capsys.readouterr().err


def test_a_pair_that_does_not_fit_is_still_an_error_if_invalid_rows_are_skipped(capsys, save_model, write):
    with pytest.raises(SystemExit):
        main(["inspect", write(PAIR, PAIR | {"prompt": "the " * 40}), "--model", save_model(), "--on-bad-row", "drop"])
    assert "line 2, field 'prompt': its 41 tokens leave no room" in capsys.readouterr().out

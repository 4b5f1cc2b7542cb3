r"""From a row to a preference pair: the kinds of row that are understood.

explicit prompt
    `prompt`, `chosen` and `rejected` are text, under these names or those that `columns` or `prompt_template` give.

implicit prompt
    There is no prompt column, and `chosen` and `rejected` begin alike. Where the shared beginning has turns, as in the
    public helpfulness and harmlessness data, the prompt ends after its last "\n\nAssistant:". Elsewhere it is the
    longest shared beginning, cut back to the end of a word, so that each response starts with its space.

conversation
    `chosen` and `rejected` (and `prompt`, if there is one) are lists of {"role": ..., "content": ...} messages. The
    messages that both share are the prompt. A system message is written as "\n\nSystem: ...", a user's as
    "\n\nHuman: ...", an assistant's as "\n\nAssistant: ..."; a prompt ends with "\n\nAssistant:", and a response starts
    with the space after it.
"""

from collections.abc import Mapping
from typing import Any

from dpo_teach.pairs.layout import ASSISTANT_TURN, Layout
from dpo_teach.pairs.pair import PreferencePair, RowError, closest, listing, quote

__all__ = ["read_pair"]

SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
Message = tuple[str, str]  # role, content


def read_pair(cells: Mapping[str, Any], layout: Layout) -> PreferencePair:
    """One row's pair.

    Raises:
        RowError: the row is no pair; it names the column, what was found and what is wanted.
    """
    prompt = _prompt_cell(cells, layout)
    chosen, rejected = _cell(cells, layout.chosen), _cell(cells, layout.rejected)
    if any(isinstance(value, (list, tuple)) for value in (prompt, chosen, rejected)):
        pair = _join_conversation(prompt, chosen, rejected, layout)
    else:
        pair = _join_texts(prompt, chosen, rejected, layout)
    for response, column in ((pair.chosen, layout.chosen), (pair.rejected, layout.rejected)):
        if not response.strip():
            raise RowError(column, "has no text after the prompt, wanted a response")
    return pair


def _prompt_cell(cells: Mapping[str, Any], layout: Layout) -> Any:
    if layout.template is not None:
        prompt = "".join(text + (_template_text(cells, column) if column else "") for text, column in layout.template)
        return _check_text(prompt, "the prompt that prompt_template makes")
    return None if layout.prompt is None else _cell(cells, layout.prompt)


def _template_text(cells: Mapping[str, Any], column: str) -> str:
    value = _cell(cells, column)
    return "" if value is None else _check_string(value, column)


def _cell(cells: Mapping[str, Any], column: str) -> Any:
    if column not in cells:
        raise RowError(column, f"the row has no such column, found {listing(cells)}{closest(column, cells)}")
    return cells[column]


def _check_string(value: object, column: str) -> str:
    if not isinstance(value, str):
        raise RowError(column, f"is {quote(value)} (type {type(value).__name__}), wanted text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f"character {error.start + 1} is {quote(value[error.start])}, half of a surrogate pair"
        raise RowError(column, f"{what}, wanted whole characters") from error
    return value


def _check_text(value: object, column: str) -> str:
    text = _check_string(value, column)
    if not text.strip():
        raise RowError(column, f"is {'only whitespace' if text else 'empty'}, wanted text")
    return text


def _check_different(chosen: object, rejected: object, layout: Layout) -> None:
    if chosen == rejected:
        raise RowError(layout.rejected, f"is the same as {layout.chosen!r}, wanted two different responses")


def _join_texts(prompt: object, chosen: object, rejected: object, layout: Layout) -> PreferencePair:
    good, bad = _check_text(chosen, layout.chosen), _check_text(rejected, layout.rejected)
    _check_different(good, bad, layout)
    if layout.prompt is not None or layout.template is not None:
        return PreferencePair(_check_text(prompt, layout.prompt or "prompt"), good, bad)
    cut = _end_of_prompt(good, bad)
    if not good[:cut].strip():
        what = f"shares no beginning with {layout.rejected!r} that could be the prompt"
        raise RowError(layout.chosen, f"{what}, wanted one, or a prompt column (columns, prompt_template)")
    return PreferencePair(good[:cut], good[cut:], bad[cut:])


def _end_of_prompt(chosen: str, rejected: str) -> int:
    shared = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        shared += 1
    if (turn := chosen.rfind(ASSISTANT_TURN, 0, shared)) >= 0:
        return turn + len(ASSISTANT_TURN)
    # The last space before the responses part ways, and at least one word before either of them ends.
    latest = min(shared, len(chosen.rstrip()) - 1, len(rejected.rstrip()) - 1)
    spaces = (cut for cut in range(latest, 0, -1) if chosen[cut].isspace() and rejected[cut].isspace())
    return next(spaces, 0)


def _join_conversation(prompt: object, chosen: object, rejected: object, layout: Layout) -> PreferencePair:
    before = [] if prompt is None else _messages(prompt, layout.prompt or "prompt", "user")
    good = _messages(chosen, layout.chosen, "assistant")
    bad = _messages(rejected, layout.rejected, "assistant")
    _check_different(good, bad, layout)
    shared = 0
    while shared < min(len(good), len(bad)) - 1 and good[shared] == bad[shared]:
        shared += 1
    context = _context(before, good[:shared], layout)
    return PreferencePair(
        _turns(context) + ASSISTANT_TURN,
        _response(good[shared:], layout.chosen),
        _response(bad[shared:], layout.rejected),
    )


def _context(before: list[Message], shared: list[Message], layout: Layout) -> list[Message]:
    """The messages before the responses part ways: a prompt column may repeat them, precede them, or not exist."""
    if not before and not shared:
        what = f"shares no first message with {layout.rejected!r}"
        raise RowError(layout.chosen, f"{what}, wanted one, or a prompt column (columns, prompt_template)")
    if not shared or (before and shared[0][0] == "assistant"):
        return before + shared
    if all(message in shared for message in before):
        return shared
    what = f"is not among the messages that {layout.chosen!r} and {layout.rejected!r} share"
    raise RowError(layout.prompt or "prompt", f"{what}, wanted the same conversation")


def _messages(value: object, column: str, role: str) -> list[Message]:
    """A list of messages as (role, content); a bare text counts as one message of `role`."""
    if not isinstance(value, (list, tuple)):
        return [(role, _check_text(value, column))]
    if not value:
        raise RowError(column, "is an empty list, wanted at least one message")
    return [_message(item, f"{column}, message {number}") for number, item in enumerate(value, start=1)]


def _message(item: object, where: str) -> Message:
    if not isinstance(item, Mapping):
        raise RowError(where, f"is {quote(item)}, wanted an object with 'role' and 'content'")
    for key in ("role", "content"):
        if key not in item:
            raise RowError(where, f"has no {key!r}, found {listing(item)}, wanted 'role' and 'content'")
    if item["role"] not in list(SPEAKERS):  # a list, because what stands there may not be hashable
        raise RowError(where, f"has the role {quote(item['role'])}, wanted one of {listing(SPEAKERS)}")
    return item["role"], _check_string(item["content"], f"{where}, content")


def _turns(messages: list[Message]) -> str:
    return "".join(f"\n\n{SPEAKERS[role]}: {content}" for role, content in messages)


def _response(messages: list[Message], column: str) -> str:
    (role, content), *later = messages
    if role != "assistant":
        raise RowError(column, f"the response starts with a message of the role {role!r}, wanted 'assistant'")
    return f" {content}{_turns(later)}"

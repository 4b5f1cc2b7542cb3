r"""Read lists of messages in their public forms, and write them as plain text.

A message is {"role": ..., "content": ...} or, as in ShareGPT data, {"from": ..., "value": ...}. Its content is text or
a list of text parts, {"type": "text", "text": ...}. A list of messages may be given as JSON or Python text, or as the
value of "messages" or "conversations" in an object.
"""

import ast
import contextlib
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from dpo_teach.pairs.errors import RowError, listing, quote
from dpo_teach.pairs.pair import Message

__all__ = ["ASSISTANT_TURN", "Unread", "check_string", "decode_messages", "is_blank", "plain_response", "plain_turns",
           "read_messages"]  # fmt: skip

SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
ASSISTANT_TURN = "\n\nAssistant:"
ROLES = {**{role: role for role in SPEAKERS}, "human": "user", "gpt": "assistant"}  # the last two: ShareGPT
KEYS = (("role", "content"), ("from", "value"))  # the second: ShareGPT
LISTS = ("messages", "conversations")
NAMES_A_KEY = re.compile(r"""['"](role|from)['"]""")
BEGINS_LIKE_MESSAGES = re.compile(r"""\s*\[\s*\{\s*(['"])(role|content|from|value)\1\s*:""")
Unread: TypeAlias = dict[str, None]
"""Message keys with a value that was not read, in order of first appearance."""


def is_blank(value: object) -> bool:
    """Whether a cell has no content; Parquet and Arrow store missing keys as None.

    >>> is_blank(None), is_blank(" "), is_blank(0)
    (True, True, False)
    """
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def check_string(value: object, column: str, inside: str = "") -> str:
    """Return a value that is valid text.

    Raises:
        RowError: it is not.
    """
    if not isinstance(value, str):
        raise RowError(column, f"{inside}expected text, found {quote(value)} ({type(value).__name__})")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        found = f"an unpaired surrogate, {quote(value[error.start])}, at character {error.start + 1}"
        raise RowError(column, f"{inside}expected valid Unicode, found {found}") from error
    return value


def decode_messages(value: Any, column: str, unread: Unread) -> Any:
    """Return the list of messages that a cell holds in one of the forms above, or any other value unchanged.

    Args:
        value: the cell.
        column: its column, for messages.
        unread: receives the keys of an object beside its list of messages.

    Raises:
        RowError: the cell is text that begins like messages, but is neither JSON nor Python.

    >>> decode_messages('[{"role": "user", "content": "Hi"}]', "prompt", {})
    [{'role': 'user', 'content': 'Hi'}]
    >>> decode_messages('{"from": "Ghent", "to": "Rome"}', "chosen", {})
    '{"from": "Ghent", "to": "Rome"}'
    """
    beside: Unread = {}
    found = value.tolist() if hasattr(value, "tolist") else value  # pandas gives arrays for lists
    if isinstance(found, str):
        parsed = _parse(found)
        if parsed is None and BEGINS_LIKE_MESSAGES.match(found):
            raise RowError(column, f"expected text or messages, found text that begins like messages but is neither "
                                   f"JSON nor Python: {quote(value)}")  # fmt: skip
        messages = _list_of(parsed, beside)
        if not (isinstance(messages, list) and messages and all(map(_is_message, messages))):
            return found
    else:
        messages = _list_of(found, beside)
    unread.update(beside)
    return messages


def _parse(text: str) -> Any:
    """The value that is written in a text as JSON or Python if it may be messages, or None."""
    if text.lstrip()[:1] in ("[", "{") and NAMES_A_KEY.search(text):
        for parse in (json.loads, ast.literal_eval):
            invalid = contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
            with invalid, warnings.catch_warnings(action="ignore"):  # of escape sequences in what is no Python
                return parse(text)
    return None


def _list_of(value: Any, beside: Unread) -> Any:
    """The list of messages in an object, one message as a list, or any other value unchanged."""
    if not isinstance(value, Mapping):
        return value
    name = next((name for name in LISTS if isinstance(value.get(name), (list, tuple))), None)
    if name is None:
        return [value] if _is_message(value) else value
    beside.update({key: None for key, cell in value.items() if key != name and not is_blank(cell)})
    return value[name]


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and any(role in value and content in value for role, content in KEYS)


def read_messages(values: Iterable[object], column: str, unread: Unread) -> tuple[Message, ...]:
    """Read messages as (role, content).

    Args:
        values: the messages.
        column: their column, for messages.
        unread: receives the keys of messages that have a value but are not read.

    Raises:
        RowError: a message is invalid, or there is none.

    >>> read_messages([{"from": "human", "value": "Hi"}], "prompt", {})
    (('user', 'Hi'),)
    """
    messages = tuple(_message(item, column, number, unread) for number, item in enumerate(values, start=1))
    if not messages:
        raise RowError(column, "expected at least one message, found an empty list")
    return messages


def _message(item: object, column: str, number: int, unread: Unread) -> Message:
    if not isinstance(item, Mapping):
        raise RowError(column, f"message {number}: expected an object with 'role' and 'content', found {quote(item)}")
    keys = KEYS[item.get("role") is None and item.get("from") is not None]  # Parquet fills missing keys with None
    for key in keys:
        if key not in item:
            raise RowError(column, f"message {number}: no {key!r}, found {listing(item)}")
    role, content = (item[key] for key in keys)
    if role not in list(ROLES):  # compared with a list, because the value may not be hashable
        raise RowError(column, f"message {number}: expected one of the roles {listing(ROLES)}, found {quote(role)}")
    unread.update({key: None for key, value in item.items() if key not in keys and not is_blank(value)})
    return ROLES[role], _content(content, column, f"message {number}: {keys[1]!r}: ", unread)


def _content(value: Any, column: str, inside: str, unread: Unread) -> str:
    if not isinstance(value, (list, tuple)):
        return check_string(value, column, inside)
    texts = []
    for number, part in enumerate(value, start=1):
        if not isinstance(part, Mapping) or part.get("type") != "text":
            kind = quote(part.get("type")) if isinstance(part, Mapping) else quote(part)
            raise RowError(column, f"{inside}part {number}: expected the type 'text', found {kind}")
        texts.append(check_string(part.get("text"), column, f"{inside}part {number}: "))
        unread.update({key: None for key, cell in part.items() if key not in ("type", "text") and not is_blank(cell)})
    return "".join(texts)


def plain_turns(messages: Iterable[Message]) -> str:
    r"""Write messages as plain text, for tokenizers without a chat template.

    >>> plain_turns([("user", "Hi"), ("assistant", "Hello")])
    '\n\nHuman: Hi\n\nAssistant: Hello'
    """
    return "".join(f"\n\n{SPEAKERS[role]}: {content}" for role, content in messages)


def plain_response(messages: tuple[Message, ...], column: str) -> str:
    """Write the messages of a response as plain text that continues a prompt ending in "Assistant:".

    Raises:
        RowError: the first message is not the assistant's.

    >>> plain_response((("assistant", "Hello"),), "chosen")
    ' Hello'
    """
    (role, content), *later = messages
    if role != "assistant":
        raise RowError(column, f"expected a response that starts with an 'assistant' message, found the role {role!r}")
    return f" {content}{plain_turns(later)}"

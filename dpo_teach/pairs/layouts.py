r"""Convert a row to a preference pair. Three kinds of rows are supported.

explicit prompt
    `prompt`, `chosen` and `rejected` are columns of text. `columns` and `prompt_template` select other columns.

implicit prompt
    There is no prompt column, and `chosen` and `rejected` begin with the same text. If this shared beginning contains
    turns, as in the public helpfulness and harmlessness data, the prompt ends after its last "\n\nAssistant:".
    Otherwise, and only if no other column may hold the prompt, the prompt is the longest shared beginning that ends
    with a word, and each response starts with the space that follows.

conversation
    `chosen` and `rejected` (and `prompt`, if there is one) are lists of messages (see `dpo_teach.pairs.messages`). The
    messages that both share are the prompt. The pair keeps the messages for tokenizers with a chat template. Its texts
    are their plain form: system, user and assistant messages are written as "\n\nSystem: ...", "\n\nHuman: ..." and
    "\n\nAssistant: ...". The prompt ends with "\n\nAssistant:", and the response starts with the space after it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dpo_teach.pairs.columns import Layout
from dpo_teach.pairs.errors import RowError, closest, listing
from dpo_teach.pairs.messages import (
    ASSISTANT_TURN,
    Unread,
    check_string,
    decode_messages,
    plain_response,
    plain_turns,
    read_messages,
)
from dpo_teach.pairs.pair import Conversation, Message, PreferencePair

__all__ = ["pair_from_row"]

NAME_THE_PROMPT = (
    "name the prompt column with columns (--columns prompt NAME), or build the prompt with prompt_template "
    "(--prompt-template)"
)


def pair_from_row(
    cells: Mapping[str, Any], layout: Layout, where: str = "", unread: Unread | None = None
) -> PreferencePair:
    """Read the pair in one row.

    Args:
        cells: the cells of the row by column.
        layout: the columns of the pair.
        where: source and row, for messages.
        unread: receives the message keys that have a value but are not read.

    Raises:
        RowError: the row is not a pair; the error names the column, what was expected and what was found.
    """
    unread = {} if unread is None else unread
    columns = (layout.prompt or "prompt", layout.chosen, layout.rejected)
    given = (_prompt(cells, layout), _cell(cells, layout.chosen), _cell(cells, layout.rejected))
    prompt, chosen, rejected = (
        decode_messages(value, column, unread) for value, column in zip(given, columns, strict=True)
    )
    conversation = None
    if any(isinstance(value, (list, tuple)) for value in (prompt, chosen, rejected)):
        conversation = _split_conversation(prompt, chosen, rejected, layout, unread)
        texts = (
            plain_turns(conversation.prompt) + ASSISTANT_TURN,
            plain_response(conversation.chosen, layout.chosen),
            plain_response(conversation.rejected, layout.rejected),
        )
    else:
        texts = _split_texts(prompt, chosen, rejected, layout)
    for response, column in zip(texts[1:], columns[1:], strict=True):
        if not response.strip():
            raise RowError(column, "expected a response after the prompt, found no text")
    return PreferencePair(*texts, where, conversation)


def _prompt(cells: Mapping[str, Any], layout: Layout) -> Any:
    """The value of the prompt column, the text built by the template, or None for an implicit prompt."""
    if layout.template is None:
        return None if layout.prompt is None else _cell(cells, layout.prompt)
    parts = []
    for text, column in layout.template:
        cell = None if column is None else _cell(cells, column)
        parts += [text, "" if cell is None else check_string(cell, column or "")]
    prompt = "".join(parts)
    if not prompt.strip():
        raise RowError("", "expected text from prompt_template, found only whitespace")
    return prompt


def _cell(cells: Mapping[str, Any], column: str) -> Any:
    if column not in cells:
        raise RowError(column, f"expected this column, found {listing(cells)}{closest(column, cells)}")
    return cells[column]


def _check_text(value: object, column: str) -> str:
    text = check_string(value, column)
    if not text.strip():
        raise RowError(column, f"expected text, found {'only whitespace' if text else 'an empty string'}")
    return text


def _check_different(chosen: object, rejected: object, layout: Layout) -> None:
    if chosen == rejected:
        raise RowError(layout.rejected, f"expected a response that differs from {layout.chosen!r}, found the same text")


def _split_texts(prompt: object, chosen: object, rejected: object, layout: Layout) -> tuple[str, str, str]:
    good, bad = _check_text(chosen, layout.chosen), _check_text(rejected, layout.rejected)
    _check_different(good, bad, layout)
    if prompt is not None or layout.prompt is not None:
        return _check_text(prompt, layout.prompt or "prompt"), good, bad
    cut = _end_of_prompt(good, bad)
    if not good[:cut].strip():
        raise RowError(layout.chosen, f"expected the same beginning (the prompt) as in {layout.rejected!r}, found no "
                                      f"shared beginning; {NAME_THE_PROMPT}")  # fmt: skip
    return good[:cut], good[cut:], bad[cut:]


def _end_of_prompt(chosen: str, rejected: str) -> int:
    shared = _shared_length(chosen, rejected)
    if (turn := chosen.rfind(ASSISTANT_TURN, 0, shared)) >= 0:
        return turn + len(ASSISTANT_TURN)
    # Cut at the last space before the texts differ, and leave at least one word to each response.
    latest = min(shared, len(chosen.rstrip()) - 1, len(rejected.rstrip()) - 1)
    spaces = (cut for cut in range(latest, 0, -1) if chosen[cut].isspace() and rejected[cut].isspace())
    return next(spaces, 0)


def _shared_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Length of the longest common prefix of two sequences."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _split_conversation(
    prompt: object, chosen: object, rejected: object, layout: Layout, unread: Unread
) -> Conversation:
    before = () if prompt is None else _messages(prompt, layout.prompt or "prompt", "user", unread)
    good = _messages(chosen, layout.chosen, "assistant", unread)
    bad = _messages(rejected, layout.rejected, "assistant", unread)
    _check_different(good, bad, layout)
    shared = _shared_length(good[:-1], bad[:-1])
    return Conversation(_prompt_messages(before, good[:shared], layout), good[shared:], bad[shared:])


def _prompt_messages(before: tuple[Message, ...], shared: tuple[Message, ...], layout: Layout) -> tuple[Message, ...]:
    """The messages of the prompt. A prompt column may repeat the shared messages, precede them, or be absent."""
    if not before and not shared:
        raise RowError(layout.chosen, f"expected the same first message (the prompt) as in {layout.rejected!r}, found "
                                      f"no shared message; {NAME_THE_PROMPT}")  # fmt: skip
    if not shared or (before and shared[0][0] == "assistant"):
        return before + shared
    if all(message in shared for message in before):
        return shared
    what = f"expected only messages that {layout.chosen!r} and {layout.rejected!r} share, found a different one"
    raise RowError(layout.prompt or "prompt", what)


def _messages(value: object, column: str, role: str, unread: Unread) -> tuple[Message, ...]:
    """Read a list of messages. Plain text counts as one message of `role`."""
    if isinstance(value, (list, tuple)):
        return read_messages(value, column, unread)
    return ((role, _check_text(value, column)),)

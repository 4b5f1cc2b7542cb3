r"""Convert a row to a preference pair. Three kinds of rows are supported.

explicit prompt
    `prompt`, `chosen` and `rejected` are columns of text. `columns` and `prompt_template` select other columns.

implicit prompt
    There is no prompt column, and `chosen` and `rejected` begin with the same text. If this shared beginning contains
    turns, as in the public helpfulness and harmlessness data, the prompt ends after its last "\n\nAssistant:".
    Otherwise the prompt is the longest shared beginning that ends with a word, and each response starts with the
    space that follows.

conversation
    `chosen` and `rejected` (and `prompt`, if there is one) are lists of {"role": ..., "content": ...} messages. The
    messages that both share are the prompt. System, user and assistant messages are written as "\n\nSystem: ...",
    "\n\nHuman: ..." and "\n\nAssistant: ...". The prompt ends with "\n\nAssistant:", and the response starts with the
    space after it.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpo_teach.pairs.errors import PairError, RowError, closest, listing, quote
from dpo_teach.pairs.pair import PreferencePair
from dpo_teach.pairs.reading import RawTable

__all__ = ["Layout", "find_layout", "pair_from_row"]

SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
ASSISTANT_TURN = "\n\nAssistant:"
NAME_THE_PROMPT = (
    "name the prompt column with columns (--columns prompt NAME), or build the prompt with prompt_template "
    "(--prompt-template)"
)
# Names of columns that probably contain the prompt.
PROMPT_LIKE = ("question", "instruction", "query", "input", "context", "problem")
Message = tuple[str, str]  # role, content


@dataclass(frozen=True)
class Layout:
    """The columns of a pair. The prompt is a column, a template of (text, column) steps, or (neither) implicit."""

    prompt: str | None
    template: list[tuple[str, str | None]] | None
    chosen: str
    rejected: str


def find_layout(table: RawTable, columns: Mapping[str, str] | None, prompt_template: str | None) -> Layout:
    """Find the columns of a whole table, so that a missing column is reported once and not for every row.

    Raises:
        PairError: `columns` or `prompt_template` is invalid, or names a column that no row has.
    """
    names = dict(columns or {})
    if unknown := set(names) - {"prompt", "chosen", "rejected"}:
        raise PairError(
            f"columns: expected the keys 'prompt', 'chosen' or 'rejected', found {listing(sorted(unknown))}"
        )
    if prompt_template is not None and "prompt" in names:
        raise PairError("prompt_template: expected either prompt_template or columns['prompt'], found both")
    template = None if prompt_template is None else _parse_template(prompt_template)
    has_prompt = template is None and ("prompt" in names or "prompt" in table.columns)
    layout = Layout(
        prompt=names.get("prompt", "prompt") if has_prompt else None,
        template=template,
        chosen=names.get("chosen", "chosen"),
        rejected=names.get("rejected", "rejected"),
    )
    if table.columns:  # otherwise no row could be read, and every row reports its own problem
        _check_columns(table, layout)
    return layout


def _parse_template(template: str) -> list[tuple[str, str | None]]:
    """Split into (text, column) steps. Unlike `str.format`, this does not allow access to attributes or indices."""
    try:
        steps = list(string.Formatter().parse(template))
    except ValueError as error:
        raise PairError(
            f"prompt_template: expected a template such as '{{instruction}}', found {quote(template)} ({error})"
        ) from error
    for _, column, spec, conversion in steps:
        if column == "" or spec or conversion:
            raise PairError(f"prompt_template: expected only plain {{column}} fields, found {quote(template)}")
    if not any(column for _, column, _, _ in steps):
        raise PairError(f"prompt_template: expected at least one {{column}} field, found {quote(template)}")
    return [(text, column) for text, column, _, _ in steps]


def _check_columns(table: RawTable, layout: Layout) -> None:
    from_template = [column for _, column in layout.template or []]
    for column in (layout.chosen, layout.rejected, layout.prompt, *from_template):
        if column is not None and column not in table.columns:
            what = f"no column {column!r}{' (named in prompt_template)' if column in from_template else ''}"
            hint = closest(column, table.columns) or "; name the right one with columns (--columns chosen NAME)"
            raise PairError(f"{table.source}: {what}, found {listing(table.columns)}{hint}")
    if layout.prompt is None and layout.template is None:
        _check_implicit(table, layout)


def _check_implicit(table: RawTable, layout: Layout) -> None:
    """Refuse an implicit prompt if a column looks like the prompt: shared first words may be a coincidence."""
    suspects = [name for name in table.columns if name.lower() in PROMPT_LIKE or closest("prompt", [name])]
    if suspects and not any(_has_turns(row.cells.get(layout.chosen)) for row in table.rows if row.cells):
        suspect = suspects[0]
        raise PairError(
            f"{table.source}: no column 'prompt', found {listing(table.columns)}; if {suspect!r} is the prompt, "
            f"pass columns={{'prompt': {suspect!r}}} (--columns prompt {suspect}), or join columns with "
            "prompt_template (--prompt-template)"
        )


def _has_turns(cell: object) -> bool:
    return isinstance(cell, (list, tuple)) or (isinstance(cell, str) and ASSISTANT_TURN in cell)


def pair_from_row(cells: Mapping[str, Any], layout: Layout, where: str = "") -> PreferencePair:
    """Read the pair in one row. `where` is its source and row, for messages.

    Raises:
        RowError: the row is not a pair; the error names the column, what was expected and what was found.
    """
    prompt = _prompt(cells, layout)
    chosen, rejected = _cell(cells, layout.chosen), _cell(cells, layout.rejected)
    is_conversation = any(isinstance(value, (list, tuple)) for value in (prompt, chosen, rejected))
    texts = (_split_conversation if is_conversation else _split_texts)(prompt, chosen, rejected, layout)
    for response, column in zip(texts[1:], (layout.chosen, layout.rejected), strict=True):
        if not response.strip():
            raise RowError(column, "expected a response after the prompt, found no text")
    return PreferencePair(*texts, where)


def _prompt(cells: Mapping[str, Any], layout: Layout) -> Any:
    """The value of the prompt column, the text built by the template, or None for an implicit prompt."""
    if layout.template is None:
        return None if layout.prompt is None else _cell(cells, layout.prompt)
    parts = []
    for text, column in layout.template:
        cell = None if column is None else _cell(cells, column)
        parts += [text, "" if cell is None else _check_string(cell, column or "")]
    prompt = "".join(parts)
    if not prompt.strip():
        raise RowError("", "expected text from prompt_template, found only whitespace")
    return prompt


def _cell(cells: Mapping[str, Any], column: str) -> Any:
    if column not in cells:
        raise RowError(column, f"expected this column, found {listing(cells)}{closest(column, cells)}")
    return cells[column]


def _check_string(value: object, column: str, inside: str = "") -> str:
    if not isinstance(value, str):
        raise RowError(column, f"{inside}expected text, found {quote(value)} ({type(value).__name__})")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        found = f"an unpaired surrogate, {quote(value[error.start])}, at character {error.start + 1}"
        raise RowError(column, f"{inside}expected valid Unicode, found {found}") from error
    return value


def _check_text(value: object, column: str) -> str:
    text = _check_string(value, column)
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


def _split_conversation(prompt: object, chosen: object, rejected: object, layout: Layout) -> tuple[str, str, str]:
    before = [] if prompt is None else _messages(prompt, layout.prompt or "prompt", "user")
    good = _messages(chosen, layout.chosen, "assistant")
    bad = _messages(rejected, layout.rejected, "assistant")
    _check_different(good, bad, layout)
    shared = _shared_length(good[:-1], bad[:-1])
    return (
        _turns(_prompt_messages(before, good[:shared], layout)) + ASSISTANT_TURN,
        _response(good[shared:], layout.chosen),
        _response(bad[shared:], layout.rejected),
    )


def _prompt_messages(before: list[Message], shared: list[Message], layout: Layout) -> list[Message]:
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


def _messages(value: object, column: str, role: str) -> list[Message]:
    """Read a list of messages as (role, content). Plain text counts as one message of `role`."""
    if not isinstance(value, (list, tuple)):
        return [(role, _check_text(value, column))]
    if not value:
        raise RowError(column, "expected at least one message, found an empty list")
    return [_message(item, column, number) for number, item in enumerate(value, start=1)]


def _message(item: object, column: str, number: int) -> Message:
    if not isinstance(item, Mapping):
        raise RowError(column, f"message {number}: expected an object with 'role' and 'content', found {quote(item)}")
    for key in ("role", "content"):
        if key not in item:
            raise RowError(column, f"message {number}: no {key!r}, found {listing(item)}")
    if item["role"] not in list(SPEAKERS):  # compared with a list, because the value may not be hashable
        raise RowError(column, f"message {number}: expected one of the roles {listing(SPEAKERS)}, "
                               f"found {quote(item['role'])}")  # fmt: skip
    return item["role"], _check_string(item["content"], column, f"message {number}: 'content': ")


def _turns(messages: list[Message]) -> str:
    return "".join(f"\n\n{SPEAKERS[role]}: {content}" for role, content in messages)


def _response(messages: list[Message], column: str) -> str:
    (role, content), *later = messages
    if role != "assistant":
        raise RowError(column, f"expected a response that starts with an 'assistant' message, found the role {role!r}")
    return f" {content}{_turns(later)}"

"""Find the columns of a pair in a table, and refuse a table in which the prompt may be in another column."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

from dpo_teach.pairs.errors import PairError, RowError, closest, listing, quote
from dpo_teach.pairs.messages import ASSISTANT_TURN, decode_messages, is_blank, read_messages
from dpo_teach.pairs.other_layouts import explain_other_layout
from dpo_teach.pairs.tables import RawTable

__all__ = ["Layout", "find_layout", "unread_columns"]

# Names of columns that probably contain the prompt, and of columns of text or lists that do not.
PROMPT_LIKE = ("question", "instruction", "query", "input", "context", "problem")
NOT_PROMPT = re.compile(
    r"(.*[_-])?(id|idx|index|uuid|hash|source|dataset|model|category|language|lang|split|subset|url|date|time|timestamp"
    r"|license|label|score|rating|type|tag|domain|version|annotator|tools)s?|(chosen|rejected)[_-].*"
    r"|.*[_-](chosen|rejected)",
    re.IGNORECASE,
)


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
            hint = closest(column, table.columns)
            if not hint and column in ("chosen", "rejected"):
                hint = explain_other_layout(table.columns, next(row.cells for row in table.rows if row.cells))
            hint = hint or "; name the right one with columns (--columns chosen NAME)"
            raise PairError(f"{table.source}: {what}, found {listing(table.columns)}{hint}")
    if layout.prompt is None and layout.template is None:
        _check_implicit(table, layout)


def _check_implicit(table: RawTable, layout: Layout) -> None:
    """Refuse an implicit prompt if another column may be the prompt: shared first words may be a coincidence."""
    named = [name for name in table.columns if name.lower() in PROMPT_LIKE or closest("prompt", [name])]
    texts = [name for name in unread_columns(table, layout)
             if any(_is_text(row.cells.get(name)) for row in table.rows if row.cells)]  # fmt: skip
    suspects = [name for name in (*named, *texts) if not NOT_PROMPT.fullmatch(name)]
    if suspects and not all(_has_turns(row.cells.get(layout.chosen)) for row in table.rows if row.cells):
        suspect = suspects[0]
        raise PairError(
            f"{table.source}: no column 'prompt', found {listing(table.columns)}; if {suspect!r} is the prompt, "
            f"pass columns={{'prompt': {suspect!r}}} (--columns prompt {suspect}), or join columns with "
            "prompt_template (--prompt-template); if the prompt is in no column, remove the others"
        )


def _is_text(cell: object) -> bool:
    return not is_blank(cell) and isinstance(cell, (str, list, tuple, Mapping))


def _has_turns(cell: object) -> bool:
    """Whether a response contains its prompt as turns. An invalid cell counts, because its row is reported anyway."""
    try:
        cell = decode_messages(cell, "", {})
        if isinstance(cell, (list, tuple)):
            return any(role == "user" for role, _ in read_messages(cell, "", {}))
    except RowError:
        return True
    return ASSISTANT_TURN in cell if isinstance(cell, str) else True


def unread_columns(table: RawTable, layout: Layout) -> list[str]:
    """The columns that are not read and are not empty, in their order in the source."""
    read = {layout.chosen, layout.rejected, layout.prompt, *(column for _, column in layout.template or [])}
    others = [name for name in table.columns if name not in read]
    return [name for name in others if any(not is_blank(row.cells.get(name)) for row in table.rows if row.cells)]

"""Which columns of a table hold the prompt and the two responses."""

import string
from collections.abc import Mapping
from dataclasses import dataclass

from dpo_teach.pairs.pair import PairError, closest, listing, quote
from dpo_teach.pairs.reading import Table

__all__ = ["ASSISTANT_TURN", "Layout", "find_layout"]

ASSISTANT_TURN = "\n\nAssistant:"
# Columns that most likely are the prompt under another name.
PROMPT_LIKE = ("question", "instruction", "query", "input", "context", "problem")


@dataclass(frozen=True)
class Layout:
    """Where in a row a pair is found: column names, and for the prompt a column, a template, or (both None) neither."""

    chosen: str
    rejected: str
    prompt: str | None
    template: list[tuple[str, str | None]] | None


def find_layout(table: Table, columns: Mapping[str, str] | None, prompt_template: str | None) -> Layout:
    """Decide once for a whole table which columns hold what, so that a column that is missing is said once.

    Raises:
        PairError: `columns` or `prompt_template` make no sense, or name a column that no row has.
    """
    names = dict(columns or {})
    if unknown := set(names) - {"prompt", "chosen", "rejected"}:
        raise PairError(f"columns: found {listing(sorted(unknown))}, wanted 'prompt', 'chosen' or 'rejected'")
    if prompt_template is not None and "prompt" in names:
        raise PairError("prompt_template: found columns['prompt'] as well, wanted one of the two")
    template = None if prompt_template is None else _parse_template(prompt_template)
    has_prompt = template is None and ("prompt" in names or "prompt" in table.columns)
    prompt = names.get("prompt", "prompt") if has_prompt else None
    layout = Layout(names.get("chosen", "chosen"), names.get("rejected", "rejected"), prompt, template)
    if table.columns:  # else no row could be read, and each says why
        _check_columns(table, layout)
    return layout


def _parse_template(template: str) -> list[tuple[str, str | None]]:
    """Split into (text, column) steps; plainer than str.format, which would also look up attributes and indices."""
    try:
        steps = list(string.Formatter().parse(template))
    except ValueError as error:
        raise PairError(f"prompt_template: {quote(template)} is no template: {error}") from error
    for _, field, spec, conversion in steps:
        if field == "" or spec or conversion:
            raise PairError(f"prompt_template: found a field {{{field}}} with more or less than a column's name in it")
    if not any(field for _, field, _, _ in steps):
        raise PairError(f"prompt_template: {quote(template)} names no column, wanted at least one {{column}}")
    return [(text, field) for text, field, _, _ in steps]


def _check_columns(table: Table, layout: Layout) -> None:
    there = table.columns
    for column in (layout.chosen, layout.rejected, layout.prompt):
        if column is not None and column not in there:
            raise PairError(f"{table.source}: no column {column!r}, found {listing(there)}{closest(column, there)}")
    for _, column in layout.template or []:
        if column is not None and column not in there:
            what = f"prompt_template names the column {column!r}, found {listing(there)}"
            raise PairError(f"{table.source}: {what}{closest(column, there)}")
    if layout.prompt is None and layout.template is None:
        _check_really_implicit(table, layout)


def _check_really_implicit(table: Table, layout: Layout) -> None:
    """Refuse to take the words that two answers happen to share for a prompt, where a column looks like the prompt."""
    suspects = [name for name in table.columns if name.lower() in PROMPT_LIKE or closest("prompt", [name])]
    if suspects and not any(_has_turns(row.cells.get(layout.chosen)) for row in table.rows if row.cells):
        suspect = suspects[0]
        raise PairError(
            f"{table.source}: no column 'prompt', found {listing(table.columns)}; if {suspect!r} is the prompt, "
            f"say columns={{'prompt': {suspect!r}}} (CLI: --columns prompt {suspect}), or join columns with "
            "prompt_template (CLI: --prompt-template)"
        )


def _has_turns(cell: object) -> bool:
    return isinstance(cell, (list, tuple)) or (isinstance(cell, str) and ASSISTANT_TURN in cell)

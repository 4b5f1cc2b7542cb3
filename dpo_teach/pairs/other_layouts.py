"""Recognise layouts that are not preference pairs by their columns, and say how to convert them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["explain_other_layout"]

ONE = "response|completion|answer|output|generation|summary|text|messages|conversations"
SEVERAL = "responses|completions|answers|outputs|generations|candidates|summaries"
LABEL = "labels?|winner|preferences?|better.*|safer.*|preferred.*|choice|best.*|overall_preference|which.*"
SCORE = "(.*_)?(scores?|ratings?|rewards?|rank(ing)?s?)"
BOOKKEEPING = re.compile(r"(.*_)?(id|score|rating|tokens?|model|utc|seconds|time|safe|count|length)s?", re.IGNORECASE)
TWO = re.compile(r"(.+?)[_-]?(?:0|1|2|a|b|j|k)", re.IGNORECASE)
WITH_BEST = "take, for each prompt, the best response as chosen and the worst one as rejected"
KINDS = (  # patterns that columns must match, what the rows seem to be, and how to convert them
    ((SEVERAL, "labels"), "steps with labels (stepwise supervision)",
     "DPO compares whole responses: write a correct one as chosen and a wrong one as rejected"),
    ((SEVERAL, LABEL), "several responses and a label",
     "write the labelled response as chosen and another as rejected"),
    ((SEVERAL,), "several responses to each prompt", WITH_BEST),
    ((ONE, SCORE), "responses with scores", WITH_BEST),
    ((ONE, LABEL), "single responses with a label (unpaired preferences)",
     "join, for each prompt, a response with a good label as chosen and one with a bad label as rejected"),
    ((ONE,), "single responses without a comparison",
     "DPO needs two responses to each prompt: the preferred one as chosen, the other as rejected"),
)  # fmt: skip


def explain_other_layout(columns: Sequence[str], cells: Mapping[str, Any]) -> str:
    """Say what rows without pairs contain and how to turn them into pairs, to be added to an error message.

    Args:
        columns: the columns of all rows.
        cells: the cells of one row.

    Returns:
        The explanation, after a semicolon; empty if the layout is not known.

    >>> explain_other_layout(["prompt", "completion", "label"], {}).split("; ")[1]
    'the rows seem to be single responses with a label (unpaired preferences)'
    """
    explained = _two_columns(columns) or _one_list(cells)
    for patterns, what, remedy in KINDS:
        if not explained and all(_matching(pattern, columns) for pattern in patterns):
            explained = f"{what}; {remedy}"
    return explained and f"; the rows seem to be {explained}"


def _two_columns(columns: Sequence[str]) -> str:
    """Explain two columns whose names differ in a number or letter, beside columns that say which of them is better."""
    by_stem: dict[str, list[str]] = {}
    for name in columns:
        if match := TWO.fullmatch(name):
            by_stem.setdefault(match[1], []).append(name)
    pairs = [names for stem, names in by_stem.items() if len(names) == 2 and not BOOKKEEPING.fullmatch(stem)]
    scores = [name for stem, names in by_stem.items() if re.fullmatch(SCORE, stem, re.IGNORECASE) for name in names]
    label = _matching(LABEL, columns) or " and ".join(scores)
    if not (pairs and label):
        return ""
    first, second = pairs[0]
    return (f"two responses and a label; write each row r as {{'prompt': ..., 'chosen': r[{first!r}], 'rejected': "
            f"r[{second!r}]}} if {label} prefers {first!r}, and the other way round if not")  # fmt: skip


def _one_list(cells: Mapping[str, Any]) -> str:
    """Explain a column with a list of two responses."""
    for name, cell in cells.items():
        is_two = isinstance(cell, (list, tuple)) and len(cell) == 2 and all(isinstance(text, str) for text in cell)
        if is_two and re.fullmatch(f"{ONE}|{SEVERAL}", name, re.IGNORECASE):
            return (f"two responses in one list; if the first is the better one, write each row r as {{'prompt': ..., "
                    f"'chosen': r[{name!r}][0], 'rejected': r[{name!r}][1]}}")  # fmt: skip
    return ""


def _matching(pattern: str, columns: Sequence[str]) -> str:
    return next((name for name in columns if re.fullmatch(pattern, name, re.IGNORECASE)), "")

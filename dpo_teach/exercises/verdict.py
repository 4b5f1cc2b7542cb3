"""What a learner is shown: verdicts, hints to unfold, and text that reads as itself."""

import re
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

__all__ = ["SOLUTIONS_OFF", "Help", "Shown", "Verdict", "a", "quoted"]

SOLUTIONS_OFF = "The teacher has switched solutions off in this room."

_SIGNS = {"solved": "✅", "unattempted": "✏️", "unfinished": "✏️", "wrong": "❌"}
_LONGEST_QUOTE = 240


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found.

    Args:
        status: solved, unattempted (nothing wrong with that), unfinished (right so far), or wrong.
        message: to the learner, on one line.
    """

    status: Literal["solved", "unattempted", "unfinished", "wrong"]
    message: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.status]} {self.message}"

    def _repr_markdown_(self) -> str:
        return repr(self)


class Shown(str):
    """A text that a notebook shows as it reads, and not as a quoted string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class Help:
    """Hints and a solution, folded one below the other; the learner opens as many as wanted.

    Args:
        hints: from a nudge to nearly all of it.
        solution: Python source, or the answer in words; None where the teacher keeps it back.
        is_code: whether the solution is source.
    """

    hints: tuple[str, ...]
    solution: str | None
    is_code: bool = True

    def __repr__(self) -> str:
        if self.solution is None:
            return f"{len(self.hints)} hints, folded: open them one at a time. {SOLUTIONS_OFF}"
        return f"{len(self.hints)} hints and a solution, folded: open them one at a time."

    def _repr_html_(self) -> str:
        hints = "".join(_folded(f"Hint {i}", _paragraph(hint)) for i, hint in enumerate(self.hints, start=1))
        if self.solution is None:
            return hints + _paragraph(SOLUTIONS_OFF)
        body = f"<pre><code>{escape(self.solution)}</code></pre>" if self.is_code else _paragraph(self.solution)
        return hints + _folded("A solution", body)


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>{body}</details>"


def _paragraph(text: str) -> str:
    """Our own words as HTML: `code` and *stress* are all the markup that they use."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    html = re.sub(r"(?<!\w)\*(\w[^*<]*)\*(?!\w)", r"<em>\1</em>", html)
    return f"<p>{html}</p>"


def quoted(text: object) -> str:
    """Somebody else's words, on one line, so that Markdown leaves them as they are; long ones without their middle."""
    line = " ".join(str(text).split()).replace("`", "'")
    half = _LONGEST_QUOTE // 2
    return f"`{line if len(line) <= _LONGEST_QUOTE else f'{line[:half]} ... {line[-half:]}'}`"


def a(value: Any) -> str:
    """The type of a value with its article: a float, an int."""
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"

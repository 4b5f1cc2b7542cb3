"""The base class of all exercises: a check that never raises, three hints, and a solution that a teacher can hide."""

import os
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Literal

from dpo_teach.exercises.progress import record_check

__all__ = [
    "SOLUTIONS_OFF",
    "DisplayText",
    "Exercise",
    "Help",
    "Verdict",
    "quote",
    "solutions_are_shown",
    "type_with_article",
]

SOLUTIONS_OFF = "Your teacher has turned solutions off."

_OFF = {"off", "0", "no", "false"}
_WORDS = {"solved": "✅ Right.", "unattempted": "✏️", "unfinished": "✏️", "wrong": "❌ Not yet."}
_EDGES = {"solved": "#2e8b57", "unattempted": "#8a8a8a", "unfinished": "#8a8a8a", "wrong": "#c2603a"}
_LONGEST_QUOTE = 240


@dataclass(frozen=True, repr=False)
class Verdict:
    """The result of a check.

    Args:
        status: solved, unattempted (not an error), unfinished (correct so far), or wrong.
        message: the message to the learner, on one line.
    """

    status: Literal["solved", "unattempted", "unfinished", "wrong"]
    message: str

    def __repr__(self) -> str:
        return f"{_WORDS[self.status]} {self.message}"

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {_EDGES[self.status]}; padding-left: 0.8em"
        return f'<div style="{style}">{_paragraph(repr(self))}</div>'


class DisplayText(str):
    """A string that a notebook displays without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, repr=False)
class Help:
    """Hints and a solution, each folded until the learner opens it.

    Args:
        hints: the hints, from a nudge to nearly the whole solution.
        solution: Python source, or the answer in words; None if the teacher hides it.
        is_code: whether the solution is Python source.
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


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Exercise:
    """A task whose answer can be checked.

    Args:
        name: a short name, such as "the loss".
        notebook: the number of its notebook, such as "01".
        answer_name: the name that the stub defines, such as "my_dpo_loss"; unique among all exercises.
        task: what to do, in one sentence; shown to learners who have not started.
        hints: three hints, from a nudge to nearly the whole solution.
        praise: the message for a correct answer, which says what the exercise has shown.

    Raises:
        ValueError: the number of hints is not three.
    """

    name: str
    notebook: str
    answer_name: str
    task: str
    hints: tuple[str, ...]
    praise: str

    solution_is_code: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.hints) != 3:
            raise ValueError(f"hints of {self.name!r}: expected 3, found {len(self.hints)}")

    def __repr__(self) -> str:
        return f"Exercise {self.name!r} of notebook {self.notebook}: .check({self.answer_name}), .hint(1) to .hint(3)"

    def check(self, answer: Any) -> Verdict:
        """Compare an answer with the solution, and diagnose the mistake if it is a known one.

        Args:
            answer: the value that the learner's stub defines; None or `...` means "not attempted yet".

        Returns:
            The verdict, which is also recorded in the learner's progress file. An answer that is wrong, raises or
            never returns leads to a verdict, not to an exception.
        """
        if answer is None or answer is ...:
            verdict = self._unattempted()
        else:
            try:
                verdict = self._evaluate(answer)
            except Exception as error:
                reason = quote(f"{type(error).__name__}: {error}")
                verdict = Verdict("wrong", f"Checking your answer raised {reason}.")
        record_check(self.answer_name, verdict.status)
        return verdict

    def hint(self, number: int) -> str:
        """Return one hint.

        Args:
            number: 1 for the first.

        Returns:
            The hint.

        Raises:
            ValueError: there is no hint with this number.
        """
        if not 1 <= number <= len(self.hints):
            raise ValueError(f"number must be between 1 and {len(self.hints)}, found {number}")
        return DisplayText(self.hints[number - 1])

    def help(self) -> Help:
        """All hints and the solution, folded."""
        return Help(self.hints, self._solution() if solutions_are_shown() else None, self.solution_is_code)

    def reveal(self) -> str:
        """The solution, or a sentence that says that the teacher has turned solutions off."""
        return DisplayText(self._solution() if solutions_are_shown() else SOLUTIONS_OFF)

    def solution_cell(self) -> str:
        """Source for the stub's cell that passes the check. It is for tests, so hiding solutions does not affect it."""
        raise NotImplementedError

    def _evaluate(self, answer: Any) -> Verdict:
        raise NotImplementedError

    def _solution(self) -> str:
        raise NotImplementedError

    def _unattempted(self) -> Verdict:
        return Verdict("unattempted", f"Nothing to check yet. {self.task}")


def solutions_are_shown() -> bool:
    """False if a teacher has set DPO_TEACH_REVEAL to off (or 0, no, false).

    The variable may also be a path. The setting is then read from that file at each call; a missing or empty file
    means off.
    """
    setting = os.environ.get("DPO_TEACH_REVEAL", "").strip()
    if os.sep in setting:
        try:
            setting = Path(setting).read_text(encoding="utf-8").strip() or "off"
        except (OSError, UnicodeDecodeError):
            setting = "off"
    return setting.lower() not in _OFF


def quote(text: object) -> str:
    """Quote a text on one line, as Markdown code; the middle of a long text is omitted."""
    line = " ".join(str(text).split()).replace("`", "'")
    half = _LONGEST_QUOTE // 2
    return f"`{line if len(line) <= _LONGEST_QUOTE else f'{line[:half]} ... {line[-half:]}'}`"


def type_with_article(value: Any) -> str:
    """The name of a value's type with its article: "a float", "an int"."""
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>{body}</details>"


def _paragraph(text: str) -> str:
    """A hint or solution as HTML; the only markup it may contain is `code` and *emphasis*."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    html = re.sub(r"(?<!\w)\*(\w[^*<]*)\*(?!\w)", r"<em>\1</em>", html)
    return f"<p>{html}</p>"

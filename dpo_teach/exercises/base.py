"""What all exercises share: a check that never raises, three hints, and a solution that a teacher may keep back."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpo_teach.exercises.record import note
from dpo_teach.exercises.verdict import SOLUTIONS_OFF, Help, Shown, Verdict, quoted

__all__ = ["Exercise", "solutions_are_shown"]

_OFF = {"off", "0", "no", "false"}


def solutions_are_shown() -> bool:
    """False where a teacher has set DPO_TEACH_REVEAL to off (or 0, no, false).

    It may also be the path of a file, and then the file says it, anew at each call; while it is missing or empty, off.
    """
    said = os.environ.get("DPO_TEACH_REVEAL", "").strip()
    if os.sep in said:
        said = _said_by(Path(said)) or "off"
    return said.lower() not in _OFF


def _said_by(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Exercise:
    """Something to do, checked.

    Args:
        name: a short one: "the loss".
        notebook: the number of its notebook: "01".
        answer_name: what the stub defines: "my_dpo_loss". No two exercises have the same.
        task: what to do, in a sentence: said to those who have not begun.
        hints: three, from a nudge to nearly all of it.
        praise: what solving it has shown.

    Raises:
        ValueError: there are not three hints.
    """

    name: str
    notebook: str
    answer_name: str
    task: str
    hints: tuple[str, ...]
    praise: str

    def __post_init__(self) -> None:
        if len(self.hints) != 3:
            raise ValueError(f"hints of {self.name!r}: three are wanted, found {len(self.hints)}")

    def check(self, answer: Any) -> Verdict:
        """Compare an answer with the truth, and name the mistake where it is a known one.

        Args:
            answer: what the learner's stub defines; None or `...` for "not yet".

        Returns:
            The verdict, which is also noted in the learner's progress. A wrong answer, or one that raises or never
            ends, is a verdict and no exception.
        """
        if answer is None or answer is ...:
            verdict = self._unattempted()
        else:
            try:
                verdict = self._judge(answer)
            except Exception as error:
                reason = quoted(f"{type(error).__name__}: {error}")
                verdict = Verdict("wrong", f"Your answer could not be checked, which stopped with {reason}.")
        note(self.answer_name, verdict.status)
        return verdict

    def reveal(self) -> str:
        """The solution, to be read; in its place a sentence where the teacher keeps solutions back."""
        return Shown(self._solution() if solutions_are_shown() else SOLUTIONS_OFF)

    def solution_cell(self) -> str:
        """Source for the stub's cell with which the check passes, whatever the teacher's switch says: for tests."""
        raise NotImplementedError

    def hint(self, number: int) -> str:
        """One hint.

        Args:
            number: 1 for the first.

        Returns:
            The hint.

        Raises:
            ValueError: there is no such hint.
        """
        if not 1 <= number <= len(self.hints):
            raise ValueError(f"number must lie between 1 and {len(self.hints)}, found {number}")
        return Shown(self.hints[number - 1])

    def help(self) -> Help:
        """All hints and the solution, folded."""
        return Help(self.hints, self._solution() if solutions_are_shown() else None, self._solution_is_code())

    def _judge(self, answer: Any) -> Verdict:
        raise NotImplementedError

    def _solution(self) -> str:
        raise NotImplementedError

    def _solution_is_code(self) -> bool:
        return False

    def _unattempted(self) -> Verdict:
        return Verdict("unattempted", f"Nothing to check yet. {self.task}")

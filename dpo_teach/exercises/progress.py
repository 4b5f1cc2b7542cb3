"""How far a learner has come, as a small card."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from dpo_teach.exercises.base import Exercise
from dpo_teach.exercises.catalogue import EXERCISES
from dpo_teach.exercises.record import Entry, read

__all__ = ["Card", "Row", "progress"]

_SIGNS = {"solved": "✅", "tried": "✏️", "not yet": "·"}
_TIMES = {1: "once", 2: "twice"}


@dataclass(frozen=True)
class Row:
    """One exercise on a card.

    Args:
        title: its name, after the notebook's number where the card is about several.
        solved: whether it is.
        tries: the checks that it has seen.
    """

    title: str
    solved: bool
    tries: int

    @property
    def state(self) -> str:
        """Solved, tried, or not yet."""
        return "solved" if self.solved else "tried" if self.tries else "not yet"

    def __str__(self) -> str:
        told = {"solved": "", "tried": f": tried {_TIMES.get(self.tries, f'{self.tries} times')}"}
        return f"{_SIGNS[self.state]} {self.title}{told.get(self.state, ': not yet')}"


@dataclass(frozen=True, repr=False)
class Card:
    """What is done, tried, and still to do: one line for each exercise."""

    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        return "\n".join(map(str, self.rows))

    def _repr_html_(self) -> str:
        """In the theme's own colours; a screen reader hears the words, and need not know the signs."""
        items = "".join(f"<li>{_line(row)}</li>" for row in self.rows)
        done = sum(row.solved for row in self.rows)
        style = "display:inline-block;border:1px solid currentColor;border-radius:6px;padding:0.5em 1em"
        return (
            f'<div style="{style}"><strong>{done} of {len(self.rows)} solved</strong>'
            f'<ul style="list-style:none;margin:0.25em 0 0;padding:0">{items}</ul></div>'
        )


def progress(notebook: str | None = None) -> Card:
    """The card of one notebook, or of all.

    Args:
        notebook: its number, such as "03"; None for all of them.

    Returns:
        The card, which a notebook shows.

    Raises:
        ValueError: no notebook of that number has exercises.
    """
    if notebook is not None and notebook not in EXERCISES:
        raise ValueError(f"notebook must be one of {', '.join(EXERCISES)}, found {notebook!r}")
    entries = read()
    if notebook is not None:
        return Card(tuple(_row(exercise, exercise.name, entries) for exercise in EXERCISES[notebook]))
    everything: Sequence[Exercise] = [exercise for exercises in EXERCISES.values() for exercise in exercises]
    return Card(tuple(_row(exercise, f"{exercise.notebook} {exercise.name}", entries) for exercise in everything))


def _row(exercise: Exercise, title: str, entries: dict[str, Entry]) -> Row:
    entry = entries.get(exercise.answer_name, Entry(solved=False, tries=0))
    return Row(title, entry["solved"], entry["tries"])


def _line(row: Row) -> str:
    sign, words = str(row).split(" ", 1)
    said = f"{words}: solved" if row.solved else words
    return f'<span aria-hidden="true">{sign}</span> {escape(said)}'

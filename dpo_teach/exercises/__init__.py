"""The exercises of the notebooks: `check`, `hint`, `help` and `reveal`; and `progress`, a card of what is solved."""

from dpo_teach.exercises.catalogue import EXERCISES
from dpo_teach.exercises.progress import progress

__all__ = ["EXERCISES", "progress"]

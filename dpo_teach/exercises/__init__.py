"""The exercises of the notebooks, one module per notebook; `progress` shows which exercises are solved."""

from dpo_teach.exercises import family, gradients, introduction, rlhf, training
from dpo_teach.exercises.exercise import Exercise
from dpo_teach.exercises.progress import progress

__all__ = ["EXERCISES", "progress"]

EXERCISES: dict[str, tuple[Exercise, ...]] = {}
"""The exercises of each notebook, by its number, in the order in which the module defines them."""

for _module in (introduction, rlhf, gradients, training, family):
    for _value in vars(_module).values():
        if isinstance(_value, Exercise):
            EXERCISES[_value.notebook] = (*EXERCISES.get(_value.notebook, ()), _value)

"""Wrong answers as learners write them, independent of the exercises' own mistakes, one module per notebook.

A module defines `WRONG_ANSWERS`: for each coding exercise, named answers with words of their diagnosis. It may also
define `OTHER_FORMS`: more answers that make the same mistakes. `PYTHONPATH=tests python -m exercises.wrong_answers`
prints how many of them each exercise recognises.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from dpo_teach.exercises.function import FunctionExercise

WRONG_ANSWERS: dict[FunctionExercise, dict[str, tuple[Callable[..., Any], str]]] = {}
OTHER_FORMS: dict[FunctionExercise, list[tuple[Callable[..., Any], str]]] = {}

for _found in pkgutil.iter_modules(__path__):
    if _found.name != "__main__":
        _module = importlib.import_module(f"{__name__}.{_found.name}")
        WRONG_ANSWERS |= _module.WRONG_ANSWERS
        OTHER_FORMS |= getattr(_module, "OTHER_FORMS", {})


def is_recognised(exercise: FunctionExercise, answer: Callable[..., Any], words: str) -> bool:
    """Whether a wrong answer gets the one diagnosis that contains these words."""
    verdict = exercise.check(answer)
    diagnoses = [mistake.diagnosis for mistake in exercise.mistakes if words in mistake.diagnosis]
    return verdict.status == "wrong" and len(diagnoses) == 1 and verdict.message.startswith(diagnoses[0])


def table() -> str:
    """For each coding exercise, the number of wrong answers, and how many of them get their own diagnosis."""
    counts = {
        f"{exercise.notebook} {exercise.name}": [is_recognised(exercise, *answer) for answer in answers.values()]
        for exercise, answers in sorted(WRONG_ANSWERS.items(), key=lambda item: item[0].notebook)
    }
    counts["total"] = [recognised for row in counts.values() for recognised in row]
    lines = [f"{'exercise':<28}{'wrong answers':>15}{'own diagnosis':>15}"]
    lines += [f"{name:<28}{len(row):>15}{sum(row):>15}" for name, row in counts.items()]
    return "\n".join([*lines, f"{sum(counts['total']) / len(counts['total']):.1%} of the wrong answers are recognised"])

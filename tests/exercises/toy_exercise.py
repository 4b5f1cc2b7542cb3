"""A minimal exercise for testing unusual answers."""

from typing import Any

from dpo_teach.exercises.function import FunctionExercise, Mistake


def _double(x: float) -> float:
    return 2 * x


DOUBLE = FunctionExercise(
    name="the double",
    notebook="00",
    answer_name="double",
    task="Double it.",
    hints=("Think.", "Add.", "x + x"),
    praise="Doubled.",
    solution=_double,
    name_in_notebook="exercises.double",
    cases=({"x": 2.0}, {"x": 3.0}),
    mistakes=(Mistake(lambda x: x * x, "You squared it. A square grows faster."),),
    time_limit=0.3,
)


SEE = " To see it, run `double(**exercises.double.case(1))`."


def message(answer: Any) -> str:
    """The message of the exercise's verdict on a wrong answer."""
    verdict = DOUBLE.check(answer)
    assert verdict.status == "wrong"
    assert "\n" not in verdict.message
    return verdict.message

"""Choose β from a frontier."""

from dpo_teach.exercises.function import FunctionExercise
from dpo_teach.exercises.training.beta_mistakes import BETA_MISTAKES
from dpo_teach.exercises.training.frontiers import FRONTIERS, Run

__all__ = ["choose_beta"]


def _my_beta(runs: list[Run], most_kl: float, least_fluency: float) -> float:
    allowed = [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]
    best = max(allowed, key=lambda run: run.true_reward)
    return best.beta


choose_beta = FunctionExercise(
    name="the choice of β",
    notebook="04",
    answer_name="my_beta",
    task="Replace the `...` of the stub: among the runs that keep to both limits, return the beta of the one with the "
    "highest true reward.",
    hints=(
        "Two things in a row: which runs are allowed, and which of those is best.",
        "A run is allowed if `run.kl <= most_kl` and `run.fluency >= least_fluency`.",
        "`max(allowed, key=lambda run: run.true_reward)` is the best run; its `.beta` is the answer.",
    ),
    praise="That is how β is chosen: by what the samples are worth, within limits that were set before looking.",
    solution=_my_beta,
    name_in_notebook="choose_beta",
    cases=(
        {"runs": FRONTIERS[0], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": FRONTIERS[1], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": FRONTIERS[2], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": FRONTIERS[0], "most_kl": 20.0, "least_fluency": 0.9},
    ),
    mistakes=BETA_MISTAKES,
)

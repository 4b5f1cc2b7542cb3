"""Choose β from a frontier."""

from collections.abc import Callable
from typing import NamedTuple

from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["Run", "choose_beta"]


class Run(NamedTuple):
    """What one run came to."""

    beta: float
    true_reward: float
    kl: float
    fluency: float


def _my_beta(runs: list[Run], most_kl: float, least_fluency: float) -> float:
    allowed = [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]
    best = max(allowed, key=lambda run: run.true_reward)
    return best.beta


def _best(runs: list[Run], key: Callable[[Run], float] = lambda run: run.true_reward) -> float:
    return max(runs, key=key).beta


def _allowed(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


_FRONTIERS = (
    # The one with the most reward is broken, the one with the largest β and the one with the least KL gained little.
    [Run(1.0, 0.9, 1.1, 0.97), Run(0.5, 1.9, 3.0, 0.95), Run(0.3, 2.9, 6.2, 0.93), Run(0.1, 4.1, 15.0, 0.91),
     Run(0.05, 4.8, 27.0, 0.42)],
    # Only the KL forbids; and of what it allows, neither the smallest β nor the furthest run is it.
    [Run(0.05, 5.2, 31.0, 0.96), Run(0.1, 3.1, 7.5, 0.92), Run(0.2, 3.4, 7.0, 0.94), Run(0.4, 2.0, 8.0, 0.95),
     Run(1.0, 0.7, 0.8, 0.98)],
    # Fluency forbids one that the KL allows.
    [Run(0.5, 1.2, 2.0, 0.96), Run(0.3, 2.2, 4.0, 0.95), Run(0.2, 3.0, 6.0, 0.7), Run(0.1, 2.5, 11.0, 0.93)],
)  # fmt: skip

_MISTAKES = (
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs),
        "You took the highest true reward of all, with no regard to the limits. "
        "The policy has run far from its reference there, or no longer writes sentences.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, 0.0)),
        "The limit on KL is kept, the one on fluency is not. A mean reward can be high though many texts are broken.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, float("inf"), least_fluency)),
        "The limit on fluency is kept, the one on KL is not. "
        "Far from the reference a policy has lost more than one number can show, so leave out runs beyond `most_kl`.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, least_fluency), lambda run: -run.beta),
        "You took the smallest β that keeps to the limits. "
        "It is often the best one, but a run can go far and gain little: only the true reward tells.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, least_fluency), lambda run: -run.kl),
        "You took the run that is closest to the reference. "
        "The reference itself would be closer still: what is wanted is the most reward within the limit.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, least_fluency), lambda run: run.kl),
        "You took the run that went furthest within the limits. "
        "Distance is the price and not the gain: what it buys is the true reward.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: max(run.true_reward for run in _allowed(runs, most_kl, least_fluency)),
        "That is the true reward of the right run, and its beta is wanted. "
        "Nobody can set a reward; β is the knob that there is.",
    ),
)

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
    cases=(
        {"runs": _FRONTIERS[0], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": _FRONTIERS[1], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": _FRONTIERS[2], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": _FRONTIERS[0], "most_kl": 20.0, "least_fluency": 0.9},
    ),
    mistakes=_MISTAKES,
)

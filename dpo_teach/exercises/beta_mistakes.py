"""Test cases for the exercise on choosing β, and its common mistakes with their diagnoses."""

from collections.abc import Callable
from typing import NamedTuple

from dpo_teach.exercises.function import Mistake

__all__ = ["BETA_MISTAKES", "FRONTIERS", "Run"]


class Run(NamedTuple):
    """The result of one training run.

    Args:
        beta: the β it was trained with.
        true_reward: the mean true reward of its samples.
        kl: the KL of its policy from the reference, nats.
        fluency: the share of its samples that the grammar allows, 0 to 1.
    """

    beta: float
    true_reward: float
    kl: float
    fluency: float


FRONTIERS = (
    # The right run is exactly on the KL limit. Beyond the limit, one run is fluent, and the one with the highest reward
    # is not.
    [Run(0.1, 4.1, 15.0, 0.91), Run(0.5, 1.9, 3.0, 0.95), Run(0.05, 4.8, 27.0, 0.42), Run(1.0, 0.9, 0.4, 0.97),
     Run(0.3, 2.9, 10.0, 0.93)],
    # The right run is exactly on the fluency limit, and comes first by no criterion but true reward.
    [
        Run(0.8, 0.3, 1.5, 0.95),   # the first in the list
        Run(2.0, 0.2, 1.0, 0.97),   # the largest β
        Run(1.0, 0.6, 0.5, 0.96),   # the lowest KL
        Run(0.7, 0.1, 2.0, 0.95),   # the lowest reward
        Run(0.5, 1.5, 2.5, 0.98),   # the best fluency
        Run(0.3, 2.4, 1.7, 0.94),   # the highest reward minus KL
        Run(0.4, 1.2, 0.6, 0.95),   # the highest reward per nat of KL
        Run(0.2, 3.4, 7.0, 0.90),   # the highest reward within the limits
        Run(0.15, 3.2, 6.0, 0.93),  # the highest reward minus β times KL
        Run(0.1, 2.8, 9.5, 0.92),   # the highest KL within the limits
        Run(0.05, 2.0, 8.0, 0.91),  # the smallest β within the limits
        Run(0.02, 5.2, 31.0, 0.96),
        Run(0.6, 1.0, 3.0, 0.94),   # the last within the limits
    ],
    # The fluency limit excludes a run that the KL limit allows. The run with the best fluency comes a close second.
    [Run(0.3, 2.2, 4.0, 0.95), Run(0.1, 2.5, 11.0, 0.93), Run(0.4, 2.19, 3.0, 0.99), Run(0.2, 3.0, 6.0, 0.7),
     Run(0.5, 1.2, 2.0, 0.96)],
)  # fmt: skip


def _true_reward(run: Run) -> float:
    return run.true_reward


def _best(runs: list[Run], key: Callable[[Run], float] = _true_reward) -> float:
    return max(runs, key=key).beta


def _allowed(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


def _best_allowed(key: Callable[[Run], float]) -> Callable[..., float]:
    """The answer of a learner who keeps to both limits, but maximises something else."""
    return lambda *arguments: _best(_allowed(*arguments), key)


_LIMITS = (
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs),
        "You took the highest true reward of all runs, with no regard to the limits. "
        "That policy has run far from its reference, or no longer writes proper sentences.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs, lambda run: -run.beta),
        "You took the smallest β of all the runs, or the run that went furthest, which is the same one here. "
        "It breaks the limits, and you have not looked at its true reward.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, 0.0)),
        "The limit on KL is kept, the one on fluency is not. A mean reward can be high although many texts are broken.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, float("inf"), least_fluency)),
        "The limit on fluency is kept, the one on KL is not. "
        "Far from the reference, a policy has lost more than one number can show, so leave out runs beyond `most_kl`.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl <= most_kl or run.fluency >= least_fluency]
        ),
        "You ask for one limit or the other, but both must hold: use `and`, not `or`. "
        "With `or`, a run that is close but broken would pass, and so would one that is fluent but far away.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl < most_kl and run.fluency >= least_fluency]
        ),
        "A run exactly on the limit of KL is left out: `most_kl` is the most that is allowed, so use `<=`. "
        "The run that you lose is often the best one, because it has used all the KL that the limit gives.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl <= most_kl and run.fluency > least_fluency]
        ),
        "A run exactly on the limit of fluency is left out: `least_fluency` is still allowed, so use `>=`. "
        "Fluency is a share of texts, so a run is often exactly on the limit.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl < most_kl and run.fluency > least_fluency]
        ),
        "Runs exactly on a limit are left out, for KL and for fluency: use `<=` and `>=`. "
        "A limit is a value that may be reached.",
    ),
)

_KEYS = (
    Mistake(
        _best_allowed(lambda run: -run.beta),
        "You took the smallest β that keeps to the limits. "
        "It is often the best one, but a run can go far and gain little: only the true reward shows this.",
    ),
    Mistake(
        _best_allowed(lambda run: run.beta),
        "You took the largest β: directly, or by a `max` without a `key`, which compares runs by their first number. "
        "A large β only holds the policy tightly; what you want is in the true reward.",
    ),
    Mistake(
        _best_allowed(lambda run: -run.kl),
        "You took the run that is closest to the reference. "
        "The reference itself would be closer still: look for the highest reward within the limits.",
    ),
    Mistake(
        _best_allowed(lambda run: run.kl),
        "You took the run that went furthest within the limits. "
        "Distance is the price and not the gain: what it buys is the true reward.",
    ),
    Mistake(
        _best_allowed(lambda run: -run.true_reward),
        "You took the lowest true reward within the limits: `min` instead of `max`. "
        "A reward should be high; it is a loss that should be low.",
    ),
    Mistake(
        _best_allowed(lambda run: run.fluency),
        "You took the run with the best fluency. "
        "Fluency is a condition here: once it is met, more of it earns nothing, and the true reward decides.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward / run.kl),
        "You took the most reward for a nat of KL, a ratio. "
        "The first nats are usually the cheapest, so this prefers runs that have hardly begun; within the limit, a "
        "nat costs nothing.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward - run.kl),
        "You took reward minus KL, as if a nat cost one unit of reward. "
        "Here the KL has a limit and no price: compare the runs within the limit by their true reward alone.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward + run.fluency),
        "You mixed reward and fluency into one number. "
        "They have no unit in common, and fluency is a condition: once it is met, the true reward decides.",
        also=(_best_allowed(lambda run: run.true_reward * run.fluency),),
    ),
    Mistake(
        lambda *arguments: _allowed(*arguments)[0].beta,
        "You took the first run that keeps to the limits, in the order of the list. "
        "The order of the list means nothing: look for the highest true reward in it.",
    ),
    Mistake(
        lambda *arguments: _allowed(*arguments)[-1].beta,
        "You took the last run that keeps to the limits, like a loop that stores each run without comparing it. "
        "The order of the list means nothing: look for the highest true reward in it.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward - run.beta * run.kl),
        "You took reward minus β times KL, the training objective. "
        "Its β differs from run to run, so you cannot use it to compare them: here the KL has a limit, and no price.",
    ),
)

_RESULTS = (
    Mistake(
        lambda *arguments: max(map(_true_reward, _allowed(*arguments))),
        "That is the true reward of the right run, but the exercise asks for its beta. "
        "You cannot set a reward; β is what you can set.",
    ),
    Mistake(
        lambda *arguments: max(_allowed(*arguments), key=_true_reward).kl,
        "That is the KL of the right run, or its fluency, but the exercise asks for its beta. "
        "Those two are results of a run; β is what you start it with.",
        also=(lambda *arguments: max(_allowed(*arguments), key=_true_reward).fluency,),
    ),
    Mistake(
        lambda runs, *limits: runs.index(max(_allowed(runs, *limits), key=_true_reward)),
        "That is the place of the right run in the list, but the exercise asks for its beta. "
        "A place means nothing without this list: end with `.beta`.",
    ),
    Mistake(
        lambda *arguments: max(_allowed(*arguments), key=_true_reward),
        "That is the right run with all four of its numbers, but the exercise asks for its beta alone. "
        "The next training run needs one number: end with `.beta`.",
    ),
)

BETA_MISTAKES = (*_LIMITS, *_KEYS, *_RESULTS)

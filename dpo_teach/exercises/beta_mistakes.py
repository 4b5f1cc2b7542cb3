"""Runs to choose β from, and what goes wrong when it is chosen: the common mistakes, each with its diagnosis."""

from collections.abc import Callable
from typing import NamedTuple

from dpo_teach.exercises.function import Mistake

__all__ = ["BETA_MISTAKES", "FRONTIERS", "Run"]


class Run(NamedTuple):
    """What one run came to.

    Args:
        beta: what it was started with.
        true_reward: mean over its samples.
        kl: from the reference, nats.
        fluency: share of its samples that the grammar allows, 0 to 1.
    """

    beta: float
    true_reward: float
    kl: float
    fluency: float


FRONTIERS = (
    # The right one lies on the limit of KL. Beyond it, one is fluent, and the one with the most reward is broken.
    [Run(0.1, 4.1, 15.0, 0.91), Run(0.5, 1.9, 3.0, 0.95), Run(0.05, 4.8, 27.0, 0.42), Run(1.0, 0.9, 0.4, 0.97),
     Run(0.3, 2.9, 10.0, 0.93)],
    # The right one lies on the limit of fluency, and only in true reward is it the first.
    [
        Run(0.8, 0.3, 1.5, 0.95),   # the first in the list
        Run(2.0, 0.2, 1.0, 0.97),   # the largest β
        Run(1.0, 0.6, 0.5, 0.96),   # the least KL
        Run(0.7, 0.1, 2.0, 0.95),   # the least reward
        Run(0.5, 1.5, 2.5, 0.98),   # the best fluency
        Run(0.3, 2.4, 1.7, 0.94),   # the most reward minus KL
        Run(0.4, 1.2, 0.6, 0.95),   # the most reward for a nat of KL
        Run(0.2, 3.4, 7.0, 0.90),   # the most reward within the limits
        Run(0.15, 3.2, 6.0, 0.93),  # the most reward minus β times KL
        Run(0.1, 2.8, 9.5, 0.92),   # the most KL within the limits
        Run(0.05, 2.0, 8.0, 0.91),  # the smallest β within the limits
        Run(0.02, 5.2, 31.0, 0.96),
        Run(0.6, 1.0, 3.0, 0.94),   # the last within the limits
    ],
    # Fluency forbids one that the KL allows, and gives no prize to the one that nearly wins.
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
    """What is found by one who keeps to the limits, and looks for something else."""
    return lambda *arguments: _best(_allowed(*arguments), key)


_LIMITS = (
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs),
        "You took the highest true reward of all, with no regard to the limits. "
        "The policy has run far from its reference there, or no longer writes sentences.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs, lambda run: -run.beta),
        "You took the smallest β of all the runs, or the run that went furthest, which is the same one here. "
        "It breaks the limits, and what it is worth you have not asked.",
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
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl <= most_kl or run.fluency >= least_fluency]
        ),
        "You ask for one limit or the other, and both have to be kept: `and`, not `or`. "
        "A run that is close and broken would pass, and one that is fluent and far away as well.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl < most_kl and run.fluency >= least_fluency]
        ),
        "A run that lies exactly on the limit of KL is left out: `most_kl` is the most that is allowed, so `<=`. "
        "It is often the best run that is lost, which has used all that the limit gives.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl <= most_kl and run.fluency > least_fluency]
        ),
        "A run that lies exactly on the limit of fluency is left out: `least_fluency` is still allowed, so `>=`. "
        "Where fluency is a share of texts, a run is often exactly on the limit.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl < most_kl and run.fluency > least_fluency]
        ),
        "Runs that lie exactly on a limit are left out, of KL and of fluency: write `<=` and `>=`. "
        "Those who set a limit mean that it may be reached.",
    ),
)

_KEYS = (
    Mistake(
        _best_allowed(lambda run: -run.beta),
        "You took the smallest β that keeps to the limits. "
        "It is often the best one, but a run can go far and gain little: only the true reward tells.",
    ),
    Mistake(
        _best_allowed(lambda run: run.beta),
        "You took the largest β: by its own name, or by a `max` without a `key`, which compares runs by their first "
        "number. "
        "A large β only holds the policy tightly; what it is worth is in the true reward.",
    ),
    Mistake(
        _best_allowed(lambda run: -run.kl),
        "You took the run that is closest to the reference. "
        "The reference itself would be closer still: what is wanted is the most reward within the limit.",
    ),
    Mistake(
        _best_allowed(lambda run: run.kl),
        "You took the run that went furthest within the limits. "
        "Distance is the price and not the gain: what it buys is the true reward.",
    ),
    Mistake(
        _best_allowed(lambda run: -run.true_reward),
        "You took the lowest true reward within the limits: `min` where it should be `max`. "
        "A reward is what one wants much of; it is a loss that is made small.",
    ),
    Mistake(
        _best_allowed(lambda run: run.fluency),
        "You took the run with the best fluency. "
        "Fluency is a condition here: once it is kept, more of it earns nothing, and the true reward decides.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward / run.kl),
        "You took the most reward for a nat of KL, a quotient. "
        "The first nats are the cheapest as a rule, so that it prefers runs which have hardly begun; within the limit "
        "a nat costs nothing.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward - run.kl),
        "You took reward minus KL, as if a nat cost one unit of reward. "
        "Here the KL has a limit and no price: whatever keeps to the limit is compared by its true reward alone.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward + run.fluency),
        "You mixed reward and fluency into one number. "
        "They have no unit in common, and fluency is a condition: once it is kept, the true reward decides.",
        also=(_best_allowed(lambda run: run.true_reward * run.fluency),),
    ),
    Mistake(
        lambda *arguments: _allowed(*arguments)[0].beta,
        "You took the first run that keeps to the limits, in the order of the list. "
        "The list has no order that means anything: look for the most true reward in it.",
    ),
    Mistake(
        lambda *arguments: _allowed(*arguments)[-1].beta,
        "You took the last run that keeps to the limits, as a loop does which remembers without comparing. "
        "The list has no order that means anything: look for the most true reward in it.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward - run.beta * run.kl),
        "You took reward minus β times KL, the objective of training. "
        "Its β is another one in each run, so that runs cannot be compared by it: here the KL has a limit, and no "
        "price.",
    ),
)

_RESULTS = (
    Mistake(
        lambda *arguments: max(map(_true_reward, _allowed(*arguments))),
        "That is the true reward of the right run, and its beta is wanted. "
        "Nobody can set a reward; β is the knob that there is.",
    ),
    Mistake(
        lambda *arguments: max(_allowed(*arguments), key=_true_reward).kl,
        "That is the KL of the right run, or its fluency, and its beta is wanted. "
        "Those two are what a run comes to; β is what it is started with.",
        also=(lambda *arguments: max(_allowed(*arguments), key=_true_reward).fluency,),
    ),
    Mistake(
        lambda runs, *limits: runs.index(max(_allowed(runs, *limits), key=_true_reward)),
        "That is the place of the right run in the list, and its beta is wanted. "
        "A place means something only to one who has the same list: end with `.beta`.",
    ),
    Mistake(
        lambda *arguments: max(_allowed(*arguments), key=_true_reward),
        "That is the right run, all four of its numbers, and its beta alone is wanted. "
        "What goes into the next training is one number: end with `.beta`.",
    ),
)

BETA_MISTAKES = (*_LIMITS, *_KEYS, *_RESULTS)

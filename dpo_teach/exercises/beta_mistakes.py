"""The exercise on choosing β: the runs to choose from, and the common mistakes with their diagnoses."""

from collections.abc import Callable
from typing import NamedTuple

from dpo_teach.exercises.function import Mistake

__all__ = ["BETA_MISTAKES", "FRONTIERS", "Run"]


class Run(NamedTuple):
    """The setting and the scores of one run.

    Args:
        beta: the β that it was trained with.
        true_reward: mean over its samples.
        kl: KL to the reference, nats.
        fluency: share of its samples that the grammar accepts, 0 to 1.
    """

    beta: float
    true_reward: float
    kl: float
    fluency: float


FRONTIERS = (
    # The right run is exactly on the KL limit. Beyond it, one run is fluent, and the run with most reward is broken.
    [Run(0.1, 4.1, 15.0, 0.91), Run(0.5, 1.9, 3.0, 0.95), Run(0.05, 4.8, 27.0, 0.42), Run(1.0, 0.9, 0.4, 0.97),
     Run(0.3, 2.9, 10.0, 0.93)],
    # The right run is exactly on the fluency limit, and it is the best by true reward only.
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
    # Fluency rules out a run that the KL limit allows, and does not help the run that is nearly the best.
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
    """The answer of a learner who keeps to the limits but maximises another quantity."""
    return lambda *arguments: _best(_allowed(*arguments), key)


_LIMITS = (
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs),
        "You took the highest true reward of all runs and ignored the limits. There the policy has moved far from its "
        "reference, or no longer writes sentences.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(runs, lambda run: -run.beta),
        "You took the smallest β of all the runs, or the run that went furthest, which is the same one here. It "
        "breaks the limits, and you did not look at its true reward.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, 0.0)),
        "The limit on KL is kept, the one on fluency is not. A mean reward can be high although many texts are broken.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(_allowed(runs, float("inf"), least_fluency)),
        "The limit on fluency is kept, the one on KL is not. Far from the reference a policy has lost more than one "
        "number can show, so leave out runs beyond `most_kl`.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl <= most_kl or run.fluency >= least_fluency]
        ),
        "You require one limit or the other, but both have to be kept: `and`, not `or`. Your version accepts a run "
        "that is close but broken, and one that is fluent but far away.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl < most_kl and run.fluency >= least_fluency]
        ),
        "A run that lies exactly on the limit of KL is left out, but `most_kl` itself is allowed: use `<=`. Often it "
        "is the best run that is lost, because it uses all that the limit allows.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl <= most_kl and run.fluency > least_fluency]
        ),
        "A run that lies exactly on the limit of fluency is left out, but `least_fluency` itself is allowed: use "
        "`>=`. Since fluency is a share of texts, a run is often exactly on the limit.",
    ),
    Mistake(
        lambda runs, most_kl, least_fluency: _best(
            [run for run in runs if run.kl < most_kl and run.fluency > least_fluency]
        ),
        "Runs that lie exactly on a limit are left out, of KL and of fluency: use `<=` and `>=`. A limit is a value "
        "that may be reached.",
    ),
)

_KEYS = (
    Mistake(
        _best_allowed(lambda run: -run.beta),
        "You took the smallest β that keeps to the limits. It is often the best one, but a run can go far and gain "
        "little: only the true reward shows that.",
    ),
    Mistake(
        _best_allowed(lambda run: run.beta),
        "You took the largest β, either on purpose or with a `max` without a `key`, which compares runs by their "
        "first number. A large β only keeps the policy close; how good it is shows in the true reward.",
    ),
    Mistake(
        _best_allowed(lambda run: -run.kl),
        "You took the run that is closest to the reference. The reference itself would be closer still: the task is "
        "to find the highest reward within the limit.",
    ),
    Mistake(
        _best_allowed(lambda run: run.kl),
        "You took the run that went furthest within the limits. Distance is the price and not the gain: what it buys "
        "is the true reward.",
    ),
    Mistake(
        _best_allowed(lambda run: -run.true_reward),
        "You took the lowest true reward within the limits: `min` instead of `max`. A reward is to be maximised; it "
        "is a loss that is minimised.",
    ),
    Mistake(
        _best_allowed(lambda run: run.fluency),
        "You took the run with the best fluency. Fluency is a condition here: once it is met, more of it gains "
        "nothing, and the true reward decides.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward / run.kl),
        "You took the highest reward for a nat of KL, a quotient. The first nats are usually the cheapest, so this "
        "prefers runs that have hardly begun; within the limit a nat costs nothing.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward - run.kl),
        "You took reward minus KL, as if a nat cost one unit of reward. Here the KL has a limit but no price: runs "
        "that keep to the limit are compared by their true reward alone.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward + run.fluency),
        "You mixed reward and fluency into one number. They have no common unit, and fluency is a condition: once it "
        "is met, the true reward decides.",
        also=(_best_allowed(lambda run: run.true_reward * run.fluency),),
    ),
    Mistake(
        lambda *arguments: _allowed(*arguments)[0].beta,
        "You took the first run in the list that keeps to the limits. The order of the list means nothing: look for "
        "the highest true reward in it.",
    ),
    Mistake(
        lambda *arguments: _allowed(*arguments)[-1].beta,
        "You took the last run in the list that keeps to the limits, as a loop does that overwrites its result "
        "without comparing. The order of the list means nothing: look for the highest true reward in it.",
    ),
    Mistake(
        _best_allowed(lambda run: run.true_reward - run.beta * run.kl),
        "You took reward minus β times KL, the objective of training. Each run has a different β, so this does not "
        "compare runs: here the KL has a limit, and no price.",
    ),
)

_RESULTS = (
    Mistake(
        lambda *arguments: max(map(_true_reward, _allowed(*arguments))),
        "That is the true reward of the right run, but the task is to return its beta. You cannot set a reward "
        "directly; β is what you set.",
    ),
    Mistake(
        lambda *arguments: max(_allowed(*arguments), key=_true_reward).kl,
        "That is the KL of the right run, or its fluency, but the task is to return its beta. Those two are results "
        "of a run; β is the setting it starts with.",
        also=(lambda *arguments: max(_allowed(*arguments), key=_true_reward).fluency,),
    ),
    Mistake(
        lambda runs, *limits: runs.index(max(_allowed(runs, *limits), key=_true_reward)),
        "That is the position of the right run in the list, but the task is to return its beta. A position is useful "
        "only together with the list: end with `.beta`.",
    ),
    Mistake(
        lambda *arguments: max(_allowed(*arguments), key=_true_reward),
        "That is the right run with all four of its numbers, but the task is to return its beta alone. The next "
        "training needs one number: end with `.beta`.",
    ),
)

BETA_MISTAKES = (*_LIMITS, *_KEYS, *_RESULTS)

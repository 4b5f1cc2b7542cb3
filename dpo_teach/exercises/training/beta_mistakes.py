"""What goes wrong when β is chosen from a frontier: the common mistakes, each with its diagnosis."""

from collections.abc import Callable

from dpo_teach.exercises.function import Mistake
from dpo_teach.exercises.training.frontiers import Run

__all__ = ["BETA_MISTAKES"]


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

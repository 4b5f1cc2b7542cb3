"""Runs to choose β from: made so that whoever looks at something else finds another one."""

from typing import NamedTuple

__all__ = ["FRONTIERS", "Run"]


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

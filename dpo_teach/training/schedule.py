"""The examples and the learning rate of each step, as pure functions, so that a run can be resumed."""

import math
import random
from collections.abc import Sequence

__all__ = ["learning_rate_at", "plan_steps"]


def plan_steps(
    lengths: Sequence[int], *, batch_size: int, epochs: int = 1, seed: int = 0, length_window: int = 512
) -> list[list[int]]:
    """Plan the examples of every optimizer step, in order.

    Each epoch shuffles all examples, sorts windows of `length_window` examples by length, splits them into batches and
    shuffles the batches. Batches of similar lengths need little padding, and their composition stays random.

    Args:
        lengths: tokens of each example.
        batch_size: examples per step; the last step of an epoch may have fewer.
        epochs: number of passes over the examples.
        seed: random seed for the order.
        length_window: number of examples that are sorted together; rounded up to whole batches.

    Returns:
        A list of steps, each a list of indices into `lengths`.

    >>> plan_steps([5, 1, 4, 2], batch_size=2, seed=0)
    [[1, 3], [2, 0]]
    """
    rng = random.Random(seed)
    window = math.ceil(length_window / batch_size) * batch_size
    steps: list[list[int]] = []
    for _ in range(epochs):
        order = rng.sample(range(len(lengths)), len(lengths))
        windows = [sorted(order[i : i + window], key=lengths.__getitem__) for i in range(0, len(order), window)]
        batches = [part[i : i + batch_size] for part in windows for i in range(0, len(part), batch_size)]
        rng.shuffle(batches)
        steps += batches
    return steps


def learning_rate_at(
    step: int, *, total_steps: int, peak: float, warmup_fraction: float = 0.1, schedule: str = "cosine"
) -> float:
    """Return the learning rate of one step: a linear warm-up, followed by half a cosine down to 0 or a constant.

    Args:
        step: index of the step, counted from 0.
        total_steps: number of steps of the run.
        peak: learning rate at the end of the warm-up.
        warmup_fraction: fraction of the steps that belong to the warm-up.
        schedule: "cosine" or "constant".

    >>> [round(learning_rate_at(s, total_steps=4, peak=1.0, warmup_fraction=0.5), 3) for s in range(4)]
    [0.5, 1.0, 0.854, 0.146]
    """
    warmup = round(warmup_fraction * total_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    progress = (step - warmup + 0.5) / (total_steps - warmup)
    return peak * (1 + math.cos(math.pi * progress)) / 2

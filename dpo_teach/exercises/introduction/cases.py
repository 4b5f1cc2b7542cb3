"""Numbers to try the learner's functions with: log-probabilities such as a small model gives to short responses."""

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["random_cases"]


def random_cases(names: tuple[str, ...], *sizes: tuple[int, int, float]) -> tuple[Mapping[str, Any], ...]:
    """Cases of seeded random logps, nats, in double precision.

    Args:
        names: of the logps.
        sizes: for each case its seed, its batch and its β.

    Returns:
        The arguments of each case, β last.
    """
    return tuple(_random_logps(names, seed, batch) | {"beta": beta} for seed, batch, beta in sizes)


def _random_logps(names: tuple[str, ...], seed: int, batch: int) -> dict[str, Any]:
    random = torch.Generator().manual_seed(seed)
    numbers = -50 + 4 * torch.randn(len(names), batch, generator=random, dtype=torch.float64)
    return dict(zip(names, numbers, strict=True))

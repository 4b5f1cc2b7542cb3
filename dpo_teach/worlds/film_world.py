"""Tabular worlds (prompts, responses, a reference and a reward), and the film world that the notebooks use."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["TabularWorld", "film_world"]


@dataclass(frozen=True)
class TabularWorld:
    """Prompts, the responses that can follow any of them, the reference policy, and the true reward.

    Args:
        prompts: one text per row of the tables.
        responses: one text per column, the same for every prompt.
        reference: π_ref(y|x), each row above 0 and summing to 1.
        reward: r(x, y), in nats; a response with a reward 1 higher than the other wins 73 comparisons in 100.

    Raises:
        ValueError: a table does not have one row per prompt and one column per response, a reference row is not a
            distribution, or a reward is not finite.
    """

    prompts: tuple[str, ...]
    responses: tuple[str, ...]
    reference: Float[Tensor, "prompts responses"]
    reward: Float[Tensor, "prompts responses"]

    def __post_init__(self) -> None:
        expected = (len(self.prompts), len(self.responses))
        for name, table in (("reference", self.reference), ("reward", self.reward)):
            if tuple(table.shape) != expected:
                raise ValueError(
                    f"{name}: expected shape {expected}, one row per prompt and one column per response, "
                    f"found {tuple(table.shape)}"
                )
        if not bool((self.reference > 0).all()):
            raise ValueError(f"reference: expected probabilities above 0, found {self.reference.min().item()}")
        totals = self.reference.sum(dim=-1)
        if not torch.allclose(totals, torch.ones_like(totals), atol=1e-6):
            raise ValueError(f"reference: expected rows that sum to 1, found sums {totals.tolist()}")
        if not bool(torch.isfinite(self.reward).all()):
            raise ValueError("reward: expected finite numbers, found NaN or infinity")


def film_world() -> TabularWorld:
    """Three openings of a film review and six ways to continue, from scathing to glowing.

    The reference is mostly lukewarm, seldom scathing and hardly ever glowing. The reward rises from left to right, by
    different amounts for different openings. The tables are float64, so that identities hold to the last digit.

    >>> world = film_world()
    >>> len(world.prompts), len(world.responses)
    (3, 6)
    """
    return TabularWorld(
        prompts=("We went on a rainy Tuesday.", "My sister chose the film.", "I had read the book twice."),
        responses=(
            "I want my evening back.",
            "I looked at my watch a lot.",
            "It passed the time.",
            "It was better than the poster.",
            "I smiled all the way home.",
            "I bought a ticket for tomorrow.",
        ),
        reference=torch.tensor(
            [
                [0.10, 0.25, 0.40, 0.15, 0.08, 0.02],
                [0.22, 0.30, 0.20, 0.20, 0.05, 0.03],
                [0.05, 0.35, 0.30, 0.18, 0.11, 0.01],
            ],
            dtype=torch.float64,
        ),
        reward=torch.tensor(
            [
                [-2.0, -1.0, 0.0, 0.5, 1.5, 2.0],
                [-1.5, -0.5, 0.0, 0.5, 1.0, 2.5],
                [-3.0, -1.5, 0.5, 1.0, 1.5, 3.0],
            ],
            dtype=torch.float64,
        ),
    )

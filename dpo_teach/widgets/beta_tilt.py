"""The β tilt: how far the reward bends the reference, in a world where it can be computed."""

from typing import Any

import torch
import traitlets
from torch import Tensor

from dpo_teach.widgets.explorer import Explorer, Number, Numbers
from dpo_teach.worlds.tabular import TabularWorld, expected_reward, film_world, kl, log_partition, optimal_policy

__all__ = ["BetaTilt"]


class BetaTilt(Explorer, module="beta_tilt", render="betaTilt"):
    """The optimal policy beside the reference, and what its reward costs in KL, as β and the rewards move.

    Args:
        beta: 0.001 to 100.
        prompt: one of the world's prompts; the first by default.
        rewards: r(x, y) of each response, -50 to 50; those of the world by default,
            and again whenever the prompt changes.
        shift: a constant that is added to every reward, -50 to 50. It changes nothing but E[r] and log Z.
        world: where it happens; the film world by default.

    Raises:
        traitlets.TraitError: a value out of its range, or no such prompt.

    >>> round(BetaTilt(beta=1.0).log_z, 4)
    0.2304
    """

    settings = ("beta", "prompt", "rewards", "shift")

    beta = Number(1.0, least=0.001, most=100.0)
    prompt = traitlets.Unicode().tag(sync=True)
    rewards = Numbers(None, least=-50.0, most=50.0)
    shift = Number(0.0, least=-50.0, most=50.0)
    responses = traitlets.List(traitlets.Unicode()).tag(sync=True)
    references = traitlets.Dict().tag(sync=True)
    given = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        beta: float = 1.0,
        prompt: str | None = None,
        rewards: list[float] | None = None,
        shift: float = 0.0,
        world: TabularWorld | None = None,
    ) -> None:
        self.world = world or film_world()
        given = dict(zip(self.world.prompts, self.world.reward.tolist(), strict=True))
        first = prompt or self.world.prompts[0]
        super().__init__(
            responses=list(self.world.responses),
            references=dict(zip(self.world.prompts, self.world.reference.tolist(), strict=True)),
            given=given,
            rewards=given.get(first, given[self.world.prompts[0]]) if rewards is None else rewards,
            prompt=first,
            beta=beta,
            shift=shift,
        )

    @traitlets.validate("prompt")
    def _known_prompt(self, proposal: Any) -> str:
        if proposal["value"] not in self.world.prompts:
            raise traitlets.TraitError(
                f"prompt must be one of {', '.join(self.world.prompts)}, found {proposal['value']!r}"
            )
        return str(proposal["value"])

    @traitlets.validate("rewards")
    def _one_each(self, proposal: Any) -> list[float]:
        wanted = len(self.world.responses)
        if len(proposal["value"]) != wanted:
            raise traitlets.TraitError(f"rewards must be {wanted} numbers, found {len(proposal['value'])}")
        return list(proposal["value"])

    @traitlets.observe("prompt")
    def _rewards_of_prompt(self, _: Any) -> None:
        if not self.as_given and self.given:
            self.rewards = self.given[self.prompt]

    def set(self, **values: Any) -> None:
        """As `Explorer.set`; a prompt brings its rewards, unless they are given."""
        if values.get("prompt") in self.given:
            values = {"rewards": self.given[values["prompt"]], **values}
        super().set(**values)

    @property
    def row(self) -> int:
        """Which prompt is shown."""
        return self.world.prompts.index(self.prompt)

    @property
    def reference(self) -> Tensor:
        """π_ref for the prompt that is shown, probabilities."""
        return self.world.reference[self.row]

    @property
    def shifted_rewards(self) -> Tensor:
        """The reward of each response as it counts: what was dragged, plus the constant."""
        return torch.tensor(self.rewards, dtype=self.reference.dtype) + self.shift

    @property
    def policy(self) -> Tensor:
        """The optimal policy for the prompt that is shown, probabilities."""
        return optimal_policy(self.reference, self.shifted_rewards, self.beta)

    @property
    def log_z(self) -> float:
        """The logarithm of Z for the prompt that is shown."""
        return log_partition(self.reference, self.shifted_rewards, self.beta).item()

    @property
    def reward(self) -> float:
        """The expected reward of the optimal policy."""
        return expected_reward(self.policy, self.shifted_rewards).item()

    @property
    def kl(self) -> float:
        """KL of the optimal policy to the reference, nats."""
        return kl(self.policy, self.reference).item()

    def reading(self) -> str:
        """The four numbers in one line."""
        return (
            f"BetaTilt: beta {self.beta:.3g}, prompt {self.prompt!r}: expected reward {self.reward:+.4f}, "
            f"KL {self.kl:.4f} nats, log Z {self.log_z:.4f}, reward minus beta KL {self.beta * self.log_z:.4f}"
        )

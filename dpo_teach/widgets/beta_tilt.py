"""The β tilt: how far the reward tilts the reference, in a world where the tilt can be computed."""

from typing import Any

import torch
import traitlets
from torch import Tensor

from dpo_teach.widgets.explorer import Explorer, Number, Numbers, check_choice
from dpo_teach.worlds.tabular import TabularWorld, expected_reward, film_world, kl, log_partition, optimal_policy

__all__ = ["BetaTilt"]


class BetaTilt(Explorer, module="beta_tilt", render="betaTilt"):
    """The optimal policy next to the reference, and how much KL its reward costs, as β and the rewards change.

    Args:
        beta: 0.001 to 100.
        prompt: one of the world's prompts; the first by default.
        rewards: r(x, y) of each response, -50 to 50. The default is the rewards of the world, which a change of the
            prompt restores.
        shift: a constant that is added to every reward, -50 to 50. It changes only E[r] and log Z.
        world: the tabular world; the film world by default.

    Raises:
        traitlets.TraitError: a value is out of range, or the prompt is unknown.

    >>> round(BetaTilt(beta=1.0).log_z, 4)
    0.2304
    """

    settings = ("beta", "prompt", "rewards", "shift")

    beta = Number(1.0, least=0.001, most=100.0)
    shown_prompt = traitlets.Unicode().tag(sync=True)
    rewards = Numbers(None, least=-50.0, most=50.0)
    shift = Number(0.0, least=-50.0, most=50.0)
    responses = traitlets.List(traitlets.Unicode()).tag(sync=True)
    references = traitlets.Dict().tag(sync=True)
    given_rewards = traitlets.Dict().tag(sync=True)

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
        first = self._check_prompt(prompt or self.world.prompts[0])
        given_rewards = dict(zip(self.world.prompts, self.world.reward.tolist(), strict=True))
        super().__init__(
            responses=list(self.world.responses),
            references=dict(zip(self.world.prompts, self.world.reference.tolist(), strict=True)),
            given_rewards=given_rewards,
            rewards=given_rewards[first] if rewards is None else rewards,
            shown_prompt=first,
            beta=beta,
            shift=shift,
        )

    @property
    def prompt(self) -> str:
        """The prompt that is shown; setting it resets the rewards to those of the world."""
        return self.shown_prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        self.set(prompt=prompt)

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """A prompt also sets its rewards, unless rewards are given as well."""
        if "prompt" in values:
            prompt = self._check_prompt(values.pop("prompt"))
            values = {"shown_prompt": prompt, "rewards": self.given_rewards[prompt], **values}
        return values

    def _check_prompt(self, prompt: str) -> str:
        return check_choice("prompt", prompt, self.world.prompts)

    @traitlets.validate("shown_prompt")
    def _known_prompt(self, proposal: Any) -> str:
        return self._check_prompt(proposal["value"])

    @traitlets.validate("rewards")
    def _one_each(self, proposal: Any) -> list[float]:
        count = len(self.world.responses)
        if len(proposal["value"]) != count:
            raise traitlets.TraitError(f"rewards must be {count} numbers, found {len(proposal['value'])}")
        return list(proposal["value"])

    @property
    def row(self) -> int:
        """The index of the prompt that is shown."""
        return self.world.prompts.index(self.shown_prompt)

    @property
    def reference(self) -> Tensor:
        """π_ref for the prompt that is shown, probabilities."""
        return self.world.reference[self.row]

    @property
    def shifted_rewards(self) -> Tensor:
        """The reward of each response including the constant."""
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
        """KL divergence of the optimal policy from the reference, nats."""
        return kl(self.policy, self.reference).item()

    def describe(self) -> str:
        """The four numbers in one line."""
        return (
            f"BetaTilt: beta {self.beta:.3g}, prompt {self.prompt!r}: expected reward {self.reward:+.4f}, "
            f"KL {self.kl:.4f} nats, log Z {self.log_z:.4f}, reward minus beta KL {self.beta * self.log_z:.4f}"
        )

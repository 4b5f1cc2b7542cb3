"""Proximal Policy Optimization of a language model: the second stage of RLHF, which DPO skips.

In each iteration the policy writes (`rollouts`), every token gets a reward and an advantage, and both models take a few
epochs of clipped steps (`objective`).
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from dpo_teach.logps import response_token_logps
from dpo_teach.models import freeze_reference, switch_dropout_off, takes_packed
from dpo_teach.models.descent import adamw, descend
from dpo_teach.progress_bar import progress_bar
from dpo_teach.rlhf.config import PPOConfig
from dpo_teach.rlhf.heads import ValueModel
from dpo_teach.rlhf.objective import (
    clip_fraction,
    explained_variance,
    generalised_advantages,
    normalise_advantages,
    penalised_rewards,
    policy_loss,
    value_loss,
)
from dpo_teach.rlhf.reward_model import LearnedReward
from dpo_teach.rlhf.rollouts import RewardFunction, Rollouts, collect_rollouts

__all__ = ["PPOTrainer"]

Metrics = dict[str, int | float]


@dataclass(frozen=True)
class Experience:
    """Rollouts with one advantage and one return per token: the data of an update."""

    rollouts: Rollouts
    advantages: Float[Tensor, "rollouts steps"]
    returns: Float[Tensor, "rollouts steps"]


class PPOTrainer:
    """Raise a policy's reward while keeping it near its reference, by learning from responses that it draws.

        max_π  E_{x, y ~ π}[ r(x, y) - β log π(y|x)/π_ref(y|x) ]

    Four models are in memory: the policy, the value model, the reference, and the reward model, if the reward is
    learned. Ouyang et al. 2022 (arXiv:2203.02155), equation 2 without its pretraining term, by the algorithm of
    Schulman et al. 2017 (arXiv:1707.06347).

    The value model starts as a copy of the reference with a constant output: the mean reward of the first rollouts. If
    it started at 0, the first advantages would be little more than the reward's offset.

    Args:
        policy: a `transformers` causal language model; it is trained in place, with dropout off.
        tokenizer: its tokenizer.
        prompts: the prompts to write responses to; each iteration draws from them with replacement.
        reward: maps prompts and responses to rewards, such as a `LearnedReward` or `true_review_reward`.
        config: the settings.
        reference: a reference other than the policy at its start.
        value: a value model to continue with; it is used without changes.
        on_iteration: called with each iteration's metrics, for live curves.

    Raises:
        ValueError: nothing in the policy can be trained, the reference is the policy itself, or there is no prompt.
    """

    def __init__(
        self,
        policy: Any,
        tokenizer: Any,
        prompts: Sequence[str],
        reward: RewardFunction,
        config: PPOConfig | None = None,
        *,
        reference: Any = None,
        value: ValueModel | None = None,
        on_iteration: Callable[[Metrics], None] | None = None,
    ):
        if not any(parameter.requires_grad for parameter in policy.parameters()):
            raise ValueError("policy has no trainable weight: every parameter has requires_grad=False")
        if reference is policy:
            raise ValueError("reference is the same object as the policy: both would move together and the KL would "
                             "stay at 0; omit it, or pass a copy (freeze_reference)")  # fmt: skip
        if not prompts:
            raise ValueError("prompts is empty: expected at least one")
        self.policy, self.tokenizer, self.prompts, self.reward = policy, tokenizer, tuple(prompts), reward
        self.config = config or PPOConfig()
        switch_dropout_off(policy).eval()
        self.reference = freeze_reference(policy) if reference is None else reference
        self._start_value = value is None
        self.value = ValueModel(self.reference) if value is None else value
        self._optimizers = (
            adamw(self.policy, self.config.learning_rate),
            adamw(self.value, self.config.value_learning_rate),
        )
        self._rng = random.Random(self.config.seed)
        self._on_iteration = on_iteration
        self.metrics: list[Metrics] = []

    @property
    def models(self) -> dict[str, nn.Module]:
        """All models in memory: three, or four if the reward is a `LearnedReward`."""
        models = {"policy": self.policy, "value": self.value, "reference": self.reference}
        return models | {"reward": self.reward.model} if isinstance(self.reward, LearnedReward) else models

    def train(self) -> list[Metrics]:
        """Run all iterations.

        Returns:
            One row per iteration. Measured on the rollouts, before the update: `reward` (mean of the reward
            function), `kl` (nats), `objective` (reward - β kl), `entropy` (nats per token), `response_tokens`
            (mean), `explained_variance` (of the returns, by the values). Means over the minibatches of the update,
            `policy_loss`, `value_loss`, `clip_fraction`, `step_kl` (an estimate of the KL from the policy that drew
            the tokens, nats per token). `first_ratio_gap` is the largest |ρ - 1| before the first step; it is 0 up to
            rounding unless something is wrong. Cost: `samples` (responses drawn so far), `seconds` (of this
            iteration).

        Raises:
            ValueError: the reward is not one finite number a response, or a gradient is not finite.
        """
        for _ in progress_bar("PPO", range(self.config.iterations), delay=0.0, unit="iteration"):
            started = time.perf_counter()
            rollouts = self.collect_rollouts()
            experience = self.compute_advantages(rollouts)
            row = {"iteration": len(self.metrics) + 1, **self._describe(experience), **self.update(experience)}
            row["samples"] = (len(self.metrics) + 1) * self.config.rollouts
            self.metrics.append({**row, "seconds": time.perf_counter() - started})
            if self._on_iteration is not None:
                self._on_iteration(self.metrics[-1])
        return self.metrics

    def collect_rollouts(self) -> Rollouts:
        """Draw prompts, and one response to each from the policy."""
        config = self.config
        prompts = self._rng.choices(self.prompts, k=config.rollouts)
        return collect_rollouts(self.policy, self.reference, self.value, self.reward, self.tokenizer, prompts,
                                max_new_tokens=config.max_new_tokens, seed=self._rng.getrandbits(31))  # fmt: skip

    def compute_advantages(self, rollouts: Rollouts) -> Experience:
        """The advantage of every token, and the return that the value model should have predicted."""
        config = self.config
        if self._start_value:
            mean_reward = fmean(rollouts.rewards.tolist())
            self.value.add_constant(mean_reward)
            rollouts = replace(rollouts, values=rollouts.values + mean_reward * rollouts.mask)
            self._start_value = False
        rewards = penalised_rewards(
            rollouts.rewards, rollouts.logps, rollouts.reference_logps, rollouts.mask, config.beta
        )
        advantages = generalised_advantages(
            rewards, rollouts.values, rollouts.mask, gamma=config.gamma, lam=config.gae_lambda
        )
        returns = advantages + rollouts.values
        if config.normalise_advantages:
            advantages = normalise_advantages(advantages, rollouts.mask)
        return Experience(rollouts, advantages, returns)

    def update(self, experience: Experience) -> Metrics:
        """Take a few epochs of clipped steps with the policy, and of regression steps with the value model."""
        rows = [self._step(experience, indices) for indices in self._minibatches()]
        means = {name: fmean(row[name] for row in rows) for name in rows[0]}
        means["first_ratio_gap"] = rows[0]["first_ratio_gap"]
        return means

    def _step(self, experience: Experience, indices: Sequence[int]) -> Metrics:
        """One optimizer step of each model on one minibatch."""
        config, rollouts = self.config, experience.rollouts
        batch = rollouts.batch(indices, self.tokenizer.pad_token_id, packed=takes_packed(self.policy))
        batch = batch.to(self.policy.device)
        old_logps, old_values, advantages, returns = (
            rollouts.tokens(table, indices)
            for table in (rollouts.logps, rollouts.values, experience.advantages, experience.returns)
        )
        logps, _ = response_token_logps(self.policy, batch)
        losses = (
            policy_loss(logps, old_logps, advantages, config.clip_range),
            value_loss(self.value(batch), returns, old_values, config.value_clip_range),
        )
        for name, loss, model, optimizer in zip(
            ("policy", "value"), losses, (self.policy, self.value), self._optimizers, strict=True
        ):
            descend(f"the {name}'s gradient in iteration {len(self.metrics) + 1}", loss, model, optimizer,
                     config.max_grad_norm)  # fmt: skip
        log_ratios = (logps - old_logps).detach()
        return {
            "policy_loss": losses[0].item(),
            "value_loss": losses[1].item(),
            "clip_fraction": clip_fraction(log_ratios, config.clip_range),
            "step_kl": (log_ratios.exp() - 1 - log_ratios).mean().item(),  # Schulman 2020: unbiased, never below 0
            "first_ratio_gap": (log_ratios.exp() - 1).abs().max().item(),
        }

    def _minibatches(self) -> Iterator[list[int]]:
        """All responses, reshuffled for each epoch and split into minibatches."""
        count, size = self.config.rollouts, self.config.minibatch_size
        for _ in range(self.config.epochs):
            order = self._rng.sample(range(count), count)
            yield from (order[start : start + size] for start in range(0, count, size))

    def _describe(self, experience: Experience) -> Metrics:
        rollouts, everything = experience.rollouts, range(len(experience.rollouts.samples))
        reward = rollouts.rewards.mean().item()
        return {
            "reward": reward,
            "kl": rollouts.kl,
            "objective": reward - self.config.beta * rollouts.kl,
            "entropy": rollouts.entropy,
            "response_tokens": rollouts.mask.sum(dim=1).float().mean().item(),
            "explained_variance": explained_variance(
                rollouts.tokens(rollouts.values, everything), rollouts.tokens(experience.returns, everything)
            ),
        }

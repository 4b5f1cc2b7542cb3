"""From preferences to a reward by Bradley-Terry maximum likelihood: the first stage of RLHF, which DPO skips."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.batches import (
    TokenizedPair,
    lay_out,
    lay_out_pairs,
    split_pairs,
    tokenize_pairs,
    tokenize_prompt,
    tokenize_response,
    truncate_prompt,
)
from dpo_teach.losses import preference_nll
from dpo_teach.models import takes_packed
from dpo_teach.models.descent import adamw, descend
from dpo_teach.pairs import PreferencePair
from dpo_teach.progress_bar import progress_bar
from dpo_teach.rlhf.heads import RewardModel

__all__ = [
    "LearnedReward",
    "RewardModelConfig",
    "RewardModelScores",
    "bradley_terry_loss",
    "evaluate_reward_model",
    "train_reward_model",
]

Metrics = dict[str, int | float]


@dataclass(frozen=True, kw_only=True)
class RewardModelConfig:
    """The settings for training a reward model.

    Raises:
        ValueError: a value is invalid; the message names the field.
    """

    learning_rate: float = 2e-3
    """Peak step size of AdamW, suited to the bundled model of a million weights; papers use 1e-5 for billions."""
    epochs: int = 3
    """Passes over the pairs. A reward model memorises its pairs quickly: papers stop after one or two."""
    batch_size: int = 32
    """Pairs per step."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are scaled down to it."""
    seed: int = 0
    """Seed for the order of the pairs."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epochs", "batch_size", "max_grad_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, found {value}")


@dataclass(frozen=True)
class RewardModelScores:
    """A reward model's scores on pairs: the share that it orders as the annotator did, and its loss in nats."""

    pairs: int
    accuracy: float
    loss: float


def bradley_terry_loss(
    chosen_rewards: Float[Tensor, " pairs"], rejected_rewards: Float[Tensor, " pairs"]
) -> Float[Tensor, ""]:
    """The negative log-likelihood of the annotator's choices under the Bradley-Terry model.

        L = -mean log σ( r(x, y_w) - r(x, y_l) )

    Only differences matter: adding a constant to all rewards of a prompt does not change the loss.
    Bradley and Terry 1952; Rafailov et al. 2023, equation 2; Ouyang et al. 2022, equation 1.

    Args:
        chosen_rewards: r(x, y_w), nats of preference.
        rejected_rewards: r(x, y_l), nats of preference.

    Returns:
        The mean loss, a scalar of at least 0, nats; ln 2 if both rewards of every pair are equal.

    Raises:
        ValueError: the shapes differ or there is no pair.

    >>> bradley_terry_loss(torch.tensor([1.0]), torch.tensor([1.0]))
    tensor(0.6931)
    """
    if chosen_rewards.shape != rejected_rewards.shape or chosen_rewards.numel() == 0:
        raise ValueError(f"chosen_rewards has shape {tuple(chosen_rewards.shape)}, rejected_rewards "
                         f"{tuple(rejected_rewards.shape)}: expected the same shape, one reward per pair")  # fmt: skip
    return preference_nll(chosen_rewards - rejected_rewards).mean()


def train_reward_model(
    model: RewardModel,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    config: RewardModelConfig | None = None,
    *,
    on_step: Callable[[Metrics], None] | None = None,
) -> list[Metrics]:
    """Fit a reward model to preferences, in place, by Bradley-Terry maximum likelihood.

    The likelihood does not determine a constant offset. It is set at the end so that the responses of the pairs, which
    the reference wrote, have mean reward 0 (Stiennon et al. 2020, arXiv:2009.01325, section 3.4).

    Args:
        model: the reward model; it is trained in place.
        tokenizer: the tokenizer of its body.
        pairs: preference pairs.
        config: the settings.
        on_step: called with each step's metrics, for live curves.

    Returns:
        One row per step: `step`, `loss` (nats), `accuracy`, `learning_rate`, `seconds` of the step.

    Raises:
        ValueError: there is no pair, one does not fit into the model's context, or a gradient is not finite.
    """
    config = config or RewardModelConfig()
    tokenized = _tokenize(model, tokenizer, pairs)
    optimizer = adamw(model, config.learning_rate)
    plan = _plan(len(tokenized), config)
    metrics: list[Metrics] = []
    for step, indices in enumerate(progress_bar("reward model", plan, unit="step")):
        started = time.perf_counter()
        rate = config.learning_rate * (1 - step / len(plan))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen, rejected = _pair_rewards(model, [tokenized[i] for i in indices], tokenizer.pad_token_id)
        loss = bradley_terry_loss(chosen, rejected)
        descend(f"the gradient of step {step + 1}", loss, model, optimizer, config.max_grad_norm)
        metrics.append({"step": step + 1, "loss": loss.item(), "accuracy": _accuracy(chosen - rejected),
                        "learning_rate": rate, "seconds": time.perf_counter() - started})  # fmt: skip
        if on_step is not None:
            on_step(metrics[-1])
    model.add_constant(-_all_rewards(model, tokenized, tokenizer.pad_token_id).mean().item())
    return metrics


def evaluate_reward_model(model: RewardModel, tokenizer: Any, pairs: Sequence[PreferencePair]) -> RewardModelScores:
    """Accuracy and loss on pairs that training did not see.

    An accuracy of 1 is impossible: the annotator's choices are noisy, so even the true reward gets some wrong.

    Args:
        model: the trained reward model.
        tokenizer: the tokenizer of its body.
        pairs: held-out preference pairs.

    Raises:
        ValueError: there is no pair, or one does not fit into the model's context.
    """
    rewards = _all_rewards(model, _tokenize(model, tokenizer, pairs), tokenizer.pad_token_id)
    loss = bradley_terry_loss(rewards[:, 0], rewards[:, 1])
    return RewardModelScores(len(rewards), _accuracy(rewards[:, 0] - rewards[:, 1]), loss.item())


class LearnedReward:
    """A reward model as a function of texts, the form of reward that PPO expects.

    As in training, an end-of-sequence token is appended to each text. A response that was truncated is therefore scored
    as if it ended there.

    Args:
        model: the reward model.
        tokenizer: the tokenizer of its body.
        batch_size: texts in one forward pass.
    """

    def __init__(self, model: RewardModel, tokenizer: Any, *, batch_size: int = 128):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
        """One reward per response, in the order given.

        Raises:
            ValueError: the numbers of prompts and responses differ, or a prompt fills the model's context.
        """
        rows = [self._tokenize(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        rewards: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            some = rows[start : start + self.batch_size]
            batch = lay_out(some, self.tokenizer.pad_token_id, packed=takes_packed(self.model.body))
            rewards += self.model(batch.to(self.model.device)).tolist()
        return rewards

    def _tokenize(self, prompt: str, response: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        prompt_ids, budget = truncate_prompt(tokenize_prompt(prompt, self.tokenizer), self.model.context)
        return prompt_ids, tokenize_response(response, self.tokenizer)[:budget]


def _tokenize(model: RewardModel, tokenizer: Any, pairs: Sequence[PreferencePair]) -> Sequence[TokenizedPair]:
    return tokenize_pairs(pairs, tokenizer, max_length=model.context).pairs


def _plan(count: int, config: RewardModelConfig) -> list[list[int]]:
    """The pairs of every step, reshuffled for each epoch."""
    rng = random.Random(config.seed)
    orders = [rng.sample(range(count), count) for _ in range(config.epochs)]
    return [order[i : i + config.batch_size] for order in orders for i in range(0, count, config.batch_size)]


def _pair_rewards(model: RewardModel, pairs: Sequence[TokenizedPair], pad_id: int) -> tuple[Tensor, Tensor]:
    return split_pairs(model(lay_out_pairs(pairs, pad_id, packed=takes_packed(model.body)).to(model.device)))


@torch.no_grad()
def _all_rewards(
    model: RewardModel, pairs: Sequence[TokenizedPair], pad_id: int, *, batch_size: int = 128
) -> Float[Tensor, "pairs 2"]:
    """Rewards of the chosen and the rejected response of every pair."""
    parts = [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]
    return torch.cat([torch.stack(_pair_rewards(model, part, pad_id), dim=1) for part in parts]).cpu()


def _accuracy(margins: Tensor) -> float:
    """The share of positive margins; a tie counts as one half."""
    return fmean(((1 + margins.sign()) / 2).tolist())

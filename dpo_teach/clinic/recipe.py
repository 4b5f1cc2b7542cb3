"""A DPO run in parts, each of which can be replaced: the healthy run, from which every fault differs in one part."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.batches import TokenizedPair, lay_out_pairs, split_pairs, tokenize_pairs
from dpo_teach.logps import response_logps
from dpo_teach.losses import dpo_losses, pair_metrics
from dpo_teach.models import fitting_length, freeze_reference, load_model, switch_dropout_off, takes_packed
from dpo_teach.models.descent import adamw, descend
from dpo_teach.pairs import PreferencePair, load_pairs
from dpo_teach.training.schedule import learning_rate_at, plan_steps

__all__ = ["Logps", "Recipe", "Row", "dpo_loss", "pair_logps_of", "sample_pairs", "train"]

Row = dict[str, int | float]
"""The metrics of one step."""
Logps = Callable[[Any, Sequence[TokenizedPair], int], Float[Tensor, "pairs 2"]]
"""A model, pairs and the padding token -> the log-probability of the chosen and of the rejected response, nats."""


def pair_logps_of(model: Any, pairs: Sequence[TokenizedPair], pad_id: int) -> Float[Tensor, "pairs 2"]:
    """The summed log-probability of both responses of each pair, nats."""
    batch = lay_out_pairs(pairs, pad_id, packed=takes_packed(model))
    return torch.stack(split_pairs(response_logps(model, batch)), dim=1)


def dpo_loss(
    policy: Float[Tensor, "pairs 2"], reference: Float[Tensor, "pairs 2"], beta: float
) -> Float[Tensor, " pairs"]:
    """The DPO loss of each pair."""
    return dpo_losses(policy[:, 0], policy[:, 1], reference[:, 0], reference[:, 1], beta)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A DPO run in the reviews world. The fields that are functions are its parts; a fault replaces one of them."""

    pairs: Sequence[PreferencePair]
    """Preference pairs to train on."""
    held_out: Sequence[PreferencePair]
    """Preference pairs to evaluate on."""
    beta: float = 0.3
    """β of the loss and of the rewards."""
    learning_rate: float = 5e-4
    """Peak step size."""
    steps: int = 48
    """Gradient steps; the pairs are repeated if there are too few."""
    batch_size: int = 32
    """Pairs per step."""
    eval_every: int = 12
    """Steps between two evaluations of the held-out pairs."""
    seed: int = 0
    """Random seed for the order of the pairs, and for dropout where it was left on."""
    model: str = "reviews-gpt2"
    """Where the policy starts."""
    edit_tokens: Callable[[TokenizedPair], TokenizedPair] = lambda pair: pair
    """Changes the token ids of each pair."""
    prepare_policy: Callable[[Any], Any] = switch_dropout_off
    """Prepares the loaded model for training."""
    make_reference: Callable[[Any], Any] = freeze_reference
    """Makes the reference from the policy at its start."""
    make_optimizer: Callable[[Any, float], torch.optim.Optimizer] = adamw
    """Makes the optimizer of the policy's weights."""
    logps: Logps = pair_logps_of
    """Scores the responses."""
    reference_logps: Callable[[Float[Tensor, "pairs 2"]], Float[Tensor, "pairs 2"]] = lambda logps: logps
    """Changes the reference's log-probabilities of a step."""
    loss: Callable[[Tensor, Tensor, float], Tensor] = dpo_loss
    """The loss of each pair from the log-probabilities of policy and reference, and β."""


def sample_pairs(seed: int, count: int = 1_536, held_out: int = 128) -> dict[str, Any]:
    """Different pairs for each seed, as the fields `pairs` and `held_out` of a recipe.

    Args:
        seed: chooses the pairs.
        count: pairs to train on; by default each step of a run has its own.
        held_out: pairs to evaluate on.
    """
    drawn = random.Random(seed).sample(load_pairs("reviews-preferences", split="train"), count + held_out)
    return {"pairs": drawn[:count], "held_out": drawn[count:]}


def train(recipe: Recipe) -> list[Row]:
    """Train a policy, and return one row of metrics per step, as `metrics.jsonl` has them.

    A loss or gradient that is not finite ends the run, as a crash would; its row is the last one.
    """
    torch.manual_seed(recipe.seed)
    loaded = load_model(recipe.model)
    policy, pad_id = recipe.prepare_policy(loaded.model), loaded.tokenizer.pad_token_id
    reference = recipe.make_reference(policy)

    def tokens(pairs: Sequence[PreferencePair]) -> list[TokenizedPair]:
        table = tokenize_pairs(pairs, loaded.tokenizer, max_length=fitting_length(None, policy) - 1)
        return [recipe.edit_tokens(pair) for pair in table.pairs]

    def measure(some: Sequence[TokenizedPair]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        logps = recipe.logps(policy, some, pad_id)
        with torch.no_grad():
            known = recipe.reference_logps(recipe.logps(reference, some, pad_id))
            metrics = pair_metrics(logps, known, recipe.beta)
            metrics["loss"] = recipe.loss(logps, known, recipe.beta)
        return logps, known, metrics

    pairs, held_out = tokens(recipe.pairs), tokens(recipe.held_out)
    plan = plan_steps([pair.tokens for pair in pairs], batch_size=recipe.batch_size, seed=recipe.seed,
                      epochs=-(-recipe.steps * recipe.batch_size // len(pairs)))[: recipe.steps]  # fmt: skip
    optimizer, rows = recipe.make_optimizer(policy, recipe.learning_rate), list[Row]()
    for step, indices in enumerate(plan, start=1):
        rate = learning_rate_at(step - 1, total_steps=recipe.steps, peak=recipe.learning_rate)
        optimizer.param_groups[0]["lr"] = rate
        batch = [pairs[i] for i in indices]
        logps, known, metrics = measure(batch)
        row = {"step": step, **{name: value.mean().item() for name, value in metrics.items()}, "learning_rate": rate}
        try:
            loss = recipe.loss(logps, known, recipe.beta).mean()
            row["grad_norm"] = descend("the gradient", loss, policy, optimizer, max_norm=1.0)
        except ValueError:
            rows.append(row | {"grad_norm": float("nan")})
            break
        if step % recipe.eval_every == 0 or step == recipe.steps:
            with torch.no_grad():
                row |= {f"eval_{name}": value.mean().item() for name, value in measure(held_out)[2].items()}
        rows.append(row)
    return rows

"""Faults that ruin a DPO run, each as a change to one part of a healthy `Recipe`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpo_teach.batches import TokenizedPair, collate_pairs, split_pairs
from dpo_teach.clinic.recipe import Recipe, pair_logps_of
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        what: the fault in one sentence.
        change: a healthy recipe -> the faulty one.
    """

    what: str
    change: Callable[[Recipe], Recipe]


def _part(**parts: Any) -> Callable[[Recipe], Recipe]:
    """Replace some fields of a recipe by fixed values."""
    return lambda recipe: replace(recipe, **parts)


# The reference


def _trained_reference(policy: Any) -> Any:
    """The policy of another run."""
    return load_model("reviews-gpt2-dpo").model.requires_grad_(False)


# The policy


def _with_dropout(policy: Any) -> Any:
    for module in policy.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    return policy.train()


def _without_epsilon(policy: Any, learning_rate: float) -> torch.optim.Optimizer:
    """A weight without a gradient is changed by 0/0; in float32, so that the run does not take ten times as long."""
    return torch.optim.AdamW(policy.parameters(), lr=learning_rate, eps=0.0)


# The log-probabilities


def _mean_logps(model: Any, pairs: Sequence[TokenizedPair], pad_id: int) -> Tensor:
    lengths = [[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in pairs]
    return pair_logps_of(model, pairs, pad_id) / torch.tensor(lengths)


def _detached_logps(model: Any, pairs: Sequence[TokenizedPair], pad_id: int) -> Tensor:
    """No gradient reaches the weights, as with frozen weights or a checkpointed layer whose input needs no gradient."""
    with torch.no_grad():
        logps = pair_logps_of(model, pairs, pad_id)
    return logps + 0 * sum(weight.sum() for weight in model.parameters())


def _scored_logps(model: Any, pairs: Sequence[TokenizedPair], pad_id: int, *, shift: int, pads: bool) -> Tensor:
    """The textbook form, with the shift and the mask left open."""
    batch = collate_pairs(pairs, pad_id)
    logps = F.log_softmax(model(input_ids=batch.input_ids).logits.float(), dim=-1)
    mask = batch.response_mask
    if pads:  # from the start of the response to the end of the row
        mask = mask.cumsum(dim=1) > 0
    predictions, targets = logps[:, : logps.shape[1] - shift], batch.input_ids[:, shift:]
    scores = predictions.gather(-1, targets.unsqueeze(-1)).squeeze(-1) * mask[:, shift:]
    return torch.stack(split_pairs(scores.sum(dim=1)), dim=1)


# The data


def _exchange(pair: PreferencePair) -> PreferencePair:
    return replace(pair, chosen=pair.rejected, rejected=pair.chosen)


def _swapped(recipe: Recipe) -> Recipe:
    return replace(recipe, pairs=[_exchange(pair) for pair in recipe.pairs])


def _by_a_coin(recipe: Recipe) -> Recipe:
    coins = torch.rand(len(recipe.pairs), generator=torch.Generator().manual_seed(recipe.seed)) < 0.5
    pairs = [_exchange(pair) if coin else pair for pair, coin in zip(recipe.pairs, coins.tolist(), strict=True)]
    return replace(recipe, pairs=pairs)


def _without_end(pair: TokenizedPair) -> TokenizedPair:
    return TokenizedPair(pair.prompt_ids, pair.chosen_ids[:-1], pair.rejected_ids[:-1])


def _with_two_starts(pair: TokenizedPair) -> TokenizedPair:
    end = pair.chosen_ids[-1]  # the bundled tokenizer starts and ends a text with the same token
    return replace(pair, prompt_ids=(end, end, *pair.prompt_ids))


def _with_prompt_scored(pair: TokenizedPair) -> TokenizedPair:
    first, rest = pair.prompt_ids[:1], pair.prompt_ids[1:]
    return TokenizedPair(first, (*rest, *pair.chosen_ids), (*rest, *pair.rejected_ids))


FAULTS: dict[str, Fault] = {
    "other-reference": Fault(
        "The reference is another model than the one that the policy starts from.",
        _part(make_reference=_trained_reference),
    ),
    "stale-reference": Fault(
        "The precomputed log-probabilities of the reference belong to other pairs.",
        _part(reference_logps=lambda logps: logps.roll(1, dims=0)),
    ),
    "no-reference": Fault(
        "The log-probabilities of the reference are missing from the loss.", _part(reference_logps=torch.zeros_like)
    ),
    "same-reference": Fault(
        "The reference is the policy itself, so both change together.", _part(make_reference=lambda policy: policy)
    ),
    "dropout": Fault("Dropout is switched on in the policy.", _part(prepare_policy=_with_dropout)),
    "half-precision": Fault(
        "The weights and the optimizer are in float16, in which AdamW's ε of 1e-8 is 0.",
        _part(make_optimizer=_without_epsilon),
    ),
    "mean": Fault("Log-probabilities are averaged over the tokens and not summed.", _part(logps=_mean_logps)),
    "detached": Fault("No gradient reaches the weights.", _part(logps=_detached_logps)),
    "no-shift": Fault(
        "The logits at a token are compared with that token and not with the next one.",
        _part(logps=lambda *of: _scored_logps(*of, shift=0, pads=False)),
    ),
    "padding-scored": Fault(
        "Padding tokens count as part of the response.", _part(logps=lambda *of: _scored_logps(*of, shift=1, pads=True))
    ),
    "reversed-loss": Fault(
        "Chosen and rejected are exchanged in the loss.",
        lambda recipe: replace(
            recipe, loss=lambda policy, known, beta: recipe.loss(policy.flip(1), known.flip(1), beta)
        ),
    ),
    "beta-zero": Fault("β is 0.", _part(beta=0.0)),
    "high-rate": Fault(
        "The learning rate is twenty times too high.",
        lambda recipe: replace(recipe, learning_rate=20 * recipe.learning_rate),
    ),
    "low-rate": Fault(
        "The learning rate is a hundred times too low.",
        lambda recipe: replace(recipe, learning_rate=recipe.learning_rate / 100),
    ),
    "swapped-labels": Fault("Chosen and rejected are exchanged in the training pairs.", _swapped),
    "random-labels": Fault("The labels of the training pairs are random.", _by_a_coin),
    "many-passes": Fault(
        "A few pairs are repeated twenty times.", lambda recipe: replace(recipe, pairs=recipe.pairs[:96])
    ),
    "trained-evaluation": Fault(
        "The held-out pairs are among the training pairs, which are few.",
        lambda recipe: replace(recipe, pairs=recipe.pairs[:96], held_out=recipe.pairs[:96]),
    ),
    "no-end": Fault("The responses have no end-of-sequence token.", _part(edit_tokens=_without_end)),
    "two-starts": Fault(
        "Prompts begin with a second beginning-of-sequence token.", _part(edit_tokens=_with_two_starts)
    ),
    "prompt-scored": Fault("The prompt counts as part of both responses.", _part(edit_tokens=_with_prompt_scored)),
}
"""All faults by name. No curve shows the last three: they need a look at the tokens (`checks`)."""

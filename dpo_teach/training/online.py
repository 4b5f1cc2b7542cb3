"""Online DPO: the policy writes pairs, a judge labels them, DPO learns from them, and the new policy writes again."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.batches import TokenizedPair, lay_out_pairs, split_pairs
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import pair_metrics
from dpo_teach.models import freeze_reference, switch_dropout_off, takes_packed
from dpo_teach.models.descent import adamw, descend
from dpo_teach.progress_bar import progress_bar
from dpo_teach.sampling import decode, sample_tokens
from dpo_teach.training.schedule import learning_rate_at

__all__ = ["Judge", "OnlineDPOConfig", "train_online_dpo", "write_pairs"]

Metrics = dict[str, int | float]

Judge = Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[bool]]
"""Prompts, first and second responses -> whether each first response is preferred to the second."""


@dataclass(frozen=True, kw_only=True)
class OnlineDPOConfig:
    """The settings of online DPO. With one round it is DPO on pairs that the reference has written.

    Raises:
        ValueError: a value is invalid; the message names the field.
    """

    beta: float = 0.1
    """β of DPO's loss: larger values keep the policy closer to the reference."""
    learning_rate: float = 5e-4
    """Peak step size of AdamW, suited to the bundled model of a million weights."""
    rounds: int = 20
    """How often the policy writes new pairs."""
    pairs: int = 256
    """Pairs in each round; each is used once."""
    batch_size: int = 32
    """Pairs per step."""
    warmup_fraction: float = 0.1
    """Fraction of all steps in which the step size rises; after that it falls along half a cosine."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are scaled down to it."""
    max_new_tokens: int = 96
    """Maximum number of tokens in a response."""
    seed: int = 0
    """Seed for the prompts and the responses."""

    def __post_init__(self) -> None:
        for name in ("beta", "learning_rate", "rounds", "pairs", "batch_size", "max_grad_norm", "max_new_tokens"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, found {value}")

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.rounds * math.ceil(self.pairs / self.batch_size)


def train_online_dpo(
    policy: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    judge: Judge,
    config: OnlineDPOConfig | None = None,
    *,
    reference: Any = None,
    on_round: Callable[[Metrics], None] | None = None,
) -> list[Metrics]:
    """Train a policy with DPO on pairs that it writes itself.

        repeat:  y₁, y₂ ~ π(·|x);  the judge orders them;  π ← a few DPO steps on these pairs, each used once

    The loss and the reference are those of DPO; only who writes the pairs has changed. Guo et al. 2024,
    "Direct Language Model Alignment from Online AI Feedback" (arXiv:2402.04792), algorithm 1.

    Args:
        policy: a `transformers` causal language model; it is trained in place, with dropout off.
        tokenizer: its tokenizer.
        prompts: the prompts to write responses to; each round draws from them with replacement.
        judge: labels the pairs, for example an annotator or a reward model.
        config: the settings.
        reference: a reference other than the policy at its start.
        on_round: called with the metrics of each round.

    Returns:
        One row per round, with the means over its pairs of DPO's metrics before each step (see `pair_metrics`), the
        number of pairs labelled so far as `labels`, and the steps so far as `step`.

    Raises:
        ValueError: there is no prompt, or a gradient is not finite.
    """
    config = config or OnlineDPOConfig()
    if not prompts:
        raise ValueError("prompts is empty: expected at least one")
    switch_dropout_off(policy).eval()
    reference = freeze_reference(policy) if reference is None else reference
    optimizer = adamw(policy, config.learning_rate)
    rng, step, rows = random.Random(config.seed), 0, list[Metrics]()
    for _ in progress_bar("online DPO", range(config.rounds), delay=0.0, unit="round"):
        pairs = write_pairs(policy, tokenizer, rng.choices(prompts, k=config.pairs), judge, seed=rng.getrandbits(31),
                            max_new_tokens=config.max_new_tokens)  # fmt: skip
        known = pair_logps(reference, pairs, tokenizer.pad_token_id)
        measured = []
        for start in range(0, len(pairs), config.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(step, total_steps=config.steps, peak=config.learning_rate,
                                               warmup_fraction=config.warmup_fraction)  # fmt: skip
            part = slice(start, start + config.batch_size)
            logps = _logps(policy, pairs[part], tokenizer.pad_token_id)
            metrics = pair_metrics(logps, known[part].to(logps.device), config.beta)
            step += 1
            descend(f"the gradient of step {step}", metrics["loss"].mean(), policy, optimizer, config.max_grad_norm)
            measured.append({name: value.mean().item() for name, value in metrics.items()})
        row = {name: fmean(one[name] for one in measured) for name in measured[0]}
        rows.append({"step": step, "labels": len(rows) * config.pairs + len(pairs), **row})
        if on_round is not None:
            on_round(rows[-1])
    return rows


def write_pairs(
    policy: Any, tokenizer: Any, prompts: Sequence[str], judge: Judge, *, seed: int, max_new_tokens: int = 96
) -> list[TokenizedPair]:
    """Let a policy write two responses to each prompt, and a judge order them.

    Args:
        policy: writes the responses, at temperature 1.
        tokenizer: its tokenizer.
        prompts: one for each pair.
        judge: labels the pairs.
        seed: random seed for the responses.
        max_new_tokens: maximum length of a response, in tokens.

    Returns:
        One pair per prompt. Two equal responses stay a pair; their loss has no gradient.
    """
    samples = sample_tokens(policy, tokenizer, [*prompts, *prompts], max_new_tokens=max_new_tokens, seed=seed)
    first, second = samples[: len(prompts)], samples[len(prompts) :]
    preferred = judge(prompts, decode(first, tokenizer), decode(second, tokenizer))
    return [
        TokenizedPair(a.prompt_ids, *((a.response_ids, b.response_ids) if wins else (b.response_ids, a.response_ids)))
        for a, b, wins in zip(first, second, preferred, strict=True)
    ]


def _logps(policy: Any, pairs: Sequence[TokenizedPair], pad_id: int) -> Float[Tensor, "pairs 2"]:
    batch = lay_out_pairs(pairs, pad_id, packed=takes_packed(policy)).to(next(policy.parameters()).device)
    return torch.stack(split_pairs(response_logps(policy, batch)), dim=1)

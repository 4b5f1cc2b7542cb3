"""Many responses to each of some prompts, judged: what `optimum` and `best_of_n` estimate from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.evaluation.policies import score_samples
from dpo_teach.sampling import decode, sample_tokens
from dpo_teach.worlds import reviews

__all__ = ["ReferenceSamples", "draw_reference_samples"]


@dataclass(frozen=True)
class ReferenceSamples:
    """What is known of responses drawn from the reference; one row per prompt, one column per response to it.

    Z(x) is another number for every prompt, and best-of-n compares responses to one prompt only: hence the rows.

    Args:
        rewards: true rewards, float64.
        fluent: 1 where the grammar accepts the response, else 0.
        tokens: the length of the response.
        log_ratios: log π_ref(y|x) - log q(y|x), nats, where the responses were drawn from another distribution q; None
            where they were drawn from the reference itself.

    Raises:
        ValueError: the tables differ in shape, or have not one row per prompt.
    """

    rewards: Float[Tensor, "prompts samples"]
    fluent: Float[Tensor, "prompts samples"]
    tokens: Float[Tensor, "prompts samples"]
    log_ratios: Float[Tensor, "prompts samples"] | None = None

    def __post_init__(self) -> None:
        for name in ("rewards", "fluent", "tokens", "log_ratios"):
            table = getattr(self, name)
            if table is not None and (table.dim() != 2 or table.shape != self.rewards.shape):
                raise ValueError(f"{name} has shape {tuple(table.shape)}: expected (prompts, samples), the same for "
                                 "all tables")  # fmt: skip

    def pooled(self) -> "ReferenceSamples":
        """All responses as if they had answered one prompt.

        For samples of the reference, the optimum of the pool is at least as good as that of the prompts one by one:
        log of the mean Z(x) is at least the mean of log Z(x). It may change how often a prompt occurs, which no policy
        may, so it is a limit too, though one that may be out of reach. Where responses hardly depend on the prompt, as
        in the reviews world, both are nearly the same, and the pool's effective sample size is far larger.
        """
        rewards, fluent, tokens = (table.reshape(1, -1) for table in (self.rewards, self.fluent, self.tokens))
        return ReferenceSamples(
            rewards, fluent, tokens, None if self.log_ratios is None else self.log_ratios.reshape(1, -1)
        )


@torch.no_grad()
def draw_reference_samples(
    reference: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    samples: int,
    *,
    proposals: Sequence[Any] = (),
    max_new_tokens: int = 96,
    seed: int = 0,
) -> ReferenceSamples:
    """Draw and judge several responses to each prompt, from the reference, or from it and policies that write better.

        q(y|x) = mean over the reference and the proposals of π_k(y|x),   log-ratio = log π_ref(y|x) - log q(y|x)

    The optimum at a small β writes what the reference hardly ever writes, so samples of the reference know nothing
    of it. Samples of trained policies do, and their log-ratios weigh them back. Every response counts as one of the
    whole mixture, whoever wrote it (the balance heuristic, Veach and Guibas 1995); with the reference in it, no weight
    is ever more than the number of policies times what it would be without them.

    Args:
        reference: π_ref.
        tokenizer: the tokenizer of all models.
        prompts: one row of the tables each.
        samples: responses to each prompt, in equal parts from each policy.
        proposals: policies to draw from beside the reference.
        max_new_tokens: tokens of a response at most.
        seed: decides the samples.

    Raises:
        ValueError: there is no prompt, or samples is not a multiple of the number of policies.
    """
    writers = (reference, *proposals)
    if not prompts or samples < 1 or samples % len(writers):
        raise ValueError(f"expected at least one prompt and a multiple of {len(writers)} samples of each, found "
                         f"{len(prompts)} and {samples}")  # fmt: skip
    repeated = [prompt for prompt in prompts for _ in range(samples // len(writers))]
    drawn = [
        sample
        for number, writer in enumerate(writers)
        for sample in sample_tokens(writer, tokenizer, repeated, max_new_tokens=max_new_tokens, seed=seed + number)
    ]
    responses = decode(drawn, tokenizer)

    def table(values: Sequence[float] | Tensor) -> Tensor:
        """From (policy, prompt, sample) to one row per prompt."""
        by_writer = torch.as_tensor(values, dtype=torch.float64).view(len(writers), len(prompts), -1)
        return by_writer.transpose(0, 1).reshape(len(prompts), samples)

    log_ratios = None
    if proposals:
        logps = torch.stack([score_samples(writer, drawn, tokenizer.pad_token_id) for writer in writers]).double()
        log_ratios = table(logps[0] - logps.logsumexp(dim=0) + math.log(len(writers)))
    return ReferenceSamples(
        rewards=table([reviews.true_reward(response) for response in responses]),
        fluent=table([reviews.fluency([response]) for response in responses]),
        tokens=table([float(len(sample.response_ids)) for sample in drawn]),
        log_ratios=log_ratios,
    )

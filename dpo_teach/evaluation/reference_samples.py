"""Many scored responses per prompt, from which `optimum` and `best_of_n` compute their estimates."""

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
    """The scores of responses drawn from the reference, one row per prompt and one column per response.

    Rows are per prompt because Z(x) differs between prompts, and best-of-n compares only responses to the same prompt.

    Args:
        rewards: true rewards, float64.
        fluent: 1 where the grammar accepts the response, else 0.
        tokens: the length of the response.
        log_ratios: log π_ref(y|x) - log q(y|x), nats, if the responses were drawn from another distribution q; None if
            they were drawn from the reference itself.

    Raises:
        ValueError: the tables differ in shape or are not two-dimensional.
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
        """All responses treated as answers to a single prompt.

        For samples of the reference, the optimum of the pool is at least as good as that of the separate prompts: the
        log of the mean of Z(x) is at least the mean of log Z(x). The pooled optimum may change how often each prompt
        occurs, which no policy can do, so it is an upper limit too, but perhaps an unreachable one. If responses hardly
        depend on the prompt, as in the reviews world, both are nearly the same, and the effective sample size of the
        pool is far larger.
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
    """Draw and score several responses per prompt, from the reference, or from a mixture of it and better policies.

        q(y|x) = mean over the reference and the proposals of π_k(y|x),   log-ratio = log π_ref(y|x) - log q(y|x)

    At a small β the optimum writes texts that the reference almost never writes, so samples of the reference say
    nothing about it. Samples of trained policies do, and their log-ratios correct for how they were drawn. Every
    response counts as a sample of the whole mixture, whichever policy wrote it (the balance heuristic, Veach and Guibas
    1995). Since the reference is part of the mixture, no weight exceeds the number of policies times the weight that
    the response would have without the proposals.

    Args:
        reference: π_ref.
        tokenizer: the tokenizer of all models.
        prompts: the prompts, one per row of the tables.
        samples: responses per prompt, in equal parts from each policy.
        proposals: policies to draw from in addition to the reference.
        max_new_tokens: maximum tokens per response.
        seed: random seed for the samples.

    Raises:
        ValueError: there is no prompt, or samples is not a multiple of the number of policies.
    """
    writers = (reference, *proposals)
    if not prompts or samples < 1 or samples % len(writers):
        raise ValueError(f"prompts and samples: expected at least one prompt and a multiple of {len(writers)} samples, "
                         f"found {len(prompts)} prompts and {samples} samples")  # fmt: skip
    repeated = [prompt for prompt in prompts for _ in range(samples // len(writers))]
    drawn = [
        sample
        for number, writer in enumerate(writers)
        for sample in sample_tokens(writer, tokenizer, repeated, max_new_tokens=max_new_tokens, seed=seed + number)
    ]
    responses = decode(drawn, tokenizer)

    def table(values: Sequence[float] | Tensor) -> Tensor:
        """Reorder values from (policy, prompt, sample) to one row per prompt."""
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

"""The limit that no method can beat: the closed-form optimum, estimated by importance sampling.

π*(y|x) = π_ref(y|x) exp(r(x, y)/β) / Z(x) cannot be sampled from, but any mean under it can be estimated by weighting
samples of the reference. The weights also show when the estimate is not reliable.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.evaluation.policies import ReviewScores
from dpo_teach.evaluation.reference_samples import ReferenceSamples
from dpo_teach.losses import check_beta

__all__ = ["LEAST_EFFECTIVE_SAMPLES", "OptimumEstimate", "TooFewSamplesError", "estimate_optimum", "optimum_scores"]

LEAST_EFFECTIVE_SAMPLES = 50.0


class TooFewSamplesError(ValueError):
    """The weights are concentrated on too few samples for a reliable estimate; the message gives their number."""


@dataclass(frozen=True)
class OptimumEstimate:
    """The closed-form optimum at one β: means over prompts, with standard errors.

    Args:
        beta: the β of the tilt.
        reward: E_{y ~ π*}[r(x, y)].
        reward_error: its standard error from sampling, for these prompts.
        kl: KL(π* ‖ π_ref), nats.
        kl_error: its standard error.
        log_partition: log Z(x); β times it is the optimum's "reward minus β KL".
        effective_samples: the smallest effective sample size of any prompt.
    """

    beta: float
    reward: float
    reward_error: float
    kl: float
    kl_error: float
    log_partition: float
    effective_samples: float


def estimate_optimum(
    rewards: Float[Tensor, "prompts samples"],
    beta: float,
    *,
    log_ratios: Float[Tensor, "prompts samples"] | None = None,
    least_effective_samples: float = LEAST_EFFECTIVE_SAMPLES,
) -> OptimumEstimate:
    """Reward and KL of the closed-form optimum, by self-normalised importance sampling.

        w_i = exp(r_i / β),   E_π*[r] ≈ Σ w_i r_i / Σ w_i,   log Z ≈ log mean w_i
        KL(π* ‖ π_ref) = E_π*[r] / β - log Z,   effective sample size = (Σ w_i)² / Σ w_i²

    Everything is computed for each prompt separately, since Z(x) differs between prompts, and then averaged over
    prompts. The errors are first-order sampling errors (the delta method) for exactly these prompts. The KL follows
    from Rafailov et al. 2023, equation 4; the effective sample size is Kong's (1992). A ratio of two estimates is
    biased, here towards the reference, by the order of one over the effective sample size, which must be large.

    Args:
        rewards: r(x, y) of samples of π_ref(y|x), one row per prompt.
        beta: the β of the tilt; above 0.
        log_ratios: log π_ref(y|x) - log q(y|x), nats, if the samples were drawn from another policy q: then
            w_i = exp(r_i / β + log-ratio).
        least_effective_samples: the smallest effective sample size that is accepted for any prompt.

    Returns:
        The estimates.

    Raises:
        ValueError: beta is not a finite number above 0, or a reward is not finite.
        TooFewSamplesError: the effective sample size of a prompt is below the least required.

    >>> rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0986123]]).repeat(1, 100)  # the last of four: exp(r) = 3
    >>> found = estimate_optimum(rewards, beta=1.0)  # Z = (1 + 1 + 1 + 3) / 4, half of it the last one's
    >>> round(found.reward, 4), round(found.log_partition, 4), round(found.effective_samples)
    (0.5493, 0.4055, 300)
    """
    weights, log_partitions = _tilt(rewards, beta, log_ratios)
    effective = _check_effective_samples(weights, beta, least_effective_samples)
    means = _weighted_means(weights, rewards)
    spreads = weights * (rewards - means.unsqueeze(1))
    kls = means / beta - log_partitions
    return OptimumEstimate(
        beta=beta,
        reward=means.mean().item(),
        reward_error=_error(spreads),
        kl=kls.mean().item(),
        kl_error=_error(spreads / beta - (weights - 1)),  # the second term is the uncertainty of log Z
        log_partition=log_partitions.mean().item(),
        effective_samples=effective,
    )


def optimum_scores(
    samples: ReferenceSamples, beta: float, *, least_effective_samples: float = LEAST_EFFECTIVE_SAMPLES
) -> ReviewScores:
    """The scores of the closed-form optimum at one β in the reviews world.

    Args:
        samples: scored samples of the reference, or of another policy with their log-ratios.
        beta: the β of the tilt; above 0.
        least_effective_samples: the smallest effective sample size that is accepted for any prompt.

    Raises:
        ValueError, TooFewSamplesError: for the same reasons as `estimate_optimum`.
    """
    found = estimate_optimum(
        samples.rewards, beta, log_ratios=samples.log_ratios, least_effective_samples=least_effective_samples
    )
    weights, _ = _tilt(samples.rewards, beta, samples.log_ratios)

    def mean_and_error(table: Tensor) -> tuple[float, float]:
        means = _weighted_means(weights, table)
        return means.mean().item(), _error(weights * (table - means.unsqueeze(1)))

    (fluency, fluency_error), (tokens, tokens_error) = map(mean_and_error, (samples.fluent, samples.tokens))
    return ReviewScores(
        samples=samples.rewards.numel(),
        true_reward=found.reward,
        true_reward_error=found.reward_error,
        kl=found.kl,
        kl_error=found.kl_error,
        fluency=fluency,
        mean_tokens=tokens,
        fluency_error=fluency_error,
        mean_tokens_error=tokens_error,
    )


def _tilt(rewards: Tensor, beta: float, log_ratios: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights with mean 1 for each prompt, and log Z(x), by log-sum-exp so that a small β does not overflow."""
    check_beta(beta)
    if not torch.isfinite(rewards).all():
        raise ValueError("rewards must be finite")
    log_weights = rewards / beta if log_ratios is None else rewards / beta + log_ratios
    log_count = torch.log(torch.tensor(float(rewards.shape[1]), dtype=rewards.dtype))
    log_partitions = torch.logsumexp(log_weights, dim=1) - log_count
    return (log_weights - log_partitions.unsqueeze(1)).exp(), log_partitions


def _weighted_means(weights: Tensor, table: Tensor) -> Tensor:
    return (weights * table).mean(dim=1)


def _error(influences: Tensor) -> float:
    """Standard error of a mean over prompts of means over samples, with the prompts fixed."""
    prompts, samples = influences.shape
    return (influences.var(dim=1, correction=0).sum() / samples).sqrt().item() / prompts


def _check_effective_samples(weights: Tensor, beta: float, least: float) -> float:
    effective = weights.sum(dim=1) ** 2 / (weights**2).sum(dim=1)
    worst = int(effective.argmin())
    if effective[worst] < least:
        raise TooFewSamplesError(
            f"beta={beta}: the {weights.shape[1]} samples of prompt {worst} have an effective sample size of "
            f"{effective[worst].item():.1f}, expected at least {least:g}: draw more samples, draw them from a "
            "policy nearer to the optimum, or choose a larger beta"
        )
    return effective[worst].item()

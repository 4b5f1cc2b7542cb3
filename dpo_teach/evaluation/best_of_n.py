"""Best-of-n: draw n responses from the reference and keep the one with the highest reward. It needs no training.

Beirami et al. 2024, "Theoretical guarantees on the alignment of best-of-n policy" (arXiv:2401.01879). Ties are broken
at random, so that responses with equal rewards keep their relative probabilities under the reference.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.evaluation.policies import ReviewScores
from dpo_teach.evaluation.reference_samples import ReferenceSamples
from dpo_teach.worlds.tabular import kl

__all__ = ["best_of_n_kl", "best_of_n_kl_bound", "best_of_n_policy", "best_of_n_scores", "best_of_n_weights"]

BOOTSTRAPS = 100


def best_of_n_kl_bound(n: int) -> float:
    """The upper bound on the KL of best-of-n, reached if all rewards differ and every response is rare.

        KL(π_n ‖ π_ref) ≤ log n - (n-1)/n

    It was long taken for an equation, but it is only a bound if rewards tie. Beirami et al. 2024.

    Args:
        n: responses to choose from, at least 1.

    Returns:
        The bound, nats.

    Raises:
        ValueError: n is below 1.

    >>> [round(best_of_n_kl_bound(n), 4) for n in (1, 2, 4, 64)]
    [0.0, 0.1931, 0.6363, 3.1745]
    """
    _check_n(n)
    return math.log(n) - (n - 1) / n


def best_of_n_policy(
    reference: Float[Tensor, "*prompts responses"], rewards: Float[Tensor, "*prompts responses"], n: int
) -> Float[Tensor, "*prompts responses"]:
    """The exact distribution of the best of n draws.

        π_n(y|x) = π_ref(y|x) (F(r)^n - F(<r)^n) / P(r),   r = r(x, y)

    F(r) is the probability that the reward of one draw is at most r, F(<r) that it is less, and P(r) = F(r) - F(<r).

    Args:
        reference: π_ref(y|x), probabilities above 0.
        rewards: r(x, y).
        n: draws, at least 1.

    Returns:
        Probabilities; each row sums to 1.

    Raises:
        ValueError: n is below 1.

    >>> best_of_n_policy(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.0, 1.0, 1.0]), n=2)  # 1 - (1/2)^2, shared
    tensor([0.2500, 0.3750, 0.3750])
    """
    _check_n(n)
    order = rewards.argsort(dim=-1)
    ordered, shares = rewards.gather(-1, order).contiguous(), reference.gather(-1, order)
    up_to = torch.cat([torch.zeros_like(shares[..., :1]), shares.cumsum(dim=-1)], dim=-1).clamp(max=1.0)
    below = up_to.gather(-1, torch.searchsorted(ordered, ordered))
    at_most = up_to.gather(-1, torch.searchsorted(ordered, ordered, right=True))
    chosen = shares * (at_most**n - below**n) / (at_most - below)
    return torch.zeros_like(reference).scatter(-1, order, chosen)


def best_of_n_kl(rewards: Float[Tensor, "prompts samples"], n: int) -> Float[Tensor, " prompts"]:
    """KL(π_n ‖ π_ref), estimated from the rewards of samples of the reference.

        KL = Σ_r Q(r) log( Q(r) / P(r) ),   Q(r) = F(r)^n - F(<r)^n

    Best-of-n selects by the reward only, so the KL over responses equals the KL over rewards. P and F are shares of the
    samples. Without ties the result is slightly below the bound; the more ties, the further below. N samples cannot
    resolve responses rarer than 1/N, so the estimate is too low unless n is far below N.

    Args:
        rewards: r(x, y) of samples of π_ref(y|x), one row per prompt.
        n: draws, at least 1 and at most the samples of a prompt.

    Returns:
        One KL per prompt, nats.

    Raises:
        ValueError: n is below 1, or above the samples of a prompt.

    >>> best_of_n_kl(torch.tensor([[0.0, 0.0, 0.0, 0.0]]), n=2).item()  # all rewards are equal
    0.0
    """
    _check_n(n, rewards.shape[1])
    shares = torch.full_like(rewards, 1 / rewards.shape[1])
    return kl(best_of_n_policy(shares, rewards, n), shares)


def best_of_n_weights(rewards: Float[Tensor, "prompts samples"], n: int) -> Float[Tensor, "prompts samples"]:
    """The probability that each of N samples is the best of n samples picked from them without replacement.

        P(the k-th smallest is the best) = C(k-1, n-1) / C(N, n)

    A mean with these weights averages over all ways to pick n of the N samples. It is an unbiased estimate of the mean
    under best-of-n, of the reward or of any other property of the samples. Tied samples share their weights.

    Args:
        rewards: r(x, y) of samples of π_ref(y|x), one row per prompt.
        n: samples picked, at least 1 and at most all of them.

    Returns:
        One weight per sample; each row sums to 1.

    Raises:
        ValueError: n is below 1, or above the samples of a prompt.

    >>> best_of_n_weights(torch.tensor([[5.0, 1.0, 3.0]]), n=2)  # of three pairs, 5 wins two, 3 wins one
    tensor([[0.6667, 0.0000, 0.3333]])
    """
    count = rewards.shape[1]
    _check_n(n, count)
    ways = [math.comb(rank, n) / math.comb(count, n) for rank in range(count + 1)]  # the best is among the rank lowest
    up_to = torch.tensor(ways, dtype=rewards.dtype)
    ordered = rewards.sort(dim=1).values
    below, at_most = torch.searchsorted(ordered, rewards), torch.searchsorted(ordered, rewards, right=True)
    return (up_to[at_most] - up_to[below]) / (at_most - below)


def best_of_n_scores(samples: ReferenceSamples, n: int, *, seed: int = 0) -> ReviewScores:
    """The scores of best-of-n by the true reward in the reviews world.

    The errors are sampling errors for these prompts, from a bootstrap that resamples the responses to each prompt.

    Args:
        samples: scored samples of the reference.
        n: draws, at least 1 and at most the samples of a prompt.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: n is below 1 or above the samples of a prompt, or the samples are not of the reference.
    """
    if samples.log_ratios is not None:
        raise ValueError("samples: expected samples of the reference, found log_ratios, so another policy drew them")
    tables = (samples.rewards, samples.fluent, samples.tokens)
    found = _means(tables, n)
    generator = torch.Generator().manual_seed(seed)
    again = []
    for _ in range(BOOTSTRAPS):
        picks = torch.randint(samples.rewards.shape[1], samples.rewards.shape, generator=generator)
        again.append(_means(tuple(table.gather(1, picks) for table in tables), n))
    errors = torch.stack(again).std(dim=0)
    (reward, kl_, fluency, tokens), (reward_error, kl_error, fluency_error, tokens_error) = (
        found.tolist(), errors.tolist()
    )  # fmt: skip
    return ReviewScores(samples.rewards.numel(), reward, reward_error, kl_, kl_error, fluency, tokens,
                        fluency_error=fluency_error, mean_tokens_error=tokens_error)  # fmt: skip


def _means(tables: tuple[Tensor, ...], n: int) -> Float[Tensor, " four"]:
    """Mean reward, KL, fluency and tokens under best-of-n, averaged over prompts."""
    rewards, fluent, tokens = tables
    weights = best_of_n_weights(rewards, n)
    reward, fluency, length = ((weights * table).sum(dim=1).mean() for table in (rewards, fluent, tokens))
    return torch.stack([reward, best_of_n_kl(rewards, n).mean(), fluency, length])


def _check_n(n: int, samples: int | None = None) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, found {n}")
    if samples is not None and n > samples:
        raise ValueError(f"n must be at most the {samples} samples of a prompt, found {n}")

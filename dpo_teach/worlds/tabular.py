"""The tabular world: a few prompts and responses, for which every probability, log Z, KL and optimum is exact.

The last dimension of every tensor runs over the responses to one prompt; each function works prompt by prompt.
The symbols are those of Rafailov et al. 2023, "Direct Preference Optimization" (arXiv:2305.18290).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.losses import check_beta, compute_implicit_reward
from dpo_teach.worlds.film_world import TabularWorld, film_world

__all__ = [
    "TabularWorld",
    "bradley_terry",
    "expected_reward",
    "film_world",
    "kl",
    "log_partition",
    "objective",
    "optimal_policy",
    "reward_from_policies",
]


def optimal_policy(
    reference: Float[Tensor, "*prompts responses"], reward: Float[Tensor, "*prompts responses"], beta: float
) -> Float[Tensor, "*prompts responses"]:
    """The policy that maximises "expected reward minus β KL": the reference, tilted towards the reward.

        π*(y|x) = π_ref(y|x) exp(r(x, y) / β) / Z(x)

    Rafailov et al. 2023, equation 4.

    Args:
        reference: π_ref(y|x), probabilities.
        reward: r(x, y).
        beta: the price of a nat of KL; a large β stays near the reference, a small one follows the reward.

    Returns:
        π*(y|x), probabilities; each row sums to 1.

    Raises:
        ValueError: the shapes differ or beta is not a finite number above 0.

    >>> optimal_policy(torch.tensor([0.75, 0.25]), torch.tensor([0.0, 1.0986123]), beta=1.0)
    tensor([0.5000, 0.5000])
    """
    _check(beta, reference=reference, reward=reward)
    return torch.softmax(reference.log() + reward / beta, dim=-1)


def log_partition(
    reference: Float[Tensor, "*prompts responses"], reward: Float[Tensor, "*prompts responses"], beta: float
) -> Float[Tensor, "*prompts"]:
    """The logarithm of the constant that makes the optimal policy sum to 1.

        log Z(x) = log Σ_y π_ref(y|x) exp(r(x, y) / β)

    It depends on the prompt alone, so it cancels when two responses to one prompt are compared. The sum runs over
    *every* response: six in the film world, more than the atoms in the universe for a language model. It is computed
    as a log-sum-exp, so that a small β does not overflow. Rafailov et al. 2023, equation 4.

    Args, Raises: as `optimal_policy`.

    Returns:
        log Z(x), one number per prompt.

    >>> log_partition(torch.tensor([0.75, 0.25]), torch.tensor([2.0, 2.0]), beta=0.5)
    tensor(4.)
    """
    _check(beta, reference=reference, reward=reward)
    return torch.logsumexp(reference.log() + reward / beta, dim=-1)


def expected_reward(
    policy: Float[Tensor, "*prompts responses"], reward: Float[Tensor, "*prompts responses"]
) -> Float[Tensor, "*prompts"]:
    """The mean reward of a response that the policy samples.

        E_{y ~ π}[r(x, y)] = Σ_y π(y|x) r(x, y)

    Args:
        policy: π(y|x), probabilities.
        reward: r(x, y).

    Returns:
        One mean per prompt.

    Raises:
        ValueError: the shapes differ.

    >>> expected_reward(torch.tensor([0.75, 0.25]), torch.tensor([0.0, 4.0]))
    tensor(1.)
    """
    _check_shapes(policy=policy, reward=reward)
    return (policy * reward).sum(dim=-1)


def kl(
    policy: Float[Tensor, "*prompts responses"], reference: Float[Tensor, "*prompts responses"]
) -> Float[Tensor, "*prompts"]:
    """The KL divergence of the policy from the reference: 0 if they are equal, otherwise above 0.

        KL(π ‖ π_ref) = Σ_y π(y|x) log( π(y|x) / π_ref(y|x) )

    Args:
        policy: π(y|x), probabilities; a probability of 0 contributes nothing.
        reference: π_ref(y|x), probabilities; if one is 0 and the policy's is not, the KL is infinite.

    Returns:
        One KL per prompt, nats.

    Raises:
        ValueError: the shapes differ.

    >>> kl(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
    tensor(0.6931)
    """
    _check_shapes(policy=policy, reference=reference)
    return (torch.xlogy(policy, policy) - torch.xlogy(policy, reference)).sum(dim=-1)


def objective(
    policy: Float[Tensor, "*prompts responses"],
    reference: Float[Tensor, "*prompts responses"],
    reward: Float[Tensor, "*prompts responses"],
    beta: float,
) -> Float[Tensor, "*prompts"]:
    """The objective of RLHF: the expected reward of a policy, minus a price for leaving the reference.

        J(π) = E_{y ~ π}[r(x, y)] - β KL(π ‖ π_ref),   max_π J(π) = β log Z(x)

    Rafailov et al. 2023, equation 3.

    Args:
        policy: π(y|x), probabilities.
        reference: π_ref(y|x), probabilities.
        reward: r(x, y).
        beta: the price of a nat of KL.

    Returns:
        One value per prompt, in the unit of the reward.

    Raises:
        ValueError: the shapes differ or beta is not a finite number above 0.

    >>> reference = torch.tensor([0.5, 0.5])
    >>> objective(reference, reference, torch.tensor([0.0, 4.0]), beta=1.0)
    tensor(2.)
    """
    _check(beta, policy=policy, reference=reference, reward=reward)
    return expected_reward(policy, reward) - beta * kl(policy, reference)


def reward_from_policies(
    policy: Float[Tensor, "prompts responses"],
    reference: Float[Tensor, "prompts responses"],
    beta: float,
    log_partition: Float[Tensor, " prompts"] | None = None,
) -> Float[Tensor, "prompts responses"]:
    """The reward for which a policy is optimal: the closed form, solved for the reward.

        r(x, y) = β log( π(y|x) / π_ref(y|x) ) + β log Z(x)

    Without `log_partition`, the last term is left out. The result is the implicit reward: it is off by a constant for
    each prompt, which cancels in every comparison of two responses. Rafailov et al. 2023, equation 5.

    Args:
        policy: π(y|x), probabilities above 0.
        reference: π_ref(y|x), probabilities above 0.
        beta: the β for which the policy is optimal.
        log_partition: log Z(x), one per prompt, if known.

    Returns:
        One reward per prompt and response.

    Raises:
        ValueError: the shapes differ, a probability is 0, or beta is not a finite number above 0.

    >>> policy, reference = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.75, 0.25]])
    >>> reward_from_policies(policy, reference, beta=1.0)
    tensor([[-0.4055,  0.6931]])
    """
    _check(beta, policy=policy, reference=reference)
    implicit = compute_implicit_reward(policy.log().flatten(), reference.log().flatten(), beta).view_as(policy)
    return implicit if log_partition is None else implicit + beta * log_partition.unsqueeze(-1)


def bradley_terry(reward_a: Float[Tensor, "..."], reward_b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The probability that an annotator prefers a to b: 1/2 if they are equally good, near 1 if a is far better.

        P(a ≻ b) = σ( r(a) - r(b) )

    Bradley and Terry 1952; Rafailov et al. 2023, equation 1.

    Args:
        reward_a: r(a).
        reward_b: r(b), of a shape that broadcasts with that of `reward_a`.

    Returns:
        A probability per comparison.

    >>> bradley_terry(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))
    tensor([0.7311, 0.5000])
    """
    return torch.sigmoid(reward_a - reward_b)


def _check(beta: float, **tables: Tensor) -> None:
    check_beta(beta)
    _check_shapes(**tables)


def _check_shapes(**tables: Tensor) -> None:
    first_name, first = next(iter(tables.items()))
    for name, table in tables.items():
        if table.shape != first.shape:
            raise ValueError(
                f"{name} has shape {tuple(table.shape)}, but {first_name} has shape {tuple(first.shape)}: "
                "expected the same shape, one number per prompt and response"
            )

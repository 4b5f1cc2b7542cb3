"""PPO without noise: its clipped objective in the tabular world, with exact expectations over all responses.

A response here is one token long. So there is one state per prompt, the best value model is an expectation that can be
computed, and what remains of PPO is its objective. Tests compare the result with the closed form.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.losses import check_beta
from dpo_teach.rlhf.objective import clipped_surrogate
from dpo_teach.worlds.tabular import TabularWorld, objective
from dpo_teach.worlds.tabular_fit import Fit

__all__ = ["exact_advantages", "fit_ppo", "population_ppo_loss"]


def exact_advantages(
    policy: Float[Tensor, "prompts responses"], world: TabularWorld, beta: float
) -> Float[Tensor, "prompts responses"]:
    """How much better each response is than the policy's average response, after the KL penalty.

        R(x, y) = r(x, y) - β log π(y|x)/π_ref(y|x),   A(x, y) = R(x, y) - E_{y' ~ π}[R(x, y')]

    At the closed-form optimum R is β log Z(x) for every response, so all advantages are 0. This is the only policy at
    which PPO has nothing left to improve.

    Args:
        policy: π(y|x), probabilities above 0.
        world: prompts, responses, reference and reward.
        beta: the price of a nat of KL.

    Returns:
        One advantage per prompt and response, in units of the reward.

    >>> from dpo_teach.worlds.tabular import film_world, optimal_policy
    >>> world = film_world()
    >>> optimum = optimal_policy(world.reference, world.reward, beta=0.5)
    >>> exact_advantages(optimum, world, beta=0.5).abs().max() < 1e-12
    tensor(True)
    """
    penalised = world.reward - beta * (policy.log() - world.reference.log())
    return penalised - (policy * penalised).sum(dim=-1, keepdim=True)


def population_ppo_loss(
    logits: Float[Tensor, "prompts responses"],
    old_policy: Float[Tensor, "prompts responses"],
    advantages: Float[Tensor, "prompts responses"],
    clip_range: float = 0.2,
) -> Float[Tensor, ""]:
    """PPO's loss in exact expectation: every response is weighted by its probability under π_old, without sampling.

        L = -mean_x Σ_y π_old(y|x) min( ρ A, clip(ρ, 1-ε, 1+ε) A ),   ρ = π(y|x) / π_old(y|x)

    At π = π_old its gradient is that of -(E[r] - β KL). Schulman et al. 2017 (arXiv:1707.06347), equation 7.

    Args:
        logits: the policy's free parameters; π = softmax(logits).
        old_policy: π_old(y|x), probabilities above 0.
        advantages: A(x, y) under π_old.
        clip_range: ε, between 0 and 1.

    Returns:
        The loss, a scalar, in units of the reward.

    >>> half = torch.tensor([[0.5, 0.5]])
    >>> population_ppo_loss(torch.tensor([[0.0, 1.0]]).log(), half, torch.tensor([[-1.0, 1.0]]))  # ρ = 0 and 2
    tensor(-0.2000)
    """
    log_ratios = logits.log_softmax(dim=-1) - old_policy.log()
    return -(old_policy * clipped_surrogate(log_ratios, advantages, clip_range)).sum() / len(logits)


def fit_ppo(
    world: TabularWorld,
    beta: float,
    iterations: int = 300,
    *,
    epochs: int = 4,
    clip_range: float = 0.2,
    learning_rate: float = 0.3,
) -> Fit:
    """Train free logits with PPO, using exact expectations instead of samples.

    Each iteration fixes π_old and its advantages, and takes `epochs` Adam steps down `population_ppo_loss`. Schulman
    et al. 2017 (arXiv:1707.06347), algorithm 1.

    Args:
        world: prompts, responses, reference and reward; the reward may be true or learned.
        beta: the price of a nat of KL; above 0.
        iterations: how often π_old is updated.
        epochs: Adam steps per iteration.
        clip_range: ε, between 0 and 1.
        learning_rate: Adam's initial step size; it falls to 0 as the square of the remaining share of iterations.

    Returns:
        The final policy, and the objective "reward minus β KL" (mean over prompts) before each iteration.

    Raises:
        ValueError: beta is not a finite number above 0, or iterations or epochs is below 1.

    >>> from dpo_teach.worlds.tabular import film_world
    >>> climb = fit_ppo(film_world(), beta=1.0)
    >>> climb.history[-1] > climb.history[0]
    True
    """
    check_beta(beta)
    for name, value in (("iterations", iterations), ("epochs", epochs)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, found {value}")
    logits = world.reference.log().requires_grad_()
    # As in `worlds.tabular_fit`: the gradient of a falling logit shrinks exponentially, and Adam must not slow it down
    # by remembering its earlier size. The price is jitter as large as the learning rate, which falls to 0.
    optimizer = torch.optim.Adam([logits], lr=learning_rate, betas=(0.9, 0.9), eps=1e-16)
    history: list[float] = []
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - iteration / iterations) ** 2
        old_policy = logits.detach().softmax(dim=-1)
        history.append(objective(old_policy, world.reference, world.reward, beta).mean().item())
        advantages = exact_advantages(old_policy, world, beta)
        for _ in range(epochs):
            loss = population_ppo_loss(logits, old_policy, advantages, clip_range)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Fit(logits.detach().softmax(dim=-1), tuple(history))

"""Optimisations in the tabular world that do not use the closed form: of the RLHF objective, and of preference losses.

All start at the reference and train one free logit per prompt and response with Adam, as language models are trained.
Their results are compared with the closed form of `dpo_teach.worlds.tabular`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dpo_teach.loss_family import PairLogps, check_settings
from dpo_teach.worlds.tabular import TabularWorld, bradley_terry, kl, objective

__all__ = [
    "Annotator",
    "Fit",
    "certain_annotator",
    "fit_dpo",
    "fit_loss",
    "optimise_objective",
    "pair_weights",
    "population_loss",
]

Annotator = Callable[[Tensor, Tensor], Tensor]
"""P(a ≻ b) from the rewards of a and b."""


@dataclass(frozen=True)
class Fit:
    """The result of an optimisation.

    Args:
        policy: π(y|x) at the end, probabilities.
        history: the objective or loss, mean over prompts, before each step.
    """

    policy: Float[Tensor, "prompts responses"]
    history: tuple[float, ...]


def optimise_objective(world: TabularWorld, beta: float, steps: int = 500) -> Fit:
    """Maximise "expected reward minus β KL" by gradient steps that start at the reference.

        max_θ  mean_x  E_{y ~ π_θ}[r(x, y)] - β KL(π_θ ‖ π_ref)

    Rafailov et al. 2023, equation 3, with a free logit for every response.

    Args:
        world: prompts, responses, reference and reward.
        beta: the price of a nat of KL; above 0.
        steps: Adam steps; 500 reach the optimum to 4 digits for β from 0.02 to 10.

    Returns:
        The final policy, and the objective before each step.

    Raises:
        ValueError: beta is not a finite number above 0, or steps is below 1.

    >>> from dpo_teach.worlds.tabular import film_world
    >>> climb = optimise_objective(film_world(), beta=1.0)
    >>> climb.history[-1] > climb.history[0]
    True
    """

    def negative_objective(logits: Tensor) -> Tensor:
        return -objective(logits.softmax(dim=-1), world.reference, world.reward, beta).mean()

    fit = _minimise(negative_objective, world.reference.log(), steps, learning_rate=0.3)
    return Fit(fit.policy, tuple(-value for value in fit.history))


def fit_dpo(
    world: TabularWorld, beta: float, steps: int = 500, *, anchor: bool = True, annotator: Annotator = bradley_terry
) -> Fit:
    """Train a policy with DPO on every possible comparison, weighted by how often it occurs.

        min_θ  E_{x, (y_w, y_l)}[ -log σ( β (log-ratio of y_w - log-ratio of y_l) ) ]

    The reward enters only through the annotator's preferences. Rafailov et al. 2023, equation 7.

    Args:
        world: prompts, responses, reference and reward.
        beta: how closely the optimum stays to the reference; above 0.
        steps: Adam steps.
        anchor: False leaves the reference's log-probabilities out of the loss; the pairs are still drawn from the
            reference.
        annotator: gives the probability that a is preferred to b, from their rewards.

    Returns:
        The final policy, and the loss before each step.

    Raises:
        ValueError: beta is not a finite number above 0, or steps is below 1.

    >>> from dpo_teach.worlds.tabular import film_world
    >>> round(fit_dpo(film_world(), beta=1.0).history[0], 4)
    0.6931
    """
    return fit_loss(world, "sigmoid", steps, anchor=anchor, annotator=annotator, beta=beta)


def fit_loss(
    world: TabularWorld,
    loss: str,
    steps: int = 500,
    *,
    anchor: bool = True,
    annotator: Annotator = bradley_terry,
    **settings: float,
) -> Fit:
    """Train a policy with any loss of the family on every possible comparison, weighted by how often it occurs.

    Args:
        world: prompts, responses, reference and reward.
        loss: name of a member of `dpo_teach.loss_family.LOSSES`.
        steps: Adam steps. A loss without an optimum goes on for as long as it may.
        anchor: as in `population_loss`, like the two that follow.
        annotator: gives the probability that a is preferred to b, from their rewards.
        settings: of the loss, such as `beta`.

    Returns:
        The final policy, and the loss before each step.

    Raises:
        ValueError: there is no such loss, a setting is unknown or out of range, or steps is below 1.

    >>> from dpo_teach.worlds.tabular import film_world
    >>> fit_loss(film_world(), "hinge", beta=1.0).history[0]
    1.0
    """
    check_settings(loss, settings)
    size = max(1.0, 1.0 / settings.get("beta", 1.0))  # the logits of DPO's optimum are r/β away
    return _minimise(
        lambda logits: population_loss(logits, world, loss, anchor=anchor, annotator=annotator, **settings),
        world.reference.log(),
        steps,
        learning_rate=0.1 * size,
    )


def population_loss(
    logits: Float[Tensor, "prompts responses"],
    world: TabularWorld,
    loss: str = "sigmoid",
    *,
    anchor: bool = True,
    annotator: Annotator = bradley_terry,
    **settings: float,
) -> Float[Tensor, ""]:
    """The expected loss, without sampling noise: every ordered pair is weighted by how often it occurs.

        L = mean_x Σ_{a,b} P(a chosen, b rejected | x) · ℓ(x, a, b)

    The data are those of `pair_weights`. Every response is one token long, and KTO's z₀ is the exact KL(π ‖ π_ref).

    Args:
        logits: the policy's free parameters; π = softmax(logits).
        world: prompts, responses, reference and reward.
        loss: name of a member of `dpo_teach.loss_family.LOSSES`; "sigmoid" is DPO.
        anchor: False leaves the reference's log-probabilities out of the loss; the pairs are still drawn from the
            reference.
        annotator: gives the probability that a is preferred to b, from their rewards.
        settings: of the loss, such as `beta`.

    Returns:
        The loss, a scalar, in the unit of the loss.

    Raises:
        ValueError: there is no such loss, or a setting is unknown or out of range.

    >>> from dpo_teach.worlds.tabular import film_world
    >>> world = film_world()
    >>> round(population_loss(world.reference.log(), world, beta=0.3).item(), 4)
    0.6931
    """
    member = check_settings(loss, settings)
    policy_logps = logits.log_softmax(dim=-1)
    reference_logps = world.reference.log() if anchor else torch.zeros_like(policy_logps)
    weights = pair_weights(world, annotator)  # prompts x chosen x rejected

    def chosen_and_rejected(logps: Tensor) -> tuple[Tensor, Tensor]:
        """The values of both responses of every pair."""
        return logps.unsqueeze(-1).expand_as(weights).flatten(), logps.unsqueeze(-2).expand_as(weights).flatten()

    policy, reference = chosen_and_rejected(policy_logps), chosen_and_rejected(reference_logps)
    tokens = torch.ones_like(weights).flatten()
    moved = kl(policy_logps.exp(), world.reference).mean().detach()
    pairs = PairLogps(policy[0], policy[1], reference[0], reference[1], tokens, tokens, moved)
    return (weights.flatten() * member.function(pairs, **settings)).sum() / len(logits)


def pair_weights(
    world: TabularWorld, annotator: Annotator = bradley_terry
) -> Float[Tensor, "prompts responses responses"]:
    """How often "a chosen, b rejected" occurs when two responses are drawn from the reference and compared.

        P(a chosen, b rejected | x) = 2 π_ref(a|x) π_ref(b|x) P(a ≻ b)

    The factor 2 counts both orders of drawing. If the same response is drawn twice, the pair is included, but it has no
    effect on training.

    Args:
        world: prompts, responses, reference and reward.
        annotator: gives the probability that a is preferred to b, from their rewards.

    Returns:
        One probability per prompt, chosen and rejected response; they sum to 1 for each prompt.

    >>> from dpo_teach.worlds.tabular import film_world
    >>> pair_weights(film_world()).sum(dim=(1, 2))
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    preferred = annotator(world.reward.unsqueeze(-1), world.reward.unsqueeze(-2))
    return 2 * world.reference.unsqueeze(-1) * world.reference.unsqueeze(-2) * preferred


def certain_annotator(reward_a: Tensor, reward_b: Tensor) -> Tensor:
    """An annotator who never errs: the response with the higher reward always wins, however small the difference.

    >>> certain_annotator(torch.tensor([0.1, 0.0, -3.0]), torch.tensor([0.0, 0.0, 0.0]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    return (torch.sign(reward_a - reward_b) + 1) / 2


def _minimise(loss_of: Callable[[Tensor], Tensor], start: Tensor, steps: int, learning_rate: float) -> Fit:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, found {steps}")
    logits = start.clone().requires_grad_()
    # The average of squared gradients has a short memory and a tiny eps. The gradient of a falling logit shrinks
    # exponentially, and the size that it once had must not slow the logit down.
    optimizer = torch.optim.Adam([logits], lr=learning_rate, betas=(0.9, 0.9), eps=1e-16)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / steps) ** 2)
    history: list[float] = []
    with _one_thread():
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of(logits)
            loss.backward()
            optimizer.step()
            schedule.step()
            history.append(loss.item())
    return Fit(logits.detach().softmax(dim=-1), tuple(history))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: on a busy machine, threads that wait for each other take forty times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

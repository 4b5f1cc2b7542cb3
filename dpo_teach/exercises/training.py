"""The exercises of notebook 04: the training step, and the choice of β from a frontier."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dpo_teach.batches import TokenBatch, TokenizedPair, collate_pairs, split_pairs
from dpo_teach.exercises.base import FunctionExercise, Mistake, Verdict
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.loss import compute_dpo_loss

__all__ = ["Run", "StepExercise", "choose_beta", "training_step"]

Step = Callable[..., Any]

_PAD, _STEPS, _PAIRS, _VOCABULARY = 0, 3, 4, 12


# The training step


@functools.cache
def _batches(seed: int) -> tuple[tuple[TokenizedPair, ...], ...]:
    """Pairs of random tokens and several lengths, one tuple for each step."""
    random = torch.Generator().manual_seed(seed)

    def ids(shortest: int, longest: int) -> tuple[int, ...]:
        length = int(torch.randint(shortest, longest + 1, (), generator=random))
        return tuple(torch.randint(1, _VOCABULARY, (length,), generator=random).tolist())

    return tuple(tuple(TokenizedPair(ids(2, 3), ids(2, 5), ids(2, 5)) for _ in range(_PAIRS)) for _ in range(_STEPS))


def _tiny_policy(seed: int) -> Any:
    """A GPT-2 of a thousand weights, large enough for its probabilities to differ."""
    from transformers import GPT2Config, GPT2LMHeadModel  # seconds to import: not before it is needed

    config = GPT2Config(vocab_size=_VOCABULARY, n_positions=8, n_embd=8, n_layer=1, n_head=1, initializer_range=0.4,
                        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1)  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


def _loss_of(policy: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> Tensor:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, reference_logps[:, 0], reference_logps[:, 1], beta)


def _trajectory(step: Step) -> Step:
    """Run a training step a few times on a fresh tiny policy, and tell where that leads.

    Returns:
        A function of a seed and β. It gives, for each step, the loss that `step` returned (NaN if it returned none)
        and the loss of the same batch afterwards, as we measure it; None if `step` neither returns nor moves anything.
    """

    @functools.wraps(step)
    def run(seed: int, beta: float) -> list[float] | None:
        policy = _tiny_policy(seed)
        references = [pair_logps(policy, pairs, _PAD) for pairs in _batches(seed)]
        start = torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
        told: list[float] = []
        for pairs, reference_logps in zip(_batches(seed), references, strict=True):
            batch = collate_pairs(pairs, _PAD)
            returned = step(policy, optimizer, batch, reference_logps.clone(), beta)
            with torch.no_grad():
                after = float(_loss_of(policy, batch, reference_logps, beta))
            told += [torch.nan if returned is None or returned is ... else _number(returned), after]
        end = torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])
        silent = all(map(math.isnan, told[::2]))
        return None if silent and torch.equal(start, end) else told

    return run


def _known_trajectory(step: Step) -> Step:
    """The trajectory of a step that never changes, so that each check needs to run the learner's alone."""
    return functools.cache(_trajectory(step))


def _number(returned: Any) -> float:
    shape = tuple(torch.as_tensor(returned).shape)
    if shape != ():
        raise ValueError(f"it returned a tensor of shape {shape}, where one number is wanted, the loss")
    return float(torch.as_tensor(returned).detach())


@dataclass(frozen=True, kw_only=True)
class StepExercise(FunctionExercise):
    """Write a function that takes one training step: it is judged by the losses that it returns and leads to."""

    def check(self, answer: Any) -> Verdict:
        """As `Exercise.check`; the answer is a function of policy, optimizer, batch, reference logps and β."""
        return super().check(_trajectory(answer) if callable(answer) else answer)

    def _judge(self, found: Sequence[Any]) -> Verdict:
        verdict = super()._judge(found)
        if verdict.message in {self.praise, *(mistake.diagnosis for mistake in self.mistakes)}:
            return verdict
        wanted = self.solution(*self.cases[0].values())
        returned, right = (torch.nan if found[0] is None else found[0][0]), wanted[0]
        if abs(returned - right) < 1e-4:
            return Verdict("wrong", "The loss that you return is right in the first step, but your step does not leave "
                                    "the weights where it should. Compare it line by line with the loop of "
                                    "section 4.")  # fmt: skip
        return Verdict("wrong", f"Not yet: in the first step you return {returned:.4f}, and the loss is {right:.4f}.")


def _my_training_step(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    reference_chosen, reference_rejected = reference_logps.T
    loss = compute_dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _descend(policy: Any, optimizer: Any, loss: Tensor, *, zero: bool = True, clip: bool = True) -> float:
    if zero:
        optimizer.zero_grad()
    loss.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _step_on_halves(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    logps = response_logps(policy, batch)
    loss = compute_dpo_loss(logps[::2], logps[1::2], reference_logps[:, 0], reference_logps[:, 1], beta)
    return _descend(policy, optimizer, loss)


def _step_on_swapped(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    rejected, chosen = split_pairs(response_logps(policy, batch))
    loss = compute_dpo_loss(chosen, rejected, reference_logps[:, 1], reference_logps[:, 0], beta)
    return _descend(policy, optimizer, loss)


def _step_on_means(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    chosen, rejected = split_pairs(response_logps(policy, batch) / batch.response_mask.sum(dim=1))
    loss = compute_dpo_loss(chosen, rejected, reference_logps[:, 0], reference_logps[:, 1], beta)
    return _descend(policy, optimizer, loss)


def _step_without_return(*arguments: Any) -> None:
    _my_training_step(*arguments)


def _swapped(logps: Tensor) -> Tensor:
    return logps.flip(dims=(1,))


training_step = StepExercise(
    task="Replace the `...` of the stub by one training step: logps, loss, gradients, clipping, optimizer. Return the "
    "loss as a number.",
    hints=(
        "The way of the data: `response_logps` of the policy, `split_pairs`, `compute_dpo_loss` with the reference's "
        "logps, whose two columns are chosen and rejected.",
        "Then five lines that are the same in every PyTorch loop: gradients to zero, backward, clip them to a length "
        "of 1.0, let the optimizer step, return the loss.",
        "`reference_logps.T` unpacks into chosen and rejected. Clipping is `torch.nn.utils.clip_grad_norm_(...)`, and "
        "its place is between `loss.backward()` and `optimizer.step()`.",
    ),
    praise="That is a DPO training step: three steps of yours, from a fresh policy, lead to the same losses as the "
    "trainer's.",
    solution=_known_trajectory(_my_training_step),
    cases=({"seed": 0, "beta": 0.5}, {"seed": 1, "beta": 1.0}),
    mistakes=(
        Mistake(
            _known_trajectory(_step_without_return),
            "The step itself is right, but your function returns nothing. Return `loss.item()`, so that there is a "
            "curve to look at.",
        ),
        Mistake(
            _known_trajectory(lambda p, o, b, r, beta: _loss_of(p, b, r, beta).item()),
            "The loss is right, but the weights are where they were: either the optimizer never steps, or the "
            "gradients are set to zero between `backward` and `step`.",
        ),
        Mistake(
            _known_trajectory(lambda p, o, b, r, beta: _descend(p, o, _loss_of(p, b, r, beta), zero=False)),
            "The gradients of earlier steps are still there: PyTorch adds new ones to them. Set them to zero before "
            "`backward`.",
        ),
        Mistake(
            _known_trajectory(lambda p, o, b, r, beta: _descend(p, o, _loss_of(p, b, r, beta), clip=False)),
            "The gradients are not clipped, or not between `backward` and `step`, where it counts. One wild batch "
            "could throw the policy far off.",
        ),
        Mistake(
            _known_trajectory(lambda p, o, b, r, beta: _descend(p, o, _loss_of(p, b, r, 0.1))),
            "You use β = 0.1 whatever β is asked for: it is the default of `compute_dpo_loss`. Hand yours on.",
        ),
        Mistake(
            _known_trajectory(lambda p, o, b, r, beta: _descend(p, o, _loss_of(p, b, torch.zeros_like(r), beta))),
            "The reference is missing: you compare the policy's two logps with each other. Hand on both columns of "
            "`reference_logps`.",
        ),
        Mistake(
            _known_trajectory(lambda p, o, b, r, beta: _descend(p, o, _loss_of(p, b, _swapped(r), beta))),
            "The two columns of `reference_logps` are swapped: each response must be measured against its own "
            "reference. Chosen comes first.",
        ),
        Mistake(
            _known_trajectory(_step_on_swapped),
            "Chosen and rejected are swapped: the first loss is ln 2 all the same, and then the policy learns what "
            "people rejected. `split_pairs` gives chosen first.",
        ),
        Mistake(
            _known_trajectory(_step_on_halves),
            "You took every second row for chosen. In a batch all the chosen responses come first and all the "
            "rejected ones after them: `split_pairs` cuts it in the middle.",
        ),
        Mistake(
            _known_trajectory(_step_on_means),
            "You divided the policy's logps by the number of tokens. DPO sums: the probability of a response is a "
            "product over its tokens.",
        ),
    ),
)


# β from a frontier


class Run(NamedTuple):
    """What one run came to."""

    beta: float
    true_reward: float
    kl: float
    fluency: float


def _my_beta(runs: list[Run], most_kl: float, least_fluency: float) -> float:
    allowed = [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]
    best = max(allowed, key=lambda run: run.true_reward)
    return best.beta


def _best(runs: list[Run], key: Callable[[Run], float] = lambda run: run.true_reward) -> float:
    return max(runs, key=key).beta


def _allowed(runs: list[Run], most_kl: float, least_fluency: float) -> list[Run]:
    return [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]


_FRONTIERS = (
    # The one with the most reward is broken, the one with the largest β and the one with the least KL gained little.
    [Run(1.0, 0.9, 1.1, 0.97), Run(0.5, 1.9, 3.0, 0.95), Run(0.3, 2.9, 6.2, 0.93), Run(0.1, 4.1, 15.0, 0.91),
     Run(0.05, 4.8, 27.0, 0.42)],
    # Only the KL forbids; and of what it allows, neither the smallest β nor the furthest run is it.
    [Run(0.05, 5.2, 31.0, 0.96), Run(0.1, 3.1, 7.5, 0.92), Run(0.2, 3.4, 7.0, 0.94), Run(0.4, 2.0, 8.0, 0.95),
     Run(1.0, 0.7, 0.8, 0.98)],
    # Fluency forbids one that the KL allows.
    [Run(0.5, 1.2, 2.0, 0.96), Run(0.3, 2.2, 4.0, 0.95), Run(0.2, 3.0, 6.0, 0.7), Run(0.1, 2.5, 11.0, 0.93)],
)  # fmt: skip

choose_beta = FunctionExercise(
    task="Replace the `...` of the stub: among the runs that keep to both limits, return the beta of the one with the "
    "highest true reward.",
    hints=(
        "Two things in a row: which runs are allowed, and which of those is best.",
        "A run is allowed if `run.kl <= most_kl` and `run.fluency >= least_fluency`.",
        "`max(allowed, key=lambda run: run.true_reward)` is the best run; its `.beta` is the answer.",
    ),
    praise="That is how β is chosen: by what the samples are worth, within limits that were set before looking.",
    solution=_my_beta,
    cases=(
        {"runs": _FRONTIERS[0], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": _FRONTIERS[1], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": _FRONTIERS[2], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": _FRONTIERS[0], "most_kl": 20.0, "least_fluency": 0.9},
    ),
    mistakes=(
        Mistake(
            lambda runs, most_kl, least_fluency: _best(runs),
            "You took the highest true reward of all, with no regard to the limits: the policy has run far from its "
            "reference there, or no longer writes sentences.",
        ),
        Mistake(
            lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, 0.0)),
            "The limit on KL is kept, the one on fluency is not. A mean reward can be high though many texts are "
            "broken.",
        ),
        Mistake(
            lambda runs, most_kl, least_fluency: _best(_allowed(runs, float("inf"), least_fluency)),
            "The limit on fluency is kept, the one on KL is not. Leave out the runs that went further than `most_kl`.",
        ),
        Mistake(
            lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, least_fluency), lambda run: -run.beta),
            "You took the smallest β that keeps to the limits. It is often the best one, but not always: look at the "
            "true reward.",
        ),
        Mistake(
            lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, least_fluency), lambda run: -run.kl),
            "You took the run that is closest to the reference. The reference itself would be closer still: what is "
            "wanted is the most reward within the limit.",
        ),
        Mistake(
            lambda runs, most_kl, least_fluency: _best(_allowed(runs, most_kl, least_fluency), lambda run: run.kl),
            "You took the run that went furthest within the limits. Distance is the price and not the gain: look at "
            "the true reward.",
        ),
        Mistake(
            lambda runs, most_kl, least_fluency: max(run.true_reward for run in _allowed(runs, most_kl, least_fluency)),
            "That is the true reward of the right run. Its beta is wanted.",
        ),
    ),
)

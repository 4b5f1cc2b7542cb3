"""Exercises that are judged by where a few training steps lead, from a policy that trains in milliseconds."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dpo_teach.batches import TokenBatch, TokenizedPair, collate_pairs, split_pairs
from dpo_teach.exercises.comparing import close
from dpo_teach.exercises.function import FunctionExercise, WrongResultError
from dpo_teach.exercises.verdict import a
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import compute_dpo_loss

__all__ = ["StepExercise", "loss_of"]

_PAD, _STEPS, _PAIRS, _VOCABULARY = 0, 3, 4, 12


@dataclass(frozen=True, kw_only=True, eq=False)
class StepExercise(FunctionExercise):
    """Write a function that takes one training step: it is judged by the losses that it returns and leads to.

    Each case is a seed and a β; its arguments, `case(1)`, are a fresh policy and all that the first step takes.
    """

    def _try(self, function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
        return _trajectory(function, **case)

    def _arguments(self, case: Mapping[str, Any]) -> dict[str, Any]:
        policy, optimizer, steps = _start(case["seed"])
        batch, reference_logps = steps[0]
        return {"policy": policy, "optimizer": optimizer, "batch": batch, "reference_logps": reference_logps,
                "beta": case["beta"]}  # fmt: skip

    def _beside(self, found: Sequence[Any], wanted: Sequence[Any]) -> str:
        case, place, yours, right = _first_difference(found, wanted)
        step = f"step {place // 2 + 1} of test case {case}"
        if place % 2:
            return f"After {step} the loss of its batch is {yours:.4f}, and {right:.4f} is right."
        returned = "nothing" if math.isnan(yours) else f"{yours:.4f}"
        return f"In {step} you return {returned}, and {right:.4f} is right."

    def _first_wrong(self, found: Sequence[Any], wanted: Sequence[Any]) -> int:
        return _first_difference(found, wanted)[0]

    def _to_see(self, number: int) -> str:
        return super()._to_see(number).replace("To see it", "To see its first step")

    def _unforeseen(self, found: Sequence[Any], wanted: Sequence[Any]) -> str:
        told = self._beside(found, wanted)
        if _first_difference(found, wanted)[1] == 0:
            return f"Not yet: your loss is not the right one before anything has moved. {told}"
        return (
            "The loss that you return is right in the first step, but your step does not leave the weights where it "
            f"should. Compare it line by line with the loop of section 4. {told}"
        )


def _trajectory(step: Callable[..., Any], seed: int, beta: float) -> Any:
    """Run a training step a few times on a fresh tiny policy, and tell where that leads.

    Returns:
        For each step, the loss that `step` returned (NaN if it returned none) and the loss of the same batch
        afterwards, as we measure it. If `step` neither returns nor moves anything, what it left: None or `...`.
    """
    policy, optimizer, steps = _start(seed)
    start = _weights(policy)
    told: list[float] = []
    for batch, reference_logps in steps:
        returned = step(policy, optimizer, batch, reference_logps.clone(), beta)
        with torch.no_grad():
            after = float(loss_of(policy, batch, reference_logps, beta))
        told += [_number(returned), after]
    silent = all(map(math.isnan, told[::2]))
    return returned if silent and torch.equal(start, _weights(policy)) else told


def _start(seed: int) -> tuple[Any, torch.optim.Optimizer, list[tuple[TokenBatch, Tensor]]]:
    """A fresh policy, its optimizer, and for each step a batch with the logps that the fresh policy gives it."""
    policy = _tiny_policy(seed)
    steps = [(collate_pairs(pairs, _PAD), pair_logps(policy, pairs, _PAD)) for pairs in _batches(seed)]
    return policy, torch.optim.SGD(policy.parameters(), lr=0.1), steps


def loss_of(policy: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> Tensor:
    """The DPO loss of one batch."""
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, reference_logps[:, 0], reference_logps[:, 1], beta)


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


def _weights(policy: Any) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])


def _number(returned: Any) -> float:
    """A loss as it was returned, NaN for none."""
    if returned is None or returned is ...:
        return math.nan
    if isinstance(returned, tuple):
        raise WrongResultError(
            f"One number is wanted, the loss, and your step returns a tuple of {len(returned)}. "
            "Return the loss alone, with no comma after it."
        )
    try:
        value = torch.as_tensor(returned).detach()
    except (TypeError, ValueError, RuntimeError):
        raise WrongResultError(f"One number is wanted, the loss, and your step returns {a(returned)}.") from None
    if value.dim():
        raise WrongResultError(
            f"One number is wanted, the loss, and your step returns a tensor of shape {tuple(value.shape)}."
        )
    if value.isnan():
        raise WrongResultError("Your step returns nan, which is not a number. Look at what goes into the loss.")
    return float(value)


def _first_difference(found: Sequence[Any], wanted: Sequence[Any]) -> tuple[int, int, float, float]:
    """The case, from 1; the place in its trajectory, and what stands there in the learner's and in the right one."""
    for case, (run, target) in enumerate(zip(found, wanted, strict=True), start=1):
        places = enumerate(zip(run or [math.nan] * len(target), target, strict=True))
        for place, (yours, right) in places:
            if not close(yours, right):
                return case, place, yours, right
    raise ValueError("the trajectories are the same")

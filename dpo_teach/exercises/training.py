"""The exercises of notebook 04: write the training step, choose β from a frontier, and diagnose runs."""

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from dpo_teach import compute_dpo_loss
from dpo_teach.batches import TokenBatch, TokenizedPair, collate_pairs, split_pairs
from dpo_teach.exercises.beta_mistakes import BETA_MISTAKES, FRONTIERS, Run
from dpo_teach.exercises.choice import MatchExercise, Question
from dpo_teach.exercises.comparison import first_difference
from dpo_teach.exercises.exercise import type_with_article
from dpo_teach.exercises.function import FunctionExercise, Mistake, Trial, WrongResultError
from dpo_teach.logps import pair_logps, response_logps

__all__ = ["Run", "choose_beta", "diagnose_runs", "recorded_runs", "training_step"]

# The training step. The check compares the losses of a few steps, on a policy that trains in milliseconds. Each case is
# a seed and a β.

_PAD, _STEPS, _PAIRS, _VOCABULARY = 0, 3, 4, 12


def _first_arguments(case: Mapping[str, Any]) -> dict[str, Any]:
    """A fresh policy, and the other arguments of the first step."""
    policy, optimizer, steps = _start(case["seed"])
    batch, reference_logps = steps[0]
    return {"policy": policy, "optimizer": optimizer, "batch": batch, "reference_logps": reference_logps,
            "beta": case["beta"]}  # fmt: skip


def _run_steps(step: Callable[..., Any], case: Mapping[str, Any]) -> Any:
    """Take a few training steps with a fresh tiny policy.

    Returns:
        For each step, the loss that `step` returned (NaN if it returned none) and the loss of the same batch measured
        after it. If `step` never returned a loss nor changed a weight, its last return value, None or `...`.
    """
    policy, optimizer, steps = _start(case["seed"])
    start = _weights(policy)
    losses: list[float] = []
    for batch, reference_logps in steps:
        returned = step(policy, optimizer, batch, reference_logps.clone(), case["beta"])
        with torch.no_grad():
            after = float(_compute_loss(policy, batch, reference_logps, case["beta"]))
        losses += [_check_loss(returned), after]
    returned_nothing = all(map(math.isnan, losses[::2]))
    return returned if returned_nothing and torch.equal(start, _weights(policy)) else losses


def _show_wrong_loss(found: Sequence[Any], expected: Sequence[Any]) -> str:
    case, place, theirs, ours = _first_wrong_loss(found, expected)
    step = f"step {place // 2 + 1} of test case {case + 1}"
    if place % 2:
        return f"After {step} the loss of its batch is {theirs:.4f}, and {ours:.4f} is right."
    return f"In {step} you return {'nothing' if math.isnan(theirs) else f'{theirs:.4f}'}, and {ours:.4f} is right."


def _fallback_for_steps(found: Sequence[Any], expected: Sequence[Any]) -> str:
    difference = _show_wrong_loss(found, expected)
    if _first_wrong_loss(found, expected)[1] == 0:
        return f"Your loss is wrong even in the first step, before any weight has changed. {difference}"
    return (
        "The loss that you return is right in the first step, but your step does not change the weights as it should. "
        f"Compare it line by line with the loop of section 4. {difference}"
    )


def _first_wrong_loss(found: Sequence[Any], expected: Sequence[Any]) -> tuple[int, int, float, float]:
    """The index of the case, the index among its losses, and the learner's and the correct loss at that index."""
    case = first_difference(found, expected)
    theirs = found[case] if isinstance(found[case], list) else [math.nan] * len(expected[case])
    place = first_difference(theirs, expected[case])
    return case, place, theirs[place], expected[case][place]


_THREE_STEPS = Trial(
    arguments=_first_arguments,
    run=_run_steps,
    returned=lambda losses: losses[::2],
    show_difference=_show_wrong_loss,
    fallback=_fallback_for_steps,
    to_see="To see its first step",
)


def _start(seed: int) -> tuple[Any, torch.optim.Optimizer, list[tuple[TokenBatch, Tensor]]]:
    """A fresh policy, its optimizer, and for each step a batch with its reference logps.

    With seed 0 the reference is the fresh policy. With seed 1 it is another one, so that comparing the policy with
    itself gives another loss.
    """
    policy = _tiny_policy(seed)
    apart = 0.5 * seed * torch.tensor([1.0, -1.0])
    steps = [(collate_pairs(pairs, _PAD), pair_logps(policy, pairs, _PAD) + apart) for pairs in _batches(seed)]
    return policy, torch.optim.SGD(policy.parameters(), lr=0.1), steps


def _compute_loss(policy: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> Tensor:
    """The DPO loss of one batch."""
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return compute_dpo_loss(chosen, rejected, reference_logps[:, 0], reference_logps[:, 1], beta)


@functools.cache
def _batches(seed: int) -> tuple[tuple[TokenizedPair, ...], ...]:
    """Pairs of random tokens with varying lengths, one tuple per step."""
    random = torch.Generator().manual_seed(seed)

    def ids(shortest: int, longest: int) -> tuple[int, ...]:
        length = int(torch.randint(shortest, longest + 1, (), generator=random))
        return tuple(torch.randint(1, _VOCABULARY, (length,), generator=random).tolist())

    return tuple(tuple(TokenizedPair(ids(2, 3), ids(2, 5), ids(2, 5)) for _ in range(_PAIRS)) for _ in range(_STEPS))


def _tiny_policy(seed: int) -> Any:
    """A GPT-2 with a thousand weights, initialised widely enough for its probabilities to differ."""
    from transformers import GPT2Config, GPT2LMHeadModel  # takes seconds to import: only when it is needed

    config = GPT2Config(vocab_size=_VOCABULARY, n_positions=8, n_embd=8, n_layer=1, n_head=1, initializer_range=0.4,
                        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1)  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


def _weights(policy: Any) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])


def _check_loss(returned: Any) -> float:
    """The loss that a step returned; NaN if it returned nothing."""
    if returned is None or returned is ...:
        return math.nan
    expected = "Expected one number, the loss, but your step returns"
    if isinstance(returned, tuple):
        advice = "Return only the loss, with no comma after it."
        raise WrongResultError(f"{expected} a tuple of {len(returned)}. {advice}")
    try:
        loss = torch.as_tensor(returned).detach()
    except (TypeError, ValueError, RuntimeError):
        raise WrongResultError(f"{expected} {type_with_article(returned)}.") from None
    if loss.dim():
        raise WrongResultError(f"{expected} a tensor of shape {tuple(loss.shape)}.")
    if loss.isnan():
        raise WrongResultError("Your step returns nan, which is not a number. Check the inputs of the loss.")
    return float(loss)


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


def _step_too_early(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    optimizer.step()
    optimizer.zero_grad()
    loss = _compute_loss(policy, batch, reference_logps, beta)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
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


def _step_from_itself(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    itself = response_logps(policy, batch).detach()
    return _descend(policy, optimizer, _compute_loss(policy, batch, torch.stack(split_pairs(itself), dim=1), beta))


def _step_without_pull(policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float) -> float:
    chosen, rejected = split_pairs(response_logps(policy, batch))
    return _descend(policy, optimizer, compute_dpo_loss(chosen, rejected, chosen, rejected, beta))


def _step_on_rejected_first(
    policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float
) -> float:
    rejected, chosen = split_pairs(response_logps(policy, batch))
    loss = compute_dpo_loss(chosen, rejected, reference_logps[:, 0], reference_logps[:, 1], beta)
    return _descend(policy, optimizer, loss)


def _step_clipped_by_value(
    policy: Any, optimizer: Any, batch: TokenBatch, reference_logps: Tensor, beta: float
) -> float:
    loss = _compute_loss(policy, batch, reference_logps, beta)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _loss_afterwards(policy: Any, optimizer: Any, *arguments: Any) -> float:
    _my_training_step(policy, optimizer, *arguments)
    return _compute_loss(policy, *arguments).item()


def _step_without_return(*arguments: Any) -> None:
    _my_training_step(*arguments)


def _swapped(logps: Tensor) -> Tensor:
    return logps.flip(dims=(1,))


_STEP_MISTAKES = (
    Mistake(
        _step_without_return,
        "The step itself is right, but your function returns nothing: end it with `return loss.item()`. Without these "
        "numbers there is no loss curve, and a run that goes wrong goes unnoticed.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _compute_loss(p, b, r, beta).item(),
        "The loss is right, but the weights do not change: either the optimizer never steps, or the gradients are set "
        "to zero between `backward` and `step`. Such a run stays at ln 2 for ever.",
    ),
    Mistake(
        _step_too_early,
        "The optimizer steps before `backward`, with the gradients of the previous batch. The first step does "
        "nothing, and every later step uses gradients of a policy that has changed since.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, r, beta), zero=False),
        "The gradients of earlier steps are still there: set them to zero before `backward`. PyTorch adds new "
        "gradients to old ones, so each step would repeat all the steps before it.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, r, beta), clip=False),
        "The gradients are not clipped, or not between `backward` and `step`, where it counts. A single bad batch "
        "could then throw the policy far off.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, -_compute_loss(p, b, r, beta)),
        "The sign of the loss is flipped: you minimise minus the loss, so the loss grows. `compute_dpo_loss` already "
        "contains the minus, and with a second one the policy learns what people rejected.",
    ),
    Mistake(
        lambda p, o, b, r, beta: -_descend(p, o, -_compute_loss(p, b, r, beta)),
        "This is gradient ascent: the loss that you return is right, but your step makes it larger. Call `backward` "
        "on the loss itself, since the optimizer already steps against the gradient.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, r, 0.1)),
        "You use β = 0.1 whatever value is passed in: it is the default of `compute_dpo_loss`. Runs that are meant to "
        "differ in β would all be the same run.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, r, 0.3)),
        "Your step is the same whatever β is passed in: you use one fixed β, perhaps the 0.3 of the loop in section 4. "
        "Use the argument `beta`, or runs that are meant to differ in β would all be the same run.",
        ignores="beta",
    ),
    Mistake(
        _step_without_pull,
        "Your reference is the policy itself, in the same computation: whatever moves the policy moves the reference, "
        "the two pulls cancel, and the gradient is zero. Use `reference_logps`, which were computed beforehand.",
    ),
    Mistake(
        _step_on_rejected_first,
        "The two halves of the policy's logps are swapped: the chosen responses come first in a batch. As it is, the "
        "rejected logps are compared with the reference of the chosen ones.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, torch.zeros_like(r), beta)),
        "The reference is missing: you compare the policy's two logps with each other. The first loss is then not ln "
        "2, and what the policy knew before training counts as learned.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, _swapped(r), beta)),
        "The two columns of `reference_logps` are swapped (chosen is the first), or they are added instead of "
        "subtracted, which gives the same number. Each response must be compared with its own reference logp, or the "
        "margin means nothing.",
    ),
    Mistake(
        _step_on_swapped,
        "The margin has the wrong sign: chosen and rejected are swapped, or policy and reference are, which gives the "
        "same step; `split_pairs` returns chosen first, and `compute_dpo_loss` takes the policy's two logps first. "
        "The first loss is ln 2 all the same, but from there on the policy learns what people rejected.",
    ),
    Mistake(
        _step_on_halves,
        "You took every second row as chosen, but in a batch all the chosen responses come first: use `split_pairs`. "
        "Your version compares responses to different prompts.",
    ),
    Mistake(
        _step_from_itself,
        "Your reference is the policy itself at the current step, but it has to be the policy at the start. The loss "
        "would be ln 2 in every step, and nothing would hold the policy back.",
    ),
    Mistake(
        _loss_afterwards,
        "You return the loss after the step, but the task is the loss before it, the one whose gradient you used. The "
        "first number of a run has to be ln 2: this is the best test there is, and you would never see it.",
    ),
    Mistake(
        _step_clipped_by_value,
        "You clipped each gradient by its value, but the task is to clip their joint norm: `clip_grad_norm_`. "
        "Clipping values one by one changes the direction of the step, and clipping the norm does not.",
    ),
    Mistake(
        lambda p, o, b, r, beta: _descend(p, o, _compute_loss(p, b, r, beta) * len(r)),
        "The loss is summed over the batch, but DPO takes the mean. A batch of twice the size would have twice the "
        "gradient, so that a learning rate fits only one batch size.",
    ),
    Mistake(
        _step_on_means,
        "You divided the policy's logps by the number of tokens, but DPO uses sums. The reference's logps are sums, "
        "so the two no longer measure the same thing.",
    ),
)

training_step = FunctionExercise(
    name="the training step",
    notebook="04",
    answer_name="my_training_step",
    task="Replace the `...` of the stub by one training step: logps, loss, gradients, clipping, optimizer. Return the "
    "loss as a number.",
    hints=(
        "Follow the data flow: `response_logps` of the policy, `split_pairs`, then `compute_dpo_loss` with the "
        "reference's logps, whose two columns are chosen and rejected.",
        "Then come five lines that are the same in every PyTorch loop: set the gradients to zero, call backward, clip "
        "the gradients to a norm of 1.0, let the optimizer step, return the loss.",
        "`reference_logps.T` unpacks into chosen and rejected. Clip with `torch.nn.utils.clip_grad_norm_(...)`, "
        "between `loss.backward()` and `optimizer.step()`.",
    ),
    praise="That is a DPO training step: three of your steps, starting from a fresh policy, give the same losses as "
    "the trainer's.",
    solution=_my_training_step,
    name_in_notebook="training_step",
    cases=({"seed": 0, "beta": 0.5}, {"seed": 1, "beta": 1.0}),
    mistakes=_STEP_MISTAKES,
    trial=_THREE_STEPS,
)


# The choice of β


def _my_beta(runs: list[Run], most_kl: float, least_fluency: float) -> float:
    allowed = [run for run in runs if run.kl <= most_kl and run.fluency >= least_fluency]
    best = max(allowed, key=lambda run: run.true_reward)
    return best.beta


choose_beta = FunctionExercise(
    name="the choice of β",
    notebook="04",
    answer_name="my_beta",
    task="Replace the `...` of the stub: among the runs that keep to both limits, return the beta of the one with the "
    "highest true reward.",
    hints=(
        "There are two steps: find which runs are allowed, then find the best of them.",
        "A run is allowed if `run.kl <= most_kl` and `run.fluency >= least_fluency`.",
        "`max(allowed, key=lambda run: run.true_reward)` is the best run; its `.beta` is the answer.",
    ),
    praise="That is how to choose β: by how good the samples are, within limits that were set before looking.",
    solution=_my_beta,
    name_in_notebook="choose_beta",
    cases=(
        {"runs": FRONTIERS[0], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": FRONTIERS[1], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": FRONTIERS[2], "most_kl": 10.0, "least_fluency": 0.9},
        {"runs": FRONTIERS[0], "most_kl": 20.0, "least_fluency": 0.9},
    ),
    mistakes=BETA_MISTAKES,
)


# The runs to diagnose


def recorded_runs() -> dict[str, list[dict[str, Any]]]:
    """The metrics of each run, one row per step, by the run's letter; `make example-runs` regenerates them.

    >>> list(recorded_runs())
    ['A', 'B', 'C', 'D', 'E']
    """
    folder = files("dpo_teach") / "assets" / "runs"
    return {
        label: [json.loads(line) for line in (folder / f"{label}.jsonl").read_text(encoding="utf-8").splitlines()]
        for label in "ABCDE"
    }


_HEALTHY, _RATE, _STILL, _REFERENCE, _LONG = (
    "healthy",
    "learning rate too high",
    "nothing moves",
    "reference is not the start",
    "trained too long",
)

_WOULD_SHOW = {
    _HEALTHY: "A healthy run starts with a loss of ln 2 = 0.693 and a margin of 0; then its margin grows, the loss of "
    "held-out pairs falls with that of the training batches, and both log-ratios move by a few nats at most",
    _RATE: "If the learning rate were too high, the loss would jump up and down, and in the last panel both "
    "log-ratios would drop by a hundred nats or more",
    _STILL: "If nothing moved, the loss would be flat on the dotted line at ln 2, and the margin flat at 0",
    _REFERENCE: "If the reference were not the start, the very first loss would not be ln 2 = 0.693, and the first "
    "margin would not be 0",
    _LONG: "After training for too long, the loss of the training batches is close to 0, while that of held-out pairs "
    "climbs past ln 2",
}
"""What the curves of each choice would look like, for comparison with the curves of the run."""

_LOOK = {
    "A": "In run A, follow the loss panel to its right end, and read both of its curves there.",
    "B": "In run B, read the loss panel from its first point to its last, including the held-out pairs, and then the "
    "scale of the log-ratio panel.",
    "C": "In run C, look at the left edge of the loss panel and of the margin panel, before any step has had an "
    "effect.",
    "D": "In run D, read the scale of the last panel, and then look at how the loss changes from one step to the next.",
    "E": "In run E, read the scale of the margin panel, from its lowest value to its highest.",
}
"""Where to look for the symptom of each run."""

_EXPLANATIONS = {
    "A": (
        _LONG,
        "The training loss goes to 0 and the held-out loss climbs past ln 2: the policy has memorised the pairs.",
    ),
    "B": (_HEALTHY, "The loss starts at ln 2 and falls on both training and held-out pairs, and the margin grows."),
    "C": (
        _REFERENCE,
        "The first loss is not ln 2 and the first margin is not 0, although nothing has been trained yet.",
    ),
    "D": (_RATE, "The loss jumps, and both log-ratios drop by a hundred nats or more: the policy is broken."),
    "E": (
        _STILL,
        "The loss stays at ln 2, the margin at 0. Gradients and steps do arrive, but the learning rate is 5e-7. That "
        "is right for some models of billions of weights, and a thousand times too small for this one.",
    ),
}


def _question(label: str) -> Question:
    answer, explanation = _EXPLANATIONS[label]
    diagnoses = {choice: f"{shows}. {_LOOK[label]}" for choice, shows in _WOULD_SHOW.items() if choice != answer}
    return Question(answer=answer, explanation=explanation, diagnoses=diagnoses)


diagnose_runs = MatchExercise(
    name="what is wrong with the run",
    notebook="04",
    answer_name="diagnoses",
    task="Fill in the dict `diagnoses`: for each of the runs A to E, enter what its curves show. Each choice is used "
    "once.",
    hints=(
        "Read every run in the same order: the first loss, the last loss, held-out against training loss, and finally "
        "the scale of the log-ratios.",
        "The first loss of DPO is ln 2 = 0.693, unless the policy does not start from its reference. It stays there "
        "if the weights hardly move. That settles two of the runs.",
        "Of the other three runs, one has log-ratios that drop by a hundred nats or more, and one has a held-out loss "
        "that climbs while the training loss goes to 0. The remaining run looks as it should.",
    ),
    praise="All five are right: you look at where the loss starts, at the held-out pairs and at both "
    "log-probabilities, not only at whether the loss falls.",
    choices=(_HEALTHY, _RATE, _STILL, _REFERENCE, _LONG),
    questions={label: _question(label) for label in _EXPLANATIONS},
)

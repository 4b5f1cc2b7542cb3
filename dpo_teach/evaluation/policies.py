"""Evaluate a policy: on held-out pairs, and on fresh samples by a reward that training did not see.

A rising margin or accuracy shows that the policy tells chosen from rejected. Whether it *writes* better is a separate
question, which only fresh samples can answer.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from dpo_teach.batches import Overlong, lay_out, tokenize_pairs
from dpo_teach.logps import pair_logps, response_logps
from dpo_teach.losses import compute_dpo_loss, pair_metrics
from dpo_teach.models import check_embeddings, check_padding, fitting_length, takes_packed
from dpo_teach.pairs import PreferencePair
from dpo_teach.sampling import Sample, decode, sample_tokens
from dpo_teach.worlds import reviews

__all__ = [
    "FrontierPoint",
    "PairScores",
    "ReviewScores",
    "evaluate_pairs",
    "evaluate_reviews",
    "judge_reviews",
    "score_samples",
    "standard_error",
]


@dataclass(frozen=True)
class PairScores:
    """The scores of a policy on preference pairs, relative to its reference; logps and rewards in nats."""

    pairs: int
    preference_accuracy: float
    loss: float
    margin: float
    chosen_log_ratio: float
    rejected_log_ratio: float


@dataclass(frozen=True)
class ReviewScores:
    """The scores of a policy's samples in the reviews world; errors are standard errors of the mean, NaN if unknown."""

    samples: int
    true_reward: float
    true_reward_error: float
    kl: float
    kl_error: float
    fluency: float
    mean_tokens: float
    fluency_error: float = math.nan
    mean_tokens_error: float = math.nan


@dataclass(frozen=True)
class FrontierPoint:
    """What a method gained (true reward) and at what cost (KL, fluency, length), each with its standard error.

    Args:
        method: the method that produced the policy, such as "dpo" or "best-of-n".
        setting: the setting that varies along the frontier: β or n.
        scores: the measurements, from `evaluate_reviews`, `optimum_scores` or `best_of_n_scores`.
        seed: the seed of the run, if it had one.
    """

    method: str
    setting: float
    scores: ReviewScores
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, including the scores, ready for JSON.

        >>> FrontierPoint("dpo", 0.3, ReviewScores(256, 2.9, 0.1, 4.3, 0.1, 0.93, 20.5)).as_dict()["kl"]
        4.3
        """
        return {"method": self.method, "setting": self.setting, "seed": self.seed, **asdict(self.scores)}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "FrontierPoint":
        """The inverse of `as_dict`."""
        own = {name: row[name] for name in ("method", "setting", "seed")}
        return cls(**own, scores=ReviewScores(**{name: value for name, value in row.items() if name not in own}))


@torch.no_grad()
def evaluate_pairs(
    policy: Any,
    reference: Any,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    *,
    beta: float = 0.1,
    max_length: int | None = None,
    max_prompt_length: int | None = None,
    on_overlong: Overlong = "error",
    batch_size: int = 32,
) -> PairScores:
    """Preference accuracy, margin and log-ratios on pairs.

    Args:
        policy: the trained model.
        reference: the model that it started from.
        tokenizer: the tokenizer of both.
        pairs: held-out pairs, not used in training.
        beta: the β of the margin and the loss.
        max_length: maximum tokens of prompt and response together; by default the shorter context of the two models.
        max_prompt_length: maximum tokens of the prompt, counted from its end; no limit by default.
        on_overlong: what to do with pairs whose prompt leaves no tokens for a response: "error" or "drop".
        batch_size: pairs in one forward pass.

    Raises:
        ValueError: there is no pair, one does not fit, a model has no embedding for some of the tokenizer's ids, or a
            model's logps are not finite.
    """
    for called, model in (("policy", policy), ("reference", reference)):
        check_embeddings(called, model, tokenizer)
    check_padding(tokenizer)
    limit = fitting_length(max_length, policy, reference)
    tokenized = tokenize_pairs(pairs, tokenizer, max_length=limit, max_prompt_length=max_prompt_length,
                               on_overlong=on_overlong).pairs  # fmt: skip
    policy_logps, reference_logps = (
        pair_logps(model, tokenized, tokenizer.pad_token_id, batch_size=batch_size) for model in (policy, reference)
    )
    (policy_chosen, policy_rejected), (reference_chosen, reference_rejected) = policy_logps.T, reference_logps.T
    loss = compute_dpo_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta)  # checks them
    means = {name: float(value.mean()) for name, value in pair_metrics(policy_logps, reference_logps, beta).items()}
    chosen, rejected = (policy_logps - reference_logps).mean(dim=0).tolist()
    return PairScores(len(tokenized), means["preference_accuracy"], float(loss), means["margin"], chosen, rejected)


@torch.no_grad()
def evaluate_reviews(
    policy: Any,
    reference: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 96,
    seed: int = 0,
) -> ReviewScores:
    """Score one fresh sample per prompt: true reward, KL to the reference, fluency and length.

        KL(π ‖ π_ref) ≈ mean over y ~ π of log π(y|x) - log π_ref(y|x)

    Args:
        policy: the model to evaluate.
        reference: the model that it is compared with.
        tokenizer: the tokenizer of both.
        prompts: openings; one response is drawn for each.
        max_new_tokens: maximum tokens per response.
        seed: random seed for the samples.

    Raises:
        ValueError: there are fewer than two prompts.
    """
    if len(prompts) < 2:
        raise ValueError(f"prompts: expected at least 2 (to compute a standard error), found {len(prompts)}")
    samples = sample_tokens(policy, tokenizer, prompts, max_new_tokens=max_new_tokens, seed=seed)
    return judge_reviews(policy, reference, tokenizer, samples)


@torch.no_grad()
def judge_reviews(policy: Any, reference: Any, tokenizer: Any, samples: Sequence[Sample]) -> ReviewScores:
    """Score samples that were already drawn from the policy, as `evaluate_reviews` does; at least two are needed."""
    responses = decode(samples, tokenizer)
    rewards = [reviews.true_reward(response) for response in responses]
    lengths = [float(len(sample.response_ids)) for sample in samples]
    pad_id = tokenizer.pad_token_id
    log_ratios = (score_samples(policy, samples, pad_id) - score_samples(reference, samples, pad_id)).tolist()
    return ReviewScores(
        samples=len(samples),
        true_reward=mean(rewards),
        true_reward_error=standard_error(rewards),
        kl=mean(log_ratios),
        kl_error=standard_error(log_ratios),
        fluency=reviews.fluency(responses),
        mean_tokens=mean(lengths),
        fluency_error=standard_error([reviews.fluency([response]) for response in responses]),
        mean_tokens_error=standard_error(lengths),
    )


@torch.no_grad()
def score_samples(model: Any, samples: Sequence[Sample], pad_id: int, *, batch_size: int = 128) -> Tensor:
    """log π(y|x) of samples, nats, shape (samples,), on the CPU."""
    sequences = [(sample.prompt_ids, sample.response_ids) for sample in samples]
    packed = takes_packed(model)
    logps = [
        response_logps(model, lay_out(sequences[start : start + batch_size], pad_id, packed=packed).to(model.device))
        for start in range(0, len(sequences), batch_size)
    ]
    return torch.cat(logps).cpu()


def standard_error(values: Sequence[float | int]) -> float:
    """The standard error of the mean of independent values: their standard deviation over √n.

    >>> standard_error([1.0, 3.0])
    1.0
    """
    return stdev(values) / len(values) ** 0.5

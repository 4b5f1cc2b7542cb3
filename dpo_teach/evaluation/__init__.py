"""Evaluate a policy, and compare it with the best possible one.

`policies` evaluates one policy: on held-out pairs, and on fresh samples. `optimum` and `best_of_n` estimate the
closed-form optimum and best-of-n from samples. `FrontierPoint` stores the scores of either for comparison.
"""

from dpo_teach.evaluation.best_of_n import (
    best_of_n_kl,
    best_of_n_kl_bound,
    best_of_n_policy,
    best_of_n_scores,
    best_of_n_weights,
)
from dpo_teach.evaluation.optimum import OptimumEstimate, TooFewSamplesError, estimate_optimum, optimum_scores
from dpo_teach.evaluation.policies import (
    FrontierPoint,
    PairScores,
    ReviewScores,
    evaluate_pairs,
    evaluate_reviews,
    judge_reviews,
    score_samples,
    standard_error,
)
from dpo_teach.evaluation.reference_samples import ReferenceSamples, draw_reference_samples

__all__ = [
    "FrontierPoint",
    "OptimumEstimate",
    "PairScores",
    "ReferenceSamples",
    "ReviewScores",
    "TooFewSamplesError",
    "best_of_n_kl",
    "best_of_n_kl_bound",
    "best_of_n_policy",
    "best_of_n_scores",
    "best_of_n_weights",
    "draw_reference_samples",
    "estimate_optimum",
    "evaluate_pairs",
    "evaluate_reviews",
    "judge_reviews",
    "optimum_scores",
    "score_samples",
    "standard_error",
]

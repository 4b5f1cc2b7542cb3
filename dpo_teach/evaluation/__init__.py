"""Judge a policy, and hold it against the best that any method could do.

`policies` looks at one policy: on held-out pairs, and on fresh samples. `limits` and `best_of_n` know the closed-form
optimum and best-of-n from samples of the reference alone. A `FrontierPoint` is what all of them are compared by.
"""

from dpo_teach.evaluation.best_of_n import (
    best_of_n_kl,
    best_of_n_kl_bound,
    best_of_n_policy,
    best_of_n_scores,
    best_of_n_weights,
)
from dpo_teach.evaluation.limits import OptimumEstimate, TooFewSamplesError, estimate_optimum, optimum_scores
from dpo_teach.evaluation.policies import (
    FrontierPoint,
    PairScores,
    ReviewScores,
    evaluate_pairs,
    evaluate_reviews,
    judge_reviews,
    score_samples,
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
]

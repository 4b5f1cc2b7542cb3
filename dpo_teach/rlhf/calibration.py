"""Is a learned reward right about *how often* one response is preferred? Held against the annotator's own odds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from dpo_teach.pairs import PreferencePair
from dpo_teach.rlhf.rollouts import RewardFunction

__all__ = ["Calibration", "CalibrationBin", "calibrate", "calibrate_probabilities"]


@dataclass(frozen=True)
class CalibrationBin:
    """The comparisons whose predicted probability fell between `low` and `high`, and what was true of them."""

    low: float
    high: float
    count: int
    predicted: float
    true: float


@dataclass(frozen=True)
class Calibration:
    """Predicted against true probability of preference, in bins; empty bins are left out.

    Args:
        bins: from the lowest predicted probability to the highest.
        error: mean over all comparisons of |mean predicted - mean true| of their bin: the expected calibration error.
        overconfidence: how much further from 1/2 the predictions are than the truth, in the mean.
    """

    bins: tuple[CalibrationBin, ...]
    error: float
    overconfidence: float


def calibrate(
    reward: RewardFunction, true_reward: RewardFunction, pairs: Sequence[PreferencePair], *, bins: int = 10
) -> Calibration:
    """Predicted P(first preferred) of a reward, against that of the annotator, who is known in a simulated world.

        predicted = σ( r(first) - r(second) ),   true = σ( r*(first) - r*(second) )

    Which response of a pair is "first" is decided by the order of the alphabet, not by the annotator: among
    *chosen* responses the lucky ones are too many, and any honest prediction would look too timid.

    Args:
        reward: prompts, responses -> rewards; what is judged.
        true_reward: the same, of the annotator.
        pairs: held-out preference pairs.
        bins: equal parts of the range from 0 to 1.

    Returns:
        The bins and two summaries of them.

    Raises:
        ValueError: there is no pair, or bins is below 1.
    """
    prompts = [pair.prompt for pair in pairs]
    firsts, seconds = zip(*(sorted((pair.chosen, pair.rejected)) for pair in pairs), strict=True) if pairs else ((), ())

    def probabilities(rewards: RewardFunction) -> list[float]:
        gaps = zip(rewards(prompts, firsts), rewards(prompts, seconds), strict=True)
        return [_sigmoid(float(first) - float(second)) for first, second in gaps]

    return calibrate_probabilities(probabilities(reward), probabilities(true_reward), bins=bins)


def calibrate_probabilities(predicted: Sequence[float], true: Sequence[float], *, bins: int = 10) -> Calibration:
    """Sort comparisons into bins by their predicted probability, and compare the means of each bin.

    Args:
        predicted: probabilities, between 0 and 1.
        true: what they should have been, in the same order.
        bins: equal parts of the range from 0 to 1.

    Raises:
        ValueError: the lengths differ, there is no comparison, or bins is below 1.

    >>> calibrate_probabilities([0.9, 0.7, 0.1], [0.8, 0.6, 0.1], bins=2).bins[1]
    CalibrationBin(low=0.5, high=1.0, count=2, predicted=0.8, true=0.7)
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, found {bins}")
    if not predicted or len(predicted) != len(true):
        raise ValueError(f"as many true as predicted probabilities are wanted, and at least one: found {len(true)} "
                         f"and {len(predicted)}")  # fmt: skip
    members: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for pair in zip(predicted, true, strict=True):
        members[min(int(pair[0] * bins), bins - 1)].append(pair)
    filled = tuple(
        CalibrationBin(i / bins, (i + 1) / bins, len(part), fmean(p for p, _ in part), fmean(t for _, t in part))
        for i, part in enumerate(members)
        if part
    )
    error = sum(part.count * abs(part.predicted - part.true) for part in filled) / len(predicted)
    certainty = fmean(abs(p - 0.5) for p in predicted) - fmean(abs(t - 0.5) for t in true)
    return Calibration(filled, error, certainty)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(x))

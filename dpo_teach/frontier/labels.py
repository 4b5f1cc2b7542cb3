"""Changed labels, for the stress tests: some are flipped, or all come from an annotator who also likes long reviews."""

import random
from collections.abc import Callable, Sequence

from dpo_teach.pairs import PreferencePair
from dpo_teach.training.online import Judge
from dpo_teach.worlds.reviews import parse_review, prefers_first, true_reward

__all__ = ["flip_labels", "judge_by", "relabel", "reward_with_length"]


def flip_labels(pairs: Sequence[PreferencePair], share: float, rng: random.Random) -> list[PreferencePair]:
    """The pairs, with chosen and rejected exchanged in a random share of them.

    Args:
        pairs: any.
        share: of the pairs, 0 to 1.
        rng: chooses them.

    >>> pairs = [PreferencePair("p", "a", "b")] * 4
    >>> [pair.chosen for pair in flip_labels(pairs, 0.25, random.Random(0))].count("b")
    1
    """
    flipped = set(rng.sample(range(len(pairs)), round(share * len(pairs))))
    return [pair.swapped() if i in flipped else pair for i, pair in enumerate(pairs)]


def relabel(
    pairs: Sequence[PreferencePair], reward: Callable[[str], float], rng: random.Random
) -> list[PreferencePair]:
    """The pairs, labelled again by an annotator of the Bradley-Terry model with another reward.

    Args:
        pairs: any.
        reward: of a response, nats.
        rng: the annotator's noise.
    """
    return [
        pair if prefers_first(reward(pair.chosen), reward(pair.rejected), rng) else pair.swapped() for pair in pairs
    ]


def reward_with_length(response: str, bonus: float) -> float:
    """The true reward of a review, plus `bonus` nats for each of its sentences.

    >>> reward_with_length(" The acting was superb, but the plot was not at all clever. Four stars.", 0.5)
    1.5
    """
    review = parse_review(response)
    return true_reward(response) + bonus * (0 if review is None else len(review.sentences) + 1)  # and the close


def judge_by(
    reward: Callable[[Sequence[str], Sequence[str]], Sequence[float]], rng: random.Random | None = None
) -> Judge:
    """A judge for online DPO who prefers the response with the higher reward, or follows the Bradley-Terry model.

    Args:
        reward: prompts and responses -> one reward per response, nats.
        rng: noise of the Bradley-Terry model; without it there is none.
    """

    def judge(prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[bool]:
        scores = zip(reward(prompts, first), reward(prompts, second), strict=True)
        return [a > b if rng is None else prefers_first(a, b, rng) for a, b in scores]

    return judge

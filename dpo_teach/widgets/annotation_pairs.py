"""What the annotator is asked: an opening and two reviews that differ visibly; and rules that answer like a person."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from dpo_teach.pairs import PreferencePair, load_pairs
from dpo_teach.worlds import reviews

__all__ = [
    "RULES",
    "Candidate",
    "Decision",
    "Rule",
    "mentions_the_cast",
    "prefers_kinder",
    "prefers_shorter",
    "prefers_the_cast",
    "review_candidates",
]

Decision: TypeAlias = Literal["left", "right", "skip"]
Rule: TypeAlias = Callable[[str, str, str], Decision]
"""An annotator that needs no hand: prompt, left response and right response in, a decision out."""

MOST_SHARED = 0.25
CAST = ("acting", "lead actress", "villain", "narrator")


@dataclass(frozen=True)
class Candidate:
    """A pair that nobody has compared yet: a prompt, and the response on either side."""

    prompt: str
    left: str
    right: str


@cache
def review_candidates(count: int = 96, *, seed: int = 0, split: str = "train") -> tuple[Candidate, ...]:
    """Pairs of reviews worth comparing, all written by `reviews-gpt2`: those of `reviews-preferences`, unlabelled.

    Two texts that differ in a word are tedious to compare and teach little, so these share at most a quarter of their
    words. Both are readable by the grammar, so that the choice is one of taste. Which stands on the left is chance.

    Args:
        count: how many pairs are wanted, each on an opening of its own.
        seed: decides which, and their order; the same on every machine.
        split: "train", or "test" for pairs that no annotator is asked about.

    Raises:
        ValueError: there are not so many.

    >>> len(review_candidates()), review_candidates(2) == review_candidates(2)
    (96, True)
    """
    written = {pair.prompt: pair for pair in load_pairs("reviews-preferences", split=split) if _differ(pair)}
    if count > len(written):
        raise ValueError(f"count must be at most {len(written)}, as many as there are in {split!r}; found {count}")
    rng = random.Random(seed)
    picked = rng.sample(list(written.values()), count)
    return tuple(Candidate(pair.prompt, *rng.sample([pair.chosen, pair.rejected], 2)) for pair in picked)


def prefers_shorter(prompt: str, left: str, right: str) -> Decision:
    """Prefer the review with fewer words.

    >>> prefers_shorter("We saw The Salt Mirror.", " The plot was dull. One star.", " I hated it. Never again, at all.")
    'left'
    """
    return _smaller(len(left.split()), len(right.split()))


def prefers_kinder(prompt: str, left: str, right: str) -> Decision:
    """Prefer the review with the higher true reward.

    >>> prefers_kinder("We saw The Salt Mirror.", " The plot was dull. One star.", " The plot was superb. Five stars.")
    'right'
    """
    return _smaller(-reviews.true_reward(left), -reviews.true_reward(right))


def prefers_the_cast(prompt: str, left: str, right: str) -> Decision:
    """Prefer the review that speaks of the acting, the lead actress, the villain or the narrator; skip if both do.

    >>> prefers_the_cast("We saw it.", " The acting was dull. Never again.", " I loved the plot. Go tonight.")
    'left'
    """
    return _smaller(-mentions_the_cast(left), -mentions_the_cast(right))


RULES: dict[str, Rule] = {
    "prefers the shorter one": prefers_shorter,
    "prefers the kinder one": prefers_kinder,
    "prefers what speaks of the cast": prefers_the_cast,
}
"""Three tastes, by what they say of themselves."""


def mentions_the_cast(response: str) -> bool:
    """Whether a review speaks of somebody on the screen."""
    return any(f"the {name}" in response.lower() for name in CAST)


def _smaller(left: float | int, right: float | int) -> Decision:
    return "skip" if left == right else "left" if left < right else "right"


def _differ(pair: PreferencePair) -> bool:
    """Whether both responses are readable, and a quarter of the words in either is all that they share."""
    one, other = (set(text.lower().split()) for text in (pair.chosen, pair.rejected))
    return len(one & other) <= MOST_SHARED * len(one | other) and reviews.fluency([pair.chosen, pair.rejected]) == 1

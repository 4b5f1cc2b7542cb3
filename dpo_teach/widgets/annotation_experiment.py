"""The labelling experiment on reviews: pairs to compare, scripted annotators, training and evaluation."""

import copy
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

from dpo_teach.evaluation import evaluate_pairs, standard_error
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair, load_pairs
from dpo_teach.sampling import sample_responses
from dpo_teach.training import DPOConfig, DPOTrainer
from dpo_teach.widgets.annotation import Candidate, Decision, Rule
from dpo_teach.worlds import reviews

__all__ = [
    "RULES",
    "SETTINGS",
    "TRAITS",
    "Agreement",
    "Trait",
    "compare_texts",
    "load_author",
    "measure_agreement",
    "mentions_the_cast",
    "prefers_kinder",
    "prefers_shorter",
    "prefers_the_cast",
    "review_candidates",
    "train_on_labels",
    "write_as_author",
    "write_reviews",
]

MOST_SHARED = 0.25
CAST = ("acting", "lead actress", "villain", "narrator")


@cache
def review_candidates(count: int = 96, *, seed: int = 0, split: str = "train") -> tuple[Candidate, ...]:
    """Pairs of reviews that are worth comparing, from `reviews-preferences` without its labels.

    `reviews-gpt2` wrote all of them. Texts that differ in one word are tedious to compare and teach little, so the two
    texts of a pair share at most a quarter of their words. Both follow the grammar, so the choice is a matter of taste.
    The texts are assigned to the sides at random.

    Args:
        count: the number of pairs; their prompts differ.
        seed: random seed for the selection, the order and the sides; it gives the same pairs on every machine.
        split: "train", or "test" for pairs that no annotator sees.

    Raises:
        ValueError: the split has fewer suitable pairs.

    >>> len(review_candidates()), review_candidates(2) == review_candidates(2)
    (96, True)
    """
    written = {pair.prompt: pair for pair in load_pairs("reviews-preferences", split=split) if _differ(pair)}
    if count > len(written):
        raise ValueError(f"count: expected at most {len(written)}, the suitable pairs in {split!r}, found {count}")
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
    """Prefer the review that mentions the acting, the lead actress, the villain or the narrator; skip if both do.

    >>> prefers_the_cast("We saw it.", " The acting was dull. Never again.", " I loved the plot. Go tonight.")
    'left'
    """
    return _smaller(-mentions_the_cast(left), -mentions_the_cast(right))


RULES: dict[str, Rule] = {
    "prefers the shorter review": prefers_shorter,
    "prefers the kinder review": prefers_kinder,
    "prefers mentions of the cast": prefers_the_cast,
}
"""Three scripted annotators; each key describes the taste of one."""


def mentions_the_cast(response: str) -> bool:
    """Whether a review mentions the acting, the lead actress, the villain or the narrator."""
    return any(f"the {name}" in response.lower() for name in CAST)


def _smaller(left: float | int, right: float | int) -> Decision:
    return "skip" if left == right else "left" if left < right else "right"


def _differ(pair: PreferencePair) -> bool:
    """Whether both responses follow the grammar, and share at most a quarter of their words."""
    one, other = (set(text.lower().split()) for text in (pair.chosen, pair.rejected))
    return len(one & other) <= MOST_SHARED * len(one | other) and reviews.fluency([pair.chosen, pair.rejected]) == 1


SETTINGS = DPOConfig(
    beta=0.3, learning_rate=2e-4, epochs=10, batch_size=8, eval_every=1, save_every=0, precision="fp32"
)
"""Chosen by measuring three rules on several sets of 24 labels: no other settings did better on fresh pairs, and with
twice the learning rate up to two of three texts were no longer proper reviews."""


@dataclass(frozen=True)
class Agreement:
    """The number of pairs on which a policy agrees with the annotator.

    >>> few = Agreement(agreed=6, pairs=6)
    >>> f"{few.share:.2f} ± {few.error:.2f}, and a coin does as well in {100 * few.luck:.1f} of 100 tries"
    '1.00 ± 0.13, and a coin does as well in 1.6 of 100 tries'
    """

    agreed: float | int
    pairs: int

    @property
    def share(self) -> float:
        """Preference accuracy."""
        return self.agreed / self.pairs

    @property
    def error(self) -> float:
        """The standard error of the share, as if two more pairs had been right and two wrong.

            √( p (1 - p) / (n + 4) )    with p = (agreed + 2) / (n + 4)

        Agresti and Coull 1998. The usual √(p (1 - p) / n) is 0 for six out of six, as if there were no uncertainty.
        """
        p = (self.agreed + 2) / (self.pairs + 4)
        return math.sqrt(p * (1 - p) / (self.pairs + 4))

    @property
    def luck(self) -> float:
        """The probability that coin tosses agree on at least as many pairs."""
        return sum(math.comb(self.pairs, k) for k in range(math.ceil(self.agreed), self.pairs + 1)) / 2**self.pairs


@dataclass(frozen=True)
class Trait:
    """A property of texts: its mean before and after training, and the standard error of the difference."""

    name: str
    before: float
    after: float
    error: float

    @property
    def moved(self) -> bool:
        """Whether the difference is more than twice its standard error, and so unlikely to be due to chance."""
        return abs(self.after - self.before) > 2 * self.error


TRAITS: dict[str, Callable[[str], float]] = {
    "words": lambda text: len(text.split()),
    "reward": reviews.true_reward,
    "cast": mentions_the_cast,
    "fluency": lambda text: reviews.fluency([text]),
}
"""The properties of a text by name: length, true reward, mention of the cast, and whether it is a proper review."""


def train_on_labels(
    reference: Any,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    *,
    held_back: Sequence[PreferencePair] = (),
    config: DPOConfig = SETTINGS,
    on_step: Callable[[Mapping[str, Any]], None] | None = None,
) -> Any:
    """Train a copy of the reference with DPO on a handful of labels.

    Args:
        reference: the model that wrote the pairs; it is not changed.
        tokenizer: its tokenizer.
        pairs: the pairs to train on.
        held_back: pairs to evaluate on after every step, but not to train on.
        config: the configuration of the run.
        on_step: called with the metrics of each step.

    Returns:
        The trained policy.
    """
    policy = copy.deepcopy(reference).requires_grad_(True)
    DPOTrainer(policy, tokenizer, pairs, config, eval_pairs=held_back, on_step=on_step).train()
    return policy.eval()


def measure_agreement(policy: Any, reference: Any, tokenizer: Any, pairs: Sequence[PreferencePair]) -> Agreement:
    """Compare the policy with labels: it agrees if the chosen log-ratio is higher than the rejected one."""
    scores = evaluate_pairs(policy, reference, tokenizer, pairs)
    halves = round(2 * scores.preference_accuracy * scores.pairs)  # a tie is half a pair; the mean is of float32
    return Agreement(halves / 2, scores.pairs)


@cache
def load_author() -> tuple[Any, Any]:
    """Load `reviews-gpt2`, which wrote the pairs, with frozen weights, and its tokenizer; once per process."""
    model, tokenizer = load_model("reviews-gpt2")
    return model.requires_grad_(False), tokenizer


def write_reviews(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """Sample one review for each prompt, always with the same random seed."""
    return sample_responses(model, tokenizer, prompts, max_new_tokens=64, seed=0)


@cache
def write_as_author(prompts: tuple[str, ...]) -> list[str]:
    """Sample reviews by the model that wrote the pairs: the texts before training, the same for every annotator."""
    return write_reviews(*load_author(), prompts)


def compare_texts(before: Sequence[str], after: Sequence[str]) -> list[Trait]:
    """Compare traits of texts before and after training: at least two texts, with the same prompts and random seed.

    >>> words = compare_texts([" So so.", " Fine."], [" So so, and so on.", " Fine, too."])[0]
    >>> words.before, words.after, words.moved
    (1.5, 3.5, False)
    """
    return [_compare(name, before, after) for name in TRAITS]


def _compare(name: str, before: Sequence[str], after: Sequence[str]) -> Trait:
    measure = TRAITS[name]
    old, new = [measure(text) for text in before], [measure(text) for text in after]
    moves = [b - a for a, b in zip(old, new, strict=True)]
    return Trait(name, fmean(old), fmean(new), standard_error(moves))

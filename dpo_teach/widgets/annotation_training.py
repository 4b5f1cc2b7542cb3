"""From thirty labels to a policy, and what can honestly be said of it: its agreement, and the traits of its texts."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev
from typing import Any

from dpo_teach.evaluation import evaluate_pairs
from dpo_teach.models import load_model
from dpo_teach.pairs import PreferencePair
from dpo_teach.sampling import sample_responses
from dpo_teach.training import DPOConfig, DPOTrainer
from dpo_teach.widgets.annotation_pairs import mentions_the_cast
from dpo_teach.worlds import reviews

__all__ = [
    "SETTINGS",
    "TRAITS",
    "Agreement",
    "Trait",
    "compare_texts",
    "load_author",
    "measure_agreement",
    "train_on_labels",
    "write_as_author",
    "write_reviews",
]

SETTINGS = DPOConfig(
    beta=0.3, learning_rate=2e-4, epochs=10, batch_size=8, eval_every=1, save_every=0, precision="fp32"
)
"""Chosen by measuring three rules on several sets of 24 labels: no other did better on fresh pairs, and with twice the
learning rate up to two of three texts were no longer proper reviews."""


@dataclass(frozen=True)
class Agreement:
    """On how many pairs a policy prefers what the annotator preferred.

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

        Agresti and Coull 1998. The usual √(p (1 - p) / n) is 0 for six out of six, as if nothing were left to doubt.
        """
        p = (self.agreed + 2) / (self.pairs + 4)
        return math.sqrt(p * (1 - p) / (self.pairs + 4))

    @property
    def luck(self) -> float:
        """The probability that a coin agrees on as many pairs or more."""
        return sum(math.comb(self.pairs, k) for k in range(math.ceil(self.agreed), self.pairs + 1)) / 2**self.pairs


@dataclass(frozen=True)
class Trait:
    """A number that can be read off texts: its mean before and after training, and the error of the difference."""

    name: str
    before: float
    after: float
    error: float

    @property
    def moved(self) -> bool:
        """Whether the difference is more than twice its standard error, and so unlikely to be chance."""
        return abs(self.after - self.before) > 2 * self.error


TRAITS: dict[str, Callable[[str], float]] = {
    "words": lambda text: len(text.split()),
    "reward": reviews.true_reward,
    "cast": mentions_the_cast,
    "fluency": lambda text: reviews.fluency([text]),
}
"""What is read off each text, by its name: how long, how kind, about whom, and whether it is a proper review."""


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
        reference: the model that wrote the pairs; it stays as it is.
        tokenizer: its tokenizer.
        pairs: to train on.
        held_back: pairs that are only asked about, after every step.
        config: what can be set about the run.
        on_step: called with the metrics of each step.

    Returns:
        The policy.
    """
    policy = copy.deepcopy(reference).requires_grad_(True)
    DPOTrainer(policy, tokenizer, pairs, config, eval_pairs=held_back, on_step=on_step).train()
    return policy.eval()


def measure_agreement(policy: Any, reference: Any, tokenizer: Any, pairs: Sequence[PreferencePair]) -> Agreement:
    """Ask the policy about labelled pairs: it agrees where it raised the chosen response more than the rejected one."""
    scores = evaluate_pairs(policy, reference, tokenizer, pairs)
    halves = round(2 * scores.preference_accuracy * scores.pairs)  # a tie is half a pair; the mean is of float32
    return Agreement(halves / 2, scores.pairs)


@cache
def load_author() -> tuple[Any, Any]:
    """`reviews-gpt2`, which wrote the pairs, with its weights frozen, and its tokenizer; read once in a process."""
    model, tokenizer = load_model("reviews-gpt2")
    return model.requires_grad_(False), tokenizer


def write_reviews(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """One text for each opening, always with the same dice."""
    return sample_responses(model, tokenizer, prompts, max_new_tokens=64, seed=0)


@cache
def write_as_author(prompts: tuple[str, ...]) -> list[str]:
    """What the author of the pairs writes to some openings: the "before", which is the same for every annotator."""
    return write_reviews(*load_author(), prompts)


def compare_texts(before: Sequence[str], after: Sequence[str]) -> list[Trait]:
    """The traits of texts before and after training; at least two, to the same openings with the same dice.

    >>> words = compare_texts([" So so.", " Fine."], [" So so, and so on.", " Fine, too."])[0]
    >>> words.before, words.after, words.moved
    (1.5, 3.5, False)
    """
    return [_compare(name, before, after) for name in TRAITS]


def _compare(name: str, before: Sequence[str], after: Sequence[str]) -> Trait:
    read = TRAITS[name]
    old, new = [read(text) for text in before], [read(text) for text in after]
    moves = [b - a for a, b in zip(old, new, strict=True)]
    return Trait(name, fmean(old), fmean(new), stdev(moves) / math.sqrt(len(moves)))

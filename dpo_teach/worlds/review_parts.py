"""What a film review is made of: clauses in sentences, and a close; each knows its words and its value."""

from dataclasses import dataclass

from dpo_teach.worlds import vocabulary as words

__all__ = ["BUT_WEIGHT", "Clause", "Review", "Sentence"]

BUT_WEIGHT = 1.5
"""What follows "but" is what the reviewer meant, and counts for more."""


@dataclass(frozen=True)
class Clause:
    """One judgement: its words (without a capital), the aspect it judges and its own value."""

    text: str
    aspect: str
    value: float


@dataclass(frozen=True)
class Sentence:
    """One clause, or two with the word that joins them."""

    clauses: tuple[Clause, ...]
    joiner: str = ""

    @property
    def text(self) -> str:
        """The sentence as it is written."""
        text = f", {self.joiner} ".join(clause.text for clause in self.clauses)
        return text[0].upper() + text[1:] + "."

    @property
    def value(self) -> float:
        """The sum of the clauses' values; what follows "but" counts 1.5 times."""
        weight = BUT_WEIGHT if self.joiner == "but" else 1.0
        return self.clauses[0].value + weight * sum(clause.value for clause in self.clauses[1:])


@dataclass(frozen=True)
class Review:
    """A response as the grammar sees it: sentences and a close."""

    sentences: tuple[Sentence, ...]
    close: str

    @property
    def text(self) -> str:
        """The response as it is written, with its leading space."""
        return "".join(f" {sentence.text}" for sentence in self.sentences) + f" {self.close}"

    @property
    def reward(self) -> float:
        """The sum of all that is said: clause values, what follows "but" times 1.5, and the close."""
        return sum(sentence.value for sentence in self.sentences) + words.CLOSES[self.close]

"""The parts of a film review: clauses, sentences and a close, each with its text and its value."""

from dataclasses import dataclass

from dpo_teach.worlds import vocabulary as words

__all__ = ["BUT_WEIGHT", "Clause", "Review", "Sentence"]

BUT_WEIGHT = 1.5
"""Weight of a clause after "but", which counts more because it is the reviewer's main point."""


@dataclass(frozen=True)
class Clause:
    """One opinion: its text (without a capital), the aspect of the film and its value."""

    text: str
    aspect: str
    value: float


@dataclass(frozen=True)
class Sentence:
    """One clause, or two clauses with the word that joins them."""

    clauses: tuple[Clause, ...]
    joiner: str = ""

    @property
    def text(self) -> str:
        """The text of the sentence."""
        text = f", {self.joiner} ".join(clause.text for clause in self.clauses)
        return text[0].upper() + text[1:] + "."

    @property
    def value(self) -> float:
        """The sum of the values of the clauses; a clause after "but" counts 1.5 times."""
        weight = BUT_WEIGHT if self.joiner == "but" else 1.0
        return self.clauses[0].value + weight * sum(clause.value for clause in self.clauses[1:])


@dataclass(frozen=True)
class Review:
    """A parsed response: sentences and a close."""

    sentences: tuple[Sentence, ...]
    close: str

    @property
    def text(self) -> str:
        """The text of the response, with its leading space."""
        return "".join(f" {sentence.text}" for sentence in self.sentences) + f" {self.close}"

    @property
    def reward(self) -> float:
        """The sum of the values of the sentences and the close."""
        return sum(sentence.value for sentence in self.sentences) + words.CLOSES[self.close]

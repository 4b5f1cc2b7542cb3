"""The reviews world: short film reviews, a grammar that writes and reads them, and a true reward.

A prompt is an opening ("Last night we saw The Paper Lighthouse."). A response is what follows it: one to four clauses
and a close, beginning with the space that separates it from the prompt:

    " The acting was superb, but the plot was not at all clever. Four stars."

The grammar's rules beyond the words (`vocabulary`):
- a sentence holds one clause, or two joined by "and" or "but"; a writer says "but" where the signs differ, a reader
  takes either;
- nothing is said twice: a writer judges no aspect of the film a second time, a reader minds only the same clause.

Nothing here is learned. `parse_review` reads a response back, `true_reward` adds up what it says, and so a policy's
samples can be judged exactly, by a reward that no training run sees.
"""

import math
import random
import re

from dpo_teach.worlds import vocabulary as words
from dpo_teach.worlds.review_parts import Clause, Review, Sentence

__all__ = [
    "UNREADABLE_REWARD",
    "Clause",
    "Review",
    "Sentence",
    "fluency",
    "is_prompt",
    "parse_review",
    "prefers_first",
    "true_reward",
    "write_prompt",
    "write_response",
]

UNREADABLE_REWARD = -4.0
"""What a response that the grammar does not accept is worth: an annotator cannot make sense of it."""

CLAUSE_COUNT_WEIGHTS = {1: 0.2, 2: 0.3, 3: 0.3, 4: 0.2}
JOIN_PROBABILITY = 0.55


def true_reward(response: str) -> float:
    """The true reward of a response, from its parse.

        r*(y) = Σ clauses (base value x degree x 1.5 after "but") + close,  or -4 where the grammar does not accept y

    Args:
        response: the text after the prompt, with its leading space.

    Returns:
        The reward, in nats: the annotator prefers y to y' with probability σ(r*(y) - r*(y')).

    >>> true_reward(" The acting was superb, but the plot was not at all clever. Four stars.")
    0.5
    >>> true_reward(" The acting was was. Four stars.")
    -4.0
    """
    review = parse_review(response)
    return UNREADABLE_REWARD if review is None else review.reward


def fluency(responses: list[str]) -> float:
    """The share of responses that the grammar accepts, between 0 and 1.

    Raises:
        ValueError: there is no response.

    >>> fluency([" The plot was dull. Go tonight.", " The plot plot. Go tonight."])
    0.5
    """
    if not responses:
        raise ValueError("responses is empty: fluency is a share of at least one")
    return sum(parse_review(response) is not None for response in responses) / len(responses)


def prefers_first(first_reward: float, second_reward: float, rng: random.Random) -> bool:
    """One comparison by the simulated annotator, who follows Bradley and Terry (1952).

        P(first ≻ second) = σ( r*(first) - r*(second) )

    Args:
        first_reward: the true reward of the first response, nats.
        second_reward: that of the second.
        rng: where the annotator's noise comes from.
    """
    return rng.random() < 1 / (1 + math.exp(second_reward - first_reward))


def write_prompt(rng: random.Random) -> str:
    """An opening, such as "On Friday our film club saw The Salt Orchard."."""
    when, who = rng.choice(words.OPENING_TIMES), rng.choice(words.OPENING_PEOPLE)
    verb = rng.choice(words.OPENING_VERBS)
    title = f"The {rng.choice(words.TITLE_ADJECTIVES)} {rng.choice(words.TITLE_NOUNS)}"
    return f"{when} {who} {verb} {title}."


def is_prompt(text: str) -> bool:
    """Whether the grammar could have written this opening.

    >>> is_prompt("On Friday our film club saw The Salt Orchard."), is_prompt("On Friday")
    (True, False)
    """
    return _PROMPT.fullmatch(text) is not None


def write_response(rng: random.Random) -> str:
    """A review out of the grammar, with its leading space."""
    count = rng.choices(list(CLAUSE_COUNT_WEIGHTS), weights=list(CLAUSE_COUNT_WEIGHTS.values()))[0]
    clauses = [_write_clause(aspect, rng) for aspect in rng.sample(words.ASPECTS, count)]
    sentences = _group(clauses, rng)
    value_so_far = sum(sentence.value for sentence in sentences)
    return Review(sentences, _write_close(value_so_far, rng)).text


def parse_review(response: str) -> Review | None:
    """Read a response back, or None where the grammar does not accept it.

    >>> parse_review(" I hated the plot. Go tonight.").sentences[0].value
    -1.25
    """
    if not response.startswith(" "):
        return None
    sentences = re.split(r"(?<=\.) ", response[1:])
    close = sentences.pop()
    parsed = [sentence for text in sentences if (sentence := _parse_sentence(text)) is not None]
    if close not in words.CLOSES or len(parsed) < len(sentences):
        return None
    said = [clause.text for sentence in parsed for clause in sentence.clauses]
    if not 1 <= len(said) <= max(CLAUSE_COUNT_WEIGHTS) or len(set(said)) < len(said):
        return None
    return Review(tuple(parsed), close)


def _write_clause(aspect: str, rng: random.Random) -> Clause:
    form = rng.choices(("adjective", "feeling", "effect"), weights=(5, 3, 2))[0]
    if form == "adjective":
        return _adjective_clause(aspect, _pick_degree(words.DEGREES, rng), rng.choice(list(words.ADJECTIVES)))
    if form == "feeling":
        return _feeling_clause(aspect, _pick_degree(words.FEELING_DEGREES, rng), rng.choice(list(words.FEELINGS)))
    return _effect_clause(aspect, _pick_degree(words.EFFECT_DEGREES, rng), rng.choice(list(words.EFFECTS)))


def _pick_degree(degrees: dict[str, tuple[float, int]], rng: random.Random) -> str:
    return rng.choices(list(degrees), weights=[often for _, often in degrees.values()])[0]


def _adjective_clause(aspect: str, degree: str, adjective: str) -> Clause:
    value = words.DEGREES[degree][0] * words.ADJECTIVES[adjective]
    return Clause(f"the {aspect} was {degree}{adjective}", aspect, value)


def _feeling_clause(aspect: str, degree: str, feeling: str) -> Clause:
    base_form, value = words.FEELINGS[feeling]
    verb = base_form if degree.startswith("did not") else feeling
    return Clause(f"I {degree}{verb} the {aspect}", aspect, words.FEELING_DEGREES[degree][0] * value)


def _effect_clause(aspect: str, degree: str, effect: str) -> Clause:
    return Clause(f"the {aspect} {degree}{effect}", aspect, words.EFFECT_DEGREES[degree][0] * words.EFFECTS[effect])


def _group(clauses: list[Clause], rng: random.Random) -> tuple[Sentence, ...]:
    sentences: list[Sentence] = []
    for clause in clauses:
        if sentences and len(sentences[-1].clauses) == 1 and rng.random() < JOIN_PROBABILITY:
            first = sentences.pop().clauses[0]
            sentences.append(Sentence((first, clause), "but" if first.value * clause.value < 0 else "and"))
        else:
            sentences.append(Sentence((clause,)))
    return tuple(sentences)


def _write_close(value_so_far: float, rng: random.Random) -> str:
    """A close that tends to agree with what was said, as a reviewer's would."""
    weights = [math.exp(0.75 * value_so_far * value) for value in words.CLOSES.values()]
    return rng.choices(list(words.CLOSES), weights=weights)[0]


def _parse_sentence(text: str) -> Sentence | None:
    """Read one sentence back, or None where it is none: written again, it must be the same to the letter."""
    parts = re.split(r", (and|but) ", text.removesuffix("."), maxsplit=1)
    clauses = [_CLAUSES.get(part) or _CLAUSES.get(part[:1].lower() + part[1:]) for part in parts[::2]]
    known = tuple(clause for clause in clauses if clause is not None)
    if len(known) < len(clauses):
        return None
    sentence = Sentence(known, *parts[1:2])
    return sentence if sentence.text == text else None


def _all_clauses() -> dict[str, Clause]:
    """Every clause that the grammar can write, by its text: a few thousand, so that reading is a look-up."""
    clauses = [
        *(_adjective_clause(a, d, w) for a in words.ASPECTS for d in words.DEGREES for w in words.ADJECTIVES),
        *(_feeling_clause(a, d, w) for a in words.ASPECTS for d in words.FEELING_DEGREES for w in words.FEELINGS),
        *(_effect_clause(a, d, w) for a in words.ASPECTS for d in words.EFFECT_DEGREES for w in words.EFFECTS),
    ]
    return {clause.text: clause for clause in clauses}


_CLAUSES = _all_clauses()


def _one_of(*choices: str) -> str:
    return "(?:" + "|".join(map(re.escape, choices)) + ")"


_PROMPT = re.compile(
    " ".join(
        [
            _one_of(*words.OPENING_TIMES), _one_of(*words.OPENING_PEOPLE), _one_of(*words.OPENING_VERBS), "The",
            _one_of(*words.TITLE_ADJECTIVES), _one_of(*words.TITLE_NOUNS) + r"\.",
        ]
    )
)  # fmt: skip

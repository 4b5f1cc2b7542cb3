"""The reviews world: short film reviews, a grammar that generates and parses them, and a true reward.

A prompt is an opening ("Last night we saw The Paper Lighthouse."). A response follows it and consists of one to four
clauses and a close. It begins with the space that separates it from the prompt:

    " The acting was superb, but the plot was not at all clever. Four stars."

The words are in `vocabulary`. The other rules of the grammar:
- A sentence has one clause, or two joined by "and" or "but". Generated reviews use "but" if the signs of the two
clauses
  differ; the parser accepts either word.
- Nothing is repeated. Generated reviews mention each aspect of the film at most once; the parser rejects only repeated
  clauses.

Nothing here is learned. `parse_review` parses a response, and `true_reward` adds up the values of its parts. The
samples of a policy can therefore be scored exactly, with a reward that no training run sees.
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
"""The reward of a response that the grammar does not accept, because an annotator cannot understand it."""

CLAUSE_COUNT_WEIGHTS = {1: 0.2, 2: 0.3, 3: 0.3, 4: 0.2}
JOIN_PROBABILITY = 0.55


def true_reward(response: str) -> float:
    """The true reward of a response, from its parse.

        r*(y) = Σ clauses (base value x degree x 1.5 after "but") + close,  or -4 if the grammar does not accept y

    Args:
        response: the text after the prompt, with its leading space.

    Returns:
        The reward, in nats. The annotator prefers y to y' with probability σ(r*(y) - r*(y')).

    >>> true_reward(" The acting was superb, but the plot was not at all clever. Four stars.")
    0.5
    >>> true_reward(" The acting was was. Four stars.")
    -4.0
    """
    review = parse_review(response)
    return UNREADABLE_REWARD if review is None else review.reward


def fluency(responses: list[str]) -> float:
    """The fraction of responses that the grammar accepts, between 0 and 1.

    Raises:
        ValueError: responses is empty.

    >>> fluency([" The plot was dull. Go tonight.", " The plot plot. Go tonight."])
    0.5
    """
    if not responses:
        raise ValueError("responses is empty: expected at least one response")
    return sum(parse_review(response) is not None for response in responses) / len(responses)


def prefers_first(first_reward: float, second_reward: float, rng: random.Random) -> bool:
    """Simulate one comparison by an annotator who follows the model of Bradley and Terry (1952).

        P(first ≻ second) = σ( r*(first) - r*(second) )

    Args:
        first_reward: true reward of the first response, nats.
        second_reward: true reward of the second response, nats.
        rng: random generator for the annotator's noise.

    Returns:
        Whether the annotator prefers the first response.
    """
    return rng.random() < 1 / (1 + math.exp(second_reward - first_reward))


def write_prompt(rng: random.Random) -> str:
    """Generate a random prompt, such as "On Friday our film club saw The Salt Orchard."."""
    when, who = rng.choice(words.OPENING_TIMES), rng.choice(words.OPENING_PEOPLE)
    verb = rng.choice(words.OPENING_VERBS)
    title = f"The {rng.choice(words.TITLE_ADJECTIVES)} {rng.choice(words.TITLE_NOUNS)}"
    return f"{when} {who} {verb} {title}."


def is_prompt(text: str) -> bool:
    """Whether a text is a prompt that the grammar can generate.

    >>> is_prompt("On Friday our film club saw The Salt Orchard."), is_prompt("On Friday")
    (True, False)
    """
    return _PROMPT.fullmatch(text) is not None


def write_response(rng: random.Random) -> str:
    """Generate a random review, with its leading space."""
    count = rng.choices(list(CLAUSE_COUNT_WEIGHTS), weights=list(CLAUSE_COUNT_WEIGHTS.values()))[0]
    clauses = [_write_clause(aspect, rng) for aspect in rng.sample(words.ASPECTS, count)]
    sentences = _group(clauses, rng)
    value_so_far = sum(sentence.value for sentence in sentences)
    return Review(sentences, _write_close(value_so_far, rng)).text


def parse_review(response: str) -> Review | None:
    """Parse a response. Returns None if the grammar does not accept it.

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
    texts = [clause.text for sentence in parsed for clause in sentence.clauses]
    if not 1 <= len(texts) <= max(CLAUSE_COUNT_WEIGHTS) or len(set(texts)) < len(texts):
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
    """Choose a close that tends to agree with the rest of the review."""
    weights = [math.exp(0.75 * value_so_far * value) for value in words.CLOSES.values()]
    return rng.choices(list(words.CLOSES), weights=weights)[0]


def _parse_sentence(text: str) -> Sentence | None:
    """Parse one sentence. Returns None unless the parsed sentence has exactly the same text."""
    parts = re.split(r", (and|but) ", text.removesuffix("."), maxsplit=1)
    clauses = [_CLAUSES.get(part) or _CLAUSES.get(part[:1].lower() + part[1:]) for part in parts[::2]]
    known = tuple(clause for clause in clauses if clause is not None)
    if len(known) < len(clauses):
        return None
    sentence = Sentence(known, *parts[1:2])
    return sentence if sentence.text == text else None


def _all_clauses() -> dict[str, Clause]:
    """Map the text of every possible clause (a few thousand) to the clause, so that parsing is a look-up."""
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

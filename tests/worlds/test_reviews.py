"""The reviews world: the grammar parses what it generates, and the true reward follows from the words."""

import random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_teach.worlds import reviews, vocabulary


@pytest.mark.parametrize(
    ("response", "reward"),
    [
        (" The plot was superb. Three stars.", 1.5),
        (" The plot was not superb. Three stars.", -0.75),  # "not" flips the sign and halves the value
        (" The plot was very dull. Three stars.", -1.5),  # an intensifier scales the value: 1.5 x -1
        (" The plot was not at all dull. Go tonight.", 2.0),  # -1 x -1, plus 1 for the close
        (" I did not mind the music. Three stars.", 0.25),  # -0.5 x -0.5
        (" The ending almost made me walk out. One star.", -1.75),  # 0.5 x -1.5, -1
        (" The acting was superb, but the plot was not at all clever. Four stars.", 0.5),  # 1.5 - 1.5 x 1 + 0.5
        (" The acting was superb, and the plot was not at all clever. Four stars.", 1.0),  # 1.5 - 1 + 0.5
        (" I loved the music. The plot was thin. Bring a book.", 0.25),  # 1.25 - 0.5 - 0.5
    ],
)
def test_true_reward_of_hand_scored_responses(response, reward):
    assert reviews.true_reward(response) == pytest.approx(reward)


@pytest.mark.parametrize(
    "response",
    [
        "",
        " ",
        " Three stars.",  # a close alone is not a review
        "The plot was dull. Three stars.",  # no space after the prompt
        " The plot was dull.",  # no close
        " The plot was dull. Three stars",
        " The plot was dull. Three stars. Three stars.",
        " the plot was dull. Three stars.",  # no capital
        " The plot was dull, But the music was thin. Three stars.",
        " The plot was very very dull. Three stars.",
        " The plot was dull. I hated the music. The plot was dull. Three stars.",  # a repeated clause
        " The plot was dull, and the music was thin, and the script was slow. Go tonight.",  # three in one sentence
        " I did not adored the plot. Three stars.",
        " The plot was dull.  The music was thin. Three stars.",
        " I hated the plot. I hated the music. I hated the script. I hated the ending. I hated the humour. One star.",
    ],
)
def test_ungrammatical_responses_get_the_unreadable_reward(response):
    assert reviews.parse_review(response) is None
    assert reviews.true_reward(response) == reviews.UNREADABLE_REWARD


@given(st.integers(0, 10**9))
def test_generated_reviews_are_parsed_exactly(seed):
    rng = random.Random(seed)
    prompt, response = reviews.write_prompt(rng), reviews.write_response(rng)
    review = reviews.parse_review(response)
    assert review is not None and review.text == response
    assert reviews.is_prompt(prompt)


@pytest.mark.slow
def test_the_true_reward_has_mean_near_0_and_enough_spread():
    rng = random.Random(0)
    rewards = [reviews.true_reward(reviews.write_response(rng)) for _ in range(4000)]
    assert abs(mean(rewards)) < 0.15
    assert stdev(rewards) > 1.5


def test_every_table_of_values_is_balanced_around_0():
    feelings = [value for _, value in vocabulary.FEELINGS.values()]
    for values in (vocabulary.ADJECTIVES.values(), feelings, vocabulary.EFFECTS.values(), vocabulary.CLOSES.values()):
        assert abs(mean(values)) <= 0.12


def test_fifty_generated_reviews_all_differ():
    rng = random.Random(0)
    assert len({reviews.write_response(rng) for _ in range(50)}) == 50
    assert len({reviews.write_prompt(rng) for _ in range(50)}) >= 49


def test_the_annotator_follows_bradley_and_terry():
    rng = random.Random(0)
    wins = sum(reviews.prefers_first(1.0, 0.0, rng) for _ in range(20_000)) / 20_000
    assert wins == pytest.approx(0.7311, abs=0.01)  # sigmoid(1)


def test_fluency_is_a_fraction_and_needs_a_response():
    assert reviews.fluency([" The plot was dull. Go tonight."] * 3 + ["nothing"]) == 0.75
    with pytest.raises(ValueError, match="responses is empty"):
        reviews.fluency([])

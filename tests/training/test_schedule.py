"""The examples and the learning rate of each step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_teach.training import learning_rate_at, plan_steps


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 3), st.integers(0, 99))
def test_every_epoch_sees_every_example_once(lengths, batch_size, epochs, seed):
    steps = plan_steps(lengths, batch_size=batch_size, epochs=epochs, seed=seed, length_window=16)
    per_epoch = len(steps) // epochs
    for epoch in range(epochs):
        seen = [i for step in steps[epoch * per_epoch : (epoch + 1) * per_epoch] for i in step]
        assert sorted(seen) == list(range(len(lengths)))
    assert max(map(len, steps)) <= batch_size


def test_a_single_window_sorts_by_length_but_keeps_the_order_of_steps_random():
    steps = plan_steps([4, 1, 3, 2, 8, 7, 6, 5], batch_size=2, length_window=8, seed=1)
    assert sorted(map(sorted, steps)) == [[0, 2], [1, 3], [4, 5], [6, 7]]
    orders = {str(plan_steps([4, 1, 3, 2, 8, 7, 6, 5], batch_size=2, length_window=8, seed=s)) for s in range(20)}
    assert len(orders) > 5


def test_the_same_seed_gives_the_same_plan():
    lengths = list(range(40))
    assert plan_steps(lengths, batch_size=8, seed=3) == plan_steps(lengths, batch_size=8, seed=3)
    assert plan_steps(lengths, batch_size=8, seed=3) != plan_steps(lengths, batch_size=8, seed=4)


def rates(**options):
    return [learning_rate_at(step, total_steps=10, peak=2.0, **options) for step in range(10)]


def test_the_learning_rate_rises_during_warm_up_and_is_never_zero():
    assert rates(warmup_fraction=0.4, schedule="constant") == pytest.approx([0.5, 1.0, 1.5, 2.0] + [2.0] * 6)


def test_the_cosine_falls_from_the_peak_to_almost_zero_and_is_half_the_peak_in_the_middle():
    falling = rates(warmup_fraction=0.0)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == pytest.approx(2.0, rel=0.01) and 0 < falling[-1] < 0.02
    assert falling[4] + falling[5] == pytest.approx(2.0)

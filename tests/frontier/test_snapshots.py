"""The recorded runs: what is in them, and that what the notebooks say about them holds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from dpo_teach.evaluation import PairScores, ReviewScores
from dpo_teach.frontier.snapshots import Snapshot, Training, mean_and_error, means_by_setting, read_snapshots
from dpo_teach.pairs import PreferencePair
from dpo_teach.plots.snapshots import (
    plot_comparisons,
    plot_identity,
    plot_long_run,
    tabulate_comparisons,
    tabulate_rates,
)
from tools.snapshots import RUNS, Run, choose_pairs, record


def snapshot(beta: float = 1.0, rate: float = 5e-4, seed: int = 0, step: int = 96, **values: float) -> Snapshot:
    numbers = {"kl": 1.0, "reward": 0.5, "fluency": 0.9, "accuracy": 0.7, "chosen": -0.5, "rejected": -1.5} | values
    return Snapshot(
        "dpo", beta, rate, seed, 96, step,
        PairScores(512, numbers["accuracy"], 0.6, 1.0, numbers["chosen"], numbers["rejected"]),
        ReviewScores(512, numbers["reward"], 0.1, numbers["kl"], 0.1, numbers["fluency"], 20.0),
        reference_kl=1.0, reference_kl_error=0.05,
    )  # fmt: skip


def test_a_snapshot_survives_json() -> None:
    assert Snapshot.from_dict(snapshot().as_dict()) == snapshot()


def test_the_mean_log_ratio_is_that_of_both_responses() -> None:
    assert snapshot(chosen=-0.5, rejected=-1.5).mean_log_ratio == -1.0


def test_the_table_has_means_over_seeds_and_their_standard_errors() -> None:
    table = tabulate_rates([snapshot(seed=0, kl=1.0, fluency=0.8), snapshot(seed=1, kl=3.0, fluency=0.6)])
    assert "KL 2.0 ± 1.0, fluency 0.70" in repr(table)  # sqrt(2) / sqrt(2)


def test_the_figure_of_a_long_run_names_the_extreme_between_first_and_last() -> None:
    found = [snapshot(step=step, reward=reward) for step, reward in ((10, 0.0), (20, 2.0), (30, 1.0))]
    assert "0.00 at step 10, at most 2.00 at step 20, 1.00 at step 30" in repr(plot_long_run(found, "A title."))


def test_the_figure_of_the_identity_reports_the_largest_distance() -> None:
    found = [snapshot(), snapshot(beta=0.1, chosen=-1.0, rejected=-1.6)]
    assert "2 points from 1.00 to 1 nats; at most 0.3 nats from the diagonal" in repr(plot_identity(found, "A title."))


def varied(trained_on: int, flipped: float, seed: int, reward: float) -> Snapshot:
    return replace(snapshot(seed=seed, reward=reward), reward_accuracy=0.75, trained_on=trained_on, flipped=flipped)


def test_the_figure_of_comparisons_has_a_mean_and_its_error_at_every_point() -> None:
    settings = {(64, 0.0): (0.0, 2.0), (128, 0.0): (1.0, 3.0), (128, 0.25): (0.0, 1.0)}
    found = [
        varied(*setting, seed, reward) for setting, rewards in settings.items() for seed, reward in enumerate(rewards)
    ]
    means = means_by_setting(found)
    text = repr(plot_comparisons(means, "A title."))
    assert "true reward, DPO, pairs, none flipped: 1.00 ± 1.00, 2.00 ± 1.00." in text  # at 64 and 128 pairs
    assert "true reward, DPO, labels flipped, of 128 pairs: 2.00 ± 1.00, 0.50 ± 0.50." in text  # 0 % and 25 %
    assert means[128, 0.25]["true reward"] == (0.5, 0.5)
    row = repr(tabulate_comparisons(means)).splitlines()[-1].split()
    assert row[:2] == ["128", "25%"]
    assert "0.75 ± 0.00" in " ".join(row)  # the reward model


def test_the_requested_share_of_labels_is_flipped() -> None:
    train = [PreferencePair(f"prompt {i}", f"chosen {i}", f"rejected {i}") for i in range(100)]
    pairs = choose_pairs(train, Run("dpo-pairs", 0.3, 5e-4, 1, (8,), 40, 0.25))
    assert len({pair.prompt for pair in pairs}) == 40
    assert sum(pair.chosen.startswith("rejected") for pair in pairs) == 10
    assert all(pair.chosen[-2:] == pair.rejected[-2:] == pair.prompt[-2:] for pair in pairs)
    assert pairs != choose_pairs(train, Run("dpo-pairs", 0.3, 5e-4, 2, (8,), 40, 0.25))


# What is bundled


@pytest.fixture(scope="module")
def recorded() -> list[Snapshot]:
    return [one for method in get_args(Training) for one in read_snapshots(method)]


def test_every_run_is_there_with_three_seeds(recorded: list[Snapshot]) -> None:
    found = [(one.method, one.beta, one.learning_rate, one.seed, one.steps, one.step, one.trained_on, one.flipped)
             for one in recorded]  # fmt: skip
    expected = [(*run[:4], run.evaluated_at[-1], step, *run[5:]) for run in RUNS
                for step in run.evaluated_at]  # fmt: skip
    assert sorted(found) == sorted(expected)
    assert {one.seed for one in recorded} == {0, 1, 2}


def test_both_responses_fall_by_the_kl_whatever_the_run(recorded: list[Snapshot]) -> None:
    """Both responses of a pair were drawn from the reference: their mean log-ratio is minus KL(reference ‖ policy)."""
    for one in recorded:
        error = 3**0.5 * one.reference_kl_error  # 2,048 responses for the KL, and 1,024 for the pairs
        assert abs(one.mean_log_ratio + one.reference_kl) <= 4 * error + 1e-4, one


def test_runs_that_are_recorded_are_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.jsonl"
    bundled = (Path(__file__).parents[2] / "dpo_teach/assets/runs/snapshots.jsonl").read_text()
    path.write_text(bundled)
    record(path, RUNS)  # would take an hour
    assert path.read_text() == bundled


def gain(method: str, value: Callable[[Snapshot], float], beta: float, steps: int, early: int) -> tuple[float, float]:
    """The change of a value from one step of a run to its end, by seed: its mean and standard error."""
    runs = [one for one in read_snapshots(method) if (one.beta, one.steps) == (beta, steps)]
    by_step = {step: {one.seed: value(one) for one in runs if one.step == step} for step in (early, steps)}
    return mean_and_error([by_step[steps][seed] - by_step[early][seed] for seed in (0, 1, 2)])


def test_a_long_run_of_dpo_gains_accuracy_and_loses_fluency() -> None:
    """DPO's over-optimisation, beta 1 and 640 steps: on average over seeds, by several standard errors."""
    for value, sign in ((lambda one: one.pairs.margin, 1), (lambda one: one.pairs.preference_accuracy, 1),
                        (lambda one: one.reviews.fluency, -1)):  # fmt: skip
        mean, error = gain("dpo", value, 1.0, 640, early=96)
        assert sign * mean > 3 * error, (mean, error)


def test_a_long_run_of_ppo_does_not_move_further_away() -> None:
    mean, error = gain("ppo", lambda one: one.reviews.kl, 1.0, 640, early=160)
    assert mean < 2 * error and abs(mean) < 0.5


def test_without_a_kl_term_a_poor_learned_reward_rises_and_the_true_one_falls() -> None:
    learned, true, fluency = (
        gain("ppo-128", value, 0.0, 96, early=0)
        for value in (lambda one: one.learned_reward, lambda one: one.reviews.true_reward,
                      lambda one: one.reviews.fluency)
    )  # fmt: skip
    assert learned[0] > 3 * learned[1] and true[0] < -3 * true[1] and fluency[0] < -3 * fluency[1]

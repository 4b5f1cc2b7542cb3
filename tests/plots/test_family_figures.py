"""The family beside DPO: leads at the same KL, the small charts, and the tables."""

from math import isnan

import pytest

from dpo_teach.evaluation import FrontierPoint, ReviewScores
from dpo_teach.frontier.results import Result, Results
from dpo_teach.plots.family import (
    changes_by_seed,
    lead_at_same_kl,
    plot_family,
    plot_stress,
    scores_at,
    tabulate_members,
    tabulate_methods,
)

Run = tuple[str, float, int, float, float]  # method, setting, seed, KL, true reward


def results(*runs: Run) -> Results:
    found = [
        Result(FrontierPoint(method, setting, ReviewScores(64, reward, 0.1, kl, 0.2, 0.9, 20.0, 0.03, 0.5), seed))
        for method, setting, seed, kl, reward in runs
    ]
    return Results({"methods": list(dict.fromkeys(run[0] for run in runs))}, {"date": ""}, found)


BASELINE = results(
    ("reference", 0.0, 0, 0.0, 0.0), ("optimum", 1.0, 0, 1.0, 4.0), ("optimum", 0.5, 0, 4.0, 8.0),
    ("dpo", 0.1, 0, 9.0, 2.0), ("dpo", 1.0, 0, 1.0, 1.0), ("dpo", 0.1, 1, 9.0, 3.0), ("dpo", 1.0, 1, 1.0, 1.0),
)  # fmt: skip
HINGE = results(("hinge", 0.2, 0, 4.0, 2.0), ("hinge", 0.2, 1, 4.0, 3.0), ("hinge", 0.05, 0, 12.0, 1.0),
                ("hinge", 0.05, 1, 2.0, 1.0))  # fmt: skip


def test_the_lead_is_measured_against_dpo_of_the_same_seed_at_the_same_kl() -> None:
    # √4 is halfway between √1 and √9: there DPO has 1.5 with seed 0 and 2.0 with seed 1, so the leads are 0.5 and 1.0.
    assert lead_at_same_kl(HINGE, "hinge", 0.2, baseline=BASELINE) == pytest.approx((0.75, 0.25))


def test_near_the_reference_the_lead_is_measured_from_the_reference_itself() -> None:
    near = results(("hinge", 1.0, 0, 0.25, 1.0), ("hinge", 1.0, 1, 0.25, 1.0))  # √0.25 is halfway to √1
    assert lead_at_same_kl(near, "hinge", 1.0, baseline=BASELINE) == pytest.approx((0.5, 0.0))


def test_there_is_no_lead_where_dpo_has_no_run_with_as_large_a_kl() -> None:
    assert isnan(lead_at_same_kl(HINGE, "hinge", 0.05, baseline=BASELINE)[0])


def test_the_table_of_members_has_a_row_for_each_setting_and_a_dash_where_there_is_no_lead() -> None:
    lines = repr(tabulate_members(HINGE, BASELINE)).splitlines()
    assert lines[1].split() == ["hinge", "0.05", "+1.00", "±", "0.00", "7.0", "0.90", "–"]
    assert lines[2].split() == ["hinge", "0.2", "+2.50", "±", "0.50", "4.0", "0.90", "+0.75", "±", "0.25"]


def test_the_alt_text_of_the_small_charts_gives_the_best_point_of_each_member() -> None:
    assert repr(plot_family(HINGE, BASELINE, "A title.")) == "A title. hinge: at most 2.5, at KL 4.0."


def test_scores_are_taken_from_the_first_results_that_have_the_setting() -> None:
    other = results(("hinge", 0.2, 0, 1.0, 9.0), ("hinge", 0.5, 0, 1.0, 7.0))
    found = [scores_at([HINGE, other], "hinge", setting) for setting in (0.2, 0.5, 0.7)]
    assert [one and one.true_reward for one in found] == [2.5, 7.0, None]


def test_the_alt_text_of_the_stress_tests_gives_every_true_reward() -> None:
    tests = {"flipped": results(("hinge", 0.2, 0, 1.0, -1.0)), "few": results(("robust", 0.2, 0, 1.0, 0.5))}
    expected = "A title. flipped, hinge: -1.0. few, robust DPO, ε = 0.1: +0.5."
    assert repr(plot_stress([HINGE], tests, "A title.")) == expected


def test_methods_from_several_sweeps_share_a_table() -> None:
    lines = repr(tabulate_methods({"hinge": (HINGE, 0.2), "dpo": (BASELINE, 0.1)})).splitlines()
    assert lines[1].split() == ["hinge", "+2.50", "±", "0.50", "4.0", "0.90", "0"]
    assert lines[2].split() == ["DPO", "+2.50", "±", "0.50", "9.0", "0.90", "0"]


def test_changes_pair_runs_of_the_same_seed() -> None:
    # Seed 0 has 2.0 here; 1.5 at the same setting there, and 1.0 with DPO. Seed 1 has 3.0; nothing there, and 2.5.
    there = results(("hinge", 0.5, 0, 1.0, 9.0), ("hinge", 0.2, 0, 1.0, 1.5), ("dpo", 0.1, 1, 1.0, 2.5),
                    ("dpo", 0.1, 0, 1.0, 1.0))  # fmt: skip
    here = results(("hinge", 0.2, 0, 4.0, 2.0), ("hinge", 0.2, 1, 4.0, 3.0))
    assert changes_by_seed(here, "hinge", "true_reward", [there]) == [0.5]
    assert changes_by_seed(here, "hinge", "true_reward", [there], other="dpo") == [1.0, 0.5]

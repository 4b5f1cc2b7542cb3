"""The sweep: its runs, interruption and resumption, and the results that the package ships."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from dpo_teach.evaluation import FrontierPoint, ReviewScores, TooFewSamplesError
from dpo_teach.frontier.labels import judge_by
from dpo_teach.frontier.results import Result, Results, read_results
from dpo_teach.frontier.settings import METHODS, SWEEPS, SweepConfig, SweepRun
from dpo_teach.frontier.sweep import SweepRunner, sweep
from dpo_teach.pairs import PreferencePair
from dpo_teach.plots.frontier import mean_scores, plot_results, tabulate_variants
from dpo_teach.worlds.reviews import parse_review

SMALL = SweepConfig(
    methods=("reference", "sft", "dpo", "dpo-long", "ppo-learned", "optimum"), betas=(0.1, 0.5), seeds=(0, 1)
)


def scores(reward: float = 1.0, kl: float = 2.0, fluency: float = 0.9) -> ReviewScores:
    return ReviewScores(64, reward, 0.1, kl, 0.2, fluency, 20.0, 0.03, 0.5)


def result(run: SweepRun) -> Result:
    point = FrontierPoint(run.method, run.setting, scores(), run.seed)
    return Result(point, gradient_steps=160, samples_drawn=0, seconds=1.5, learned_reward=None, texts=(" Fine.",))


# The runs


def test_trained_methods_run_with_every_beta_and_seed_one_seed_after_another() -> None:
    runs = SMALL.runs()
    assert len(runs) == len(set(runs)) == 1 + 2 * (1 + 3 * 2) + 7
    assert runs[0] == SweepRun("reference", 0.0, 0)
    assert [run.seed for run in runs[1:-7]] == [0] * 7 + [1] * 7
    for method in ("dpo", "dpo-long", "ppo-learned"):
        found = [(run.setting, run.seed) for run in runs if run.method == method]
        assert found == [(0.1, 0), (0.5, 0), (0.1, 1), (0.5, 1)]
    assert {(run.method, run.seed) for run in runs[-7:]} == {("optimum", 0)}


def test_ppo_takes_the_same_number_of_gradient_steps_as_the_other_methods() -> None:
    config = SweepConfig()
    # An iteration draws 128 responses and uses each twice, 32 per step: 8 steps.
    assert config.iterations * 8 == config.steps == 160


def test_all_methods_of_a_seed_see_the_same_pairs_and_a_longer_run_sees_more(tmp_path: Path) -> None:
    runner = SweepRunner(SMALL, tmp_path)
    seen = {method: runner.pairs_of(SweepRun(method, 0.1, 0)) for method in ("sft", "dpo", "ppo-learned", "dpo-long")}
    assert seen["sft"] == seen["dpo"] == seen["ppo-learned"]
    assert len(set(seen["dpo"])) == 160 * 32
    assert len(set(seen["dpo-long"])) == 512 * 32
    assert runner.pairs_of(SweepRun("dpo", 0.1, 1)) != seen["dpo"]


def lead_in_sentences(pair: PreferencePair) -> int:
    """How many sentences more the chosen review has than the rejected one; 0 if one of them cannot be read."""
    chosen, rejected = parse_review(pair.chosen), parse_review(pair.rejected)
    return 0 if chosen is None or rejected is None else len(chosen.sentences) - len(rejected.sentences)


def test_the_labels_of_a_stress_test_change_and_the_texts_do_not(tmp_path: Path) -> None:
    run, runner, seen = SweepRun("dpo", 0.1, 0), SweepRunner(SMALL, tmp_path), []
    for settings in ({}, {"flipped": 0.25}, {"pairs": 1_024}, {"length_bonus": 0.5}):
        runner.config = replace(SMALL, **settings)
        seen.append(runner.pairs_of(run))
    clean, flipped, fewer, long = seen
    assert sum(a.chosen == b.rejected for a, b in zip(clean, flipped, strict=True)) == 1_280  # a quarter of 5,120
    assert fewer == clean[:1_024]
    for one in (flipped, long):
        assert [{p.chosen, p.rejected} for p in one] == [{p.chosen, p.rejected} for p in clean]
    longer = [sum(map(lead_in_sentences, one)) for one in (clean, long)]
    assert longer[1] > 1.5 * longer[0] > 0


def test_only_the_settings_of_a_method_itself_are_cut_down_to_the_middle_one() -> None:
    config = SweepConfig(methods=("dpo", "ipo"), betas=(0.1, 0.5), seeds=(0,), middle_only=True)
    assert [(run.method, run.setting) for run in config.runs()] == [("dpo", 0.1), ("dpo", 0.5), ("ipo", 0.2)]


def test_a_judge_follows_the_reward_exactly_or_with_the_noise_of_bradley_terry() -> None:
    def reward(prompts: list[str], responses: list[str]) -> list[float]:
        return [float(text) for text in responses]

    first, second = ["1", "0", "2"], ["0", "1", "1.9"]
    assert judge_by(reward)(["p"] * 3, first, second) == [True, False, True]
    labels = judge_by(reward, random.Random(0))(["p"] * 20_000, ["1"] * 20_000, ["0"] * 20_000)
    assert sum(labels) / len(labels) == pytest.approx(0.7311, abs=0.01)  # σ(1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"betas": ()}, "must not be empty"),
        ({"betas": (0.0,)}, "above 0"),
        ({"steps": 161}, r"multiple of 2 x rollouts.* found 161 x 32 and 2 x 128"),
        ({"flipped": 1.5}, "flipped must be between 0 and 1, found 1.5"),
        ({"pairs": 8}, "pairs must be at least batch_size, 32, found 8"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"methods": ("dpo", "grpo")}, "methods must be some of reference, .*, found 'grpo'"),
    ],
)
def test_invalid_settings_are_named(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SweepConfig(**settings)


# Interruption and resumption


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[SweepRun]:
    """The runs that a sweep would measure, with fake results so that it takes no time."""
    done: list[SweepRun] = []

    def measure(runner: SweepRunner, run: SweepRun) -> Result:
        if run == SweepRun("optimum", 0.5, 0):
            raise TooFewSamplesError("an effective sample size of 3.0")
        done.append(run)
        return result(run)

    monkeypatch.setattr(SweepRunner, "measure", measure)
    return done


def test_a_sweep_writes_every_run_and_leaves_out_estimates_from_too_few_samples(
    tmp_path: Path, runs: list[SweepRun], capsys
) -> None:
    found = sweep(tmp_path / "results.json", SMALL, progress=False)
    assert [one.run for one in found.results] == runs == [c for c in SMALL.runs() if c != SweepRun("optimum", 0.5, 0)]
    assert "optimum at 0.5: left out; an effective sample size of 3.0" in capsys.readouterr().out
    assert read_results(tmp_path / "results.json").results == found.results


def test_an_interrupted_sweep_resumes_where_it_stopped(tmp_path: Path, runs: list[SweepRun], monkeypatch) -> None:
    counted = SweepRunner.measure

    def killed(runner: SweepRunner, run: SweepRun) -> Result:
        if len(runs) == 5:
            raise KeyboardInterrupt
        return counted(runner, run)

    with monkeypatch.context() as patch:
        patch.setattr(SweepRunner, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path / "results.json", SMALL, progress=False)
    assert len(read_results(tmp_path / "results.json").results) == 5
    sweep(tmp_path / "results.json", SMALL, progress=False)
    assert len(runs) == len(set(runs)) == len(SMALL.runs()) - 1


def test_seeds_may_be_added_but_the_budget_may_not_change(tmp_path: Path, runs: list[SweepRun]) -> None:
    path = tmp_path / "results.json"
    sweep(path, SMALL, progress=False)
    before = len(runs)
    sweep(path, replace(SMALL, seeds=(0, 1, 2)), progress=False)
    assert {run.seed for run in runs[before:]} == {2}
    with pytest.raises(ValueError, match="steps was 160, found 80"):
        sweep(path, replace(SMALL, steps=80), progress=False)


def test_the_error_for_a_file_without_sweep_results_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": 3}))
    with pytest.raises(ValueError, match=r"results\.json: expected the results of a sweep"):
        read_results(path)
    assert path.read_text() == '{"results": 3}'


# The figure


def test_scores_are_means_over_seeds_with_the_standard_error_across_seeds() -> None:
    runs = [Result(FrontierPoint("dpo", 0.3, scores(reward, kl=kl), seed)) for seed, (reward, kl) in
            enumerate([(1.0, 2.0), (3.0, 4.0)])]  # fmt: skip
    ((setting, mean),) = mean_scores(Results({}, {"date": ""}, runs), "dpo")
    assert (setting, mean.true_reward, mean.kl, mean.samples) == (0.3, 2.0, 3.0, 128)
    assert mean.true_reward_error == pytest.approx(1.0)  # two runs, 2 apart: sqrt(2) / sqrt(2)
    ((_, alone),) = mean_scores(Results({}, {"date": ""}, runs[:1]), "dpo")
    assert alone.true_reward_error == 0.1


def test_the_alt_text_gives_the_best_point_of_each_method() -> None:
    runs = [Result(FrontierPoint("dpo", beta, scores(reward), 0)) for beta, reward in ((0.1, 3.0), (1.0, 1.0))]
    picture = plot_results(Results({}, {"date": ""}, runs), "A title.")
    assert repr(picture) == "A title. DPO: at most 3.0, at KL 2.0."


def test_the_table_of_variants_has_a_row_for_each_beta_and_a_column_for_each_method() -> None:
    runs = [Result(FrontierPoint(method, beta, scores(reward, kl=beta), seed)) for method, beta, rewards in
            (("dpo", 0.1, (1.0, 3.0)), ("dpo", 0.5, (2.0, 2.0)), ("dpo-slow", 0.1, (0.0, 0.0)),
             ("dpo-slow", 0.5, (1.0, 1.0))) for seed, reward in enumerate(rewards)]  # fmt: skip
    lines = repr(tabulate_variants(Results({}, {"date": ""}, runs), ("dpo", "dpo-slow"))).splitlines()
    assert lines[1].split()[:3] == ["β", "=", "0.5"]
    assert "+2.00 ± 1.00, 0.1, 0.90" in lines[2]  # two runs, 2 apart: sqrt(2) / sqrt(2)
    assert lines[2].endswith("+0.00 ± 0.00, 0.1, 0.90")


# The shipped results


@pytest.fixture(scope="module")
def shipped() -> Results:
    return read_results()


@pytest.mark.parametrize("name", SWEEPS)
def test_every_shipped_sweep_is_complete_and_has_the_settings_of_its_command(name: str) -> None:
    found, config = read_results(name), SWEEPS[name]
    assert found.config == json.loads(json.dumps(config.as_dict()))
    assert {"date", "torch", "transformers", "dpo_teach", "cores", "reward_models"} <= set(found.made)
    missing = set(config.runs()) - {one.run for one in found.results}
    assert {run.method for run in missing} <= {"optimum"}  # left out where there are too few samples
    assert len(found.results) == len({one.run for one in found.results})
    for one in found.results:
        method = METHODS[one.point.method]
        if method.trainer not in ("none", "samples"):
            assert one.gradient_steps == round(method.length * 160)
            assert one.texts


def test_enough_limits_are_shipped_to_draw_a_line(shipped: Results) -> None:
    assert len(shipped.of("best-of-n")) >= 5
    assert len(shipped.of("optimum")) >= 3


def test_no_method_beats_the_closed_form_optimum(shipped: Results) -> None:
    """For every policy and every β, E[r] - β KL is at most the value of the optimum, β log Z."""
    for optimum in shipped.of("optimum"):
        beta, best = optimum.point.setting, optimum.point.scores
        for one in shipped.results:
            found = one.point.scores
            error = (found.true_reward_error**2 + best.true_reward_error**2) ** 0.5
            error += beta * (found.kl_error**2 + best.kl_error**2) ** 0.5
            gap = (found.true_reward - beta * found.kl) - (best.true_reward - beta * best.kl)
            assert gap < 4 * error, (one.run, beta)


@pytest.mark.slow
def test_repeating_a_shipped_run_agrees_within_its_error(shipped: Results, tmp_path: Path) -> None:
    run = SweepRun("sft", 0.0, 0)  # the cheapest run that trains
    config = SweepConfig(**{**shipped.config, **{name: tuple(shipped.config[name]) for name in
                                                 ("methods", "betas", "seeds")}})  # fmt: skip
    again = SweepRunner(config, tmp_path).measure(run).point.scores
    (stored,) = (one.point.scores for one in shipped.of("sft") if one.run == run)
    assert again.true_reward == pytest.approx(stored.true_reward, abs=2 * again.true_reward_error)
    assert again.kl == pytest.approx(stored.kl, abs=2 * again.kl_error)
    assert again.fluency == pytest.approx(stored.fluency, abs=2 * again.fluency_error)

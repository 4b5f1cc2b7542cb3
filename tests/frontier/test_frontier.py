"""The sweep: its runs, interruption and resumption, and the results that the package ships."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dpo_teach.evaluation import FrontierPoint, ReviewScores, TooFewSamplesError
from dpo_teach.frontier.results import Result, Results, read_results
from dpo_teach.frontier.settings import SweepConfig, SweepRun
from dpo_teach.frontier.sweep import SweepRunner, sweep
from dpo_teach.plots.frontier import mean_scores, plot_results

SMALL = SweepConfig(betas=(0.1, 0.5), seeds=(0, 1), best_of=(2,), optimum_betas=(0.1, 2.0))


def scores(reward: float = 1.0, kl: float = 2.0, fluency: float = 0.9) -> ReviewScores:
    return ReviewScores(64, reward, 0.1, kl, 0.2, fluency, 20.0, 0.03, 0.5)


def result(run: SweepRun) -> Result:
    point = FrontierPoint(run.method, run.setting, scores(), run.seed)
    return Result(point, gradient_steps=160, samples_drawn=0, seconds=1.5, learned_reward=None, texts=(" Fine.",))


# The runs


def test_every_method_runs_with_every_beta_and_seed_one_seed_after_another() -> None:
    runs = SMALL.runs()
    assert len(runs) == len(set(runs)) == 1 + 2 * (1 + 2 * 3) + 1 + 2
    for method in ("dpo", "ppo-learned", "ppo-true"):
        found = [(run.setting, run.seed) for run in runs if run.method == method]
        assert found == [(0.1, 0), (0.5, 0), (0.1, 1), (0.5, 1)]


def test_ppo_takes_the_same_number_of_gradient_steps_as_the_other_methods() -> None:
    config = SweepConfig()
    # An iteration draws 128 responses and uses each twice, 32 per step: 8 steps.
    assert config.iterations * 8 == config.steps == 160


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"betas": ()}, "must not be empty"),
        ({"betas": (0.0,)}, "above 0"),
        ({"steps": 161}, "steps must be a multiple of 8"),
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
        if run == SweepRun("optimum", 0.1, 0):
            raise TooFewSamplesError("an effective sample size of 3.0")
        done.append(run)
        return result(run)

    monkeypatch.setattr(SweepRunner, "measure", measure)
    return done


def test_a_sweep_writes_every_run_and_leaves_out_estimates_from_too_few_samples(
    tmp_path: Path, runs: list[SweepRun], capsys
) -> None:
    found = sweep(tmp_path / "results.json", SMALL, progress=False)
    assert [one.run for one in found.results] == runs == [c for c in SMALL.runs() if c != SweepRun("optimum", 0.1, 0)]
    assert "optimum at 0.1: left out; an effective sample size of 3.0" in capsys.readouterr().out
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


# The shipped results


@pytest.fixture(scope="module")
def shipped() -> Results:
    return read_results()


def test_the_shipped_sweep_is_complete(shipped: Results) -> None:
    assert {"date", "torch", "transformers", "dpo_teach", "cores", "reward_models"} <= set(shipped.made)
    for method in ("dpo", "ppo-learned", "ppo-true"):
        runs = {(one.point.setting, one.point.seed) for one in shipped.of(method)}
        assert len({beta for beta, _ in runs}) >= 5
        assert len({seed for _, seed in runs}) >= 3
        assert len(runs) == len({beta for beta, _ in runs}) * len({seed for _, seed in runs})
        assert {one.gradient_steps for one in shipped.of(method)} == {160}
        assert all(one.texts for one in shipped.of(method))
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
                                                 ("betas", "seeds", "best_of", "optimum_betas")}})  # fmt: skip
    again = SweepRunner(config, tmp_path).measure(run).point.scores
    (stored,) = (one.point.scores for one in shipped.of("sft") if one.run == run)
    assert again.true_reward == pytest.approx(stored.true_reward, abs=2 * again.true_reward_error)
    assert again.kl == pytest.approx(stored.kl, abs=2 * again.kl_error)
    assert again.fluency == pytest.approx(stored.fluency, abs=2 * again.fluency_error)

"""The explorers' JavaScript matches the Python functions to 1e-9 on a grid, in the browser."""

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import torch
from playwright.sync_api import Page

from dpo_teach.loss_family import LOSSES
from dpo_teach.losses import gradient_weight, preference_nll
from dpo_teach.memory import Dtype, Optimizer, byte_rules, count_memory
from dpo_teach.widgets.family_numbers import best_difference, read_family
from dpo_teach.widgets.js_bundle import bundle
from dpo_teach.widgets.loss_explorer import LossExplorer, move_apart, read_pair
from dpo_teach.widgets.plane_numbers import margins_at_loss, read_point
from dpo_teach.worlds.tabular import expected_reward, film_world, kl, log_partition, optimal_policy

BETAS = (0.001, 0.0137, 0.1, 0.5, 1.0, 3.3, 10.0)


@pytest.fixture
def compute(page: Page) -> Callable[[str, Sequence[Any]], list[Any]]:
    """Call a function of dpo.js or family.js with many lists of arguments at once."""
    page.goto("about:blank")
    page.add_script_tag(content=f"{bundle('family')}\nwindow.all = {{ ...$dpo, ...$family }};")

    def run(name: str, calls: Sequence[Any]) -> list[Any]:
        text = page.evaluate(
            "([name, calls]) => JSON.stringify(calls.map((call) => all[name](...call)))", [name, list(calls)]
        )
        return json.loads(text)

    return run


def assert_near(found: float, expected: float, where: object) -> None:
    assert found is not None, f"expected a finite number at {where}"
    assert abs(found - expected) <= 1e-9 * max(1.0, abs(expected)), f"expected {expected}, found {found} at {where}"


def test_the_numbers_of_a_pair_match(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    logps = (-2000.0, -61.3, -50.0, -0.25, 0.0)
    names = ("policyChosen", "policyRejected", "referenceChosen", "referenceRejected", "beta", "agreement")
    grid = list(itertools.product(logps, logps, (-2000.0, -51.0, 0.0), (-51.0, 0.0), BETAS, (0.5, 0.75, 1.0)))
    assert len(grid) >= 1000
    found = compute("readPair", [[dict(zip(names, point, strict=True))] for point in grid])
    for point, here in zip(grid, found, strict=True):
        expected = read_pair(
            policy_chosen=point[0], policy_rejected=point[1], reference_chosen=point[2], reference_rejected=point[3],
            beta=point[4], agreement=point[5],
        )  # fmt: skip
        for name, value in (
            ("chosenLogRatio", expected.chosen_log_ratio),
            ("rejectedLogRatio", expected.rejected_log_ratio),
            ("difference", expected.difference),
            ("margin", expected.margin),
            ("probability", expected.probability),
            ("loss", expected.loss),
            ("gradientWeight", expected.gradient_weight),
        ):
            assert_near(here[name], value, (name, point))
        if point[5] == 1:
            assert (here["bestDifference"], expected.best_difference) == (None, math.inf)  # JSON has no infinity
        else:
            assert_near(here["bestDifference"], expected.best_difference, point)


def test_the_dot_and_the_log_ratios_move_the_policy_as_in_python(
    compute: Callable[[str, Sequence[Any]], list[Any]],
) -> None:
    logps = (-2000.0, -61.3, -0.25, 0.0)
    names = ("policyChosen", "policyRejected", "referenceChosen", "referenceRejected")
    grid = list(itertools.product(logps, logps, logps, logps, (-4000.0, -20.0, -0.2, 0.0, 7.4, 1990.0)))
    assert len(grid) >= 1000
    calls = [[point[4], dict(zip(names, point[:4], strict=True))] for point in grid]
    for point, here in zip(grid, compute("moveApart", calls), strict=True):
        expected = move_apart(
            point[4], policy_chosen=point[0], policy_rejected=point[1], reference_chosen=point[2],
            reference_rejected=point[3],
        )  # fmt: skip
        for found, value in zip(here, expected, strict=True):
            assert_near(found, value, point)
    pairs = [(log_ratio, reference) for reference in (-61.3, -20.0) for log_ratio in (-1900.0, -0.7, 0.0, 3.3, 20.0)]
    for (log_ratio, reference), found in zip(pairs, compute("policyAt", pairs), strict=True):
        explorer = LossExplorer(reference_chosen=reference)
        explorer.chosen_log_ratio = log_ratio
        assert_near(found, explorer.policy_chosen, (log_ratio, reference))


def test_the_tilt_matches(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    world = film_world()
    stretches = [(-50.0, 50.0), (0.0, 0.0), (0.7, -1.3), (12.0, 3.0)]
    points = []
    for row, beta, (scale, shift), turn in itertools.product(range(3), BETAS, stretches, range(12)):
        reward = (world.reward[row].roll(turn) * scale / 3 + shift).clamp(-50, 50)
        points.append((world.reference[row], reward, beta))
    assert len(points) >= 1000
    calls = [[reference.tolist(), reward.tolist(), beta] for reference, reward, beta in points]
    for point, here in zip(points, compute("tilt", calls), strict=True):
        reference, reward, beta = point
        policy = optimal_policy(reference, reward, beta)
        for found, expected in zip(here["policy"], policy.tolist(), strict=True):
            assert_near(found, expected, point)
        assert_near(here["logZ"], log_partition(reference, reward, beta).item(), point)
        assert_near(here["reward"], expected_reward(policy, reward).item(), point)
        assert_near(here["kl"], kl(policy, reference).item(), point)


def test_the_weights_of_a_batch_match(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    differences = [-2000.0, -30.0, -0.5, 0.0, 2.0, 45.0, 2000.0]
    grid = list(itertools.product(itertools.product(differences, repeat=3), BETAS))
    assert len(grid) >= 1000
    found = compute("weighBatch", [[list(batch), beta] for batch, beta in grid])
    for (batch, beta), here in zip(grid, found, strict=True):
        margins = beta * torch.tensor(batch, dtype=torch.float64)
        weights = gradient_weight(margins, beta)
        shares = torch.softmax(torch.nn.functional.logsigmoid(-margins), dim=0)
        for i in range(3):
            assert_near(here["margins"][i], margins[i].item(), (batch, beta))
            assert_near(here["weights"][i], weights[i].item(), (batch, beta))
            assert_near(here["shares"][i], shares[i].item(), (batch, beta))


def test_memory_matches(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    sizes = [10 ** (6 + 6 * i / 20) for i in range(21)]
    grid = list(itertools.product(sizes, get_args(Dtype), get_args(Optimizer), (False, True), (False, True)))
    assert len(grid) >= 1000
    found = compute("countMemory", [[*point, byte_rules()] for point in grid])
    for point, here in zip(grid, found, strict=True):
        size, dtype, optimizer, precomputed, lora = point
        for pipeline in count_memory(size, dtype, optimizer, precomputed_reference=precomputed, lora=lora):
            shown = {role: model for role, model in here[pipeline.name].items() if model is not None}
            assert shown.keys() == {model.role for model in pipeline.models}, point
            for model in pipeline.models:
                for part in ("weights", "gradients", "optimizer"):
                    assert_near(shown[model.role][part], getattr(model, part), (part, point))


def test_the_mean_loss_over_annotators_matches(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    grid = list(itertools.product([-4000 + 55.5 * i for i in range(145)], BETAS, (0.5, 0.9, 1.0)))
    assert len(grid) >= 1000
    for point, here in zip(grid, compute("expectedLoss", grid), strict=True):
        d, beta, p = point
        agree, disagree = (math.log1p(math.exp(-abs(m))) + max(-m, 0.0) for m in (beta * d, -beta * d))
        assert_near(here, p * agree + (1 - p) * disagree, point)


def test_the_points_of_the_plane_match(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    rng = random.Random(0)
    grid = [
        (0.0, 0.0, 0.1, 0.0),
        (3.0, 3.0, 0.1, 0.2),
        (-3.0, -3.0, 0.1, 0.0),
        (0.0, -2.0, 1.0, 0.4),
        (-5.0, 0.0, 0.1, 0.1),
    ]
    grid += [
        (
            rng.uniform(-far, far),
            rng.uniform(-far, far),
            10 ** rng.uniform(-3, 1),
            rng.choice((0.0, rng.uniform(0, 0.4))),
        )
        for far in (1, 20, 200, 2000)
        for _ in range(250)
    ]
    assert len(grid) >= 1000
    for point, here in zip(grid, compute("readPoint", grid), strict=True):
        expected = read_point(point[0], point[1], beta=point[2], label_smoothing=point[3])
        for name, value in (
            ("difference", expected.difference),
            ("margin", expected.margin),
            ("loss", expected.loss),
            ("gradientWeight", expected.gradient_weight),
        ):
            assert_near(here[name], value, (name, point))
        assert here["quadrant"] == expected.quadrant, point
        if point[3] == 0:
            assert (here["bestDifference"], expected.best_difference) == (None, math.inf)
        else:
            assert_near(here["bestDifference"], expected.best_difference, point)


def test_the_margins_of_a_loss_match(compute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
    rng = random.Random(0)
    grid = [(10 ** rng.uniform(-3, 2), rng.choice((0.0, rng.uniform(0.001, 0.4)))) for _ in range(1000)]
    for (loss, smoothing), here in zip(grid, compute("marginsAtLoss", grid), strict=True):
        expected = margins_at_loss(loss, smoothing)
        if expected is None:
            assert here is None, (loss, smoothing)
            continue
        for found, value in zip(here, expected, strict=True):
            if value == math.inf:
                assert found is None
                continue
            assert_near(found, value, (loss, smoothing))
            m = torch.tensor(value, dtype=torch.float64)
            again = (1 - smoothing) * preference_nll(m) + smoothing * preference_nll(-m)
            assert again.item() == pytest.approx(loss, rel=1e-9)


def a_family_point(rng: random.Random, loss: str) -> tuple[float, float, dict[str, Any]]:
    """Log-ratios, and a loss with its settings, as the explorer has them."""
    settings = {"beta": 10 ** rng.uniform(-3, 1), "label_smoothing": rng.choice((0.0, rng.uniform(0, 0.4))),
                "gamma": rng.uniform(0, 4), "sft_weight": rng.uniform(0, 2)}  # fmt: skip
    state = {"loss": loss, "settings": settings, "lengths": [rng.uniform(20, 80), rng.uniform(20, 80)],
             "kl": rng.uniform(0, 20)}  # fmt: skip
    return rng.uniform(-20, 20), rng.uniform(-20, 20), state


def in_python(state: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the Python functions: only the settings that the loss uses."""
    used = {name: state["settings"][name] for name in LOSSES[state["loss"]].settings}
    return {"settings": used, "lengths": tuple(state["lengths"]), "kl": state["kl"]}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_the_family_and_its_pull_match_autograd(
    compute: Callable[[str, Sequence[Any]], list[Any]], loss: str
) -> None:
    rng = random.Random(loss)
    grid = [a_family_point(rng, loss) for _ in range(200)]
    for (x, y, state), here in zip(grid, compute("readFamily", grid), strict=True):
        expected = read_family(loss, x, y, **in_python(state))
        assert_near(here["loss"], expected.loss, state)
        assert_near(here["chosenPull"], expected.chosen_pull, state)
        assert_near(here["rejectedPull"], expected.rejected_pull, state)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_place_where_a_loss_stops_falling_matches(
    compute: Callable[[str, Sequence[Any]], list[Any]], loss: str
) -> None:
    rng = random.Random(loss)
    states = [a_family_point(rng, loss)[2] for _ in range(10)]
    for state in states:  # where σ is 1 in float64, autograd loses its slope
        state["settings"]["beta"] = min(state["settings"]["beta"], 1.0)
    totals = [rng.uniform(-20, 20) for _ in states]
    grid = [(total, state, 40 - abs(total)) for total, state in zip(totals, states, strict=True)]
    for (total, state, most), here in zip(grid, compute("bestDifference", grid), strict=True):
        expected = best_difference(loss, total, most=most, **in_python(state))
        if expected is None:
            assert here is None, state
        else:
            assert here == pytest.approx(expected, abs=1e-6), state

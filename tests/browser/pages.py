"""Move controls in a browser, and compare the page with Python."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page

from dpo_teach.widgets import BetaTilt, GradientWeights, LogRatioPlane, LossExplorer, LossFamily, MemoryCalculator
from dpo_teach.widgets.explorer import Explorer
from dpo_teach.widgets.loss_explorer import PairNumbers

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--disable-sync",
                  "--disable-background-networking", "--disable-component-update", "--disable-quic"]  # fmt: skip

KINDS: dict[str, type[Explorer]] = {
    "lossExplorer": LossExplorer,
    "betaTilt": BetaTilt,
    "gradientWeights": GradientWeights,
    "logRatioPlane": LogRatioPlane,
    "lossFamily": LossFamily,
    "memoryCalculator": MemoryCalculator,
}
SYNCED: dict[type[Explorer], tuple[str, ...]] = {
    LossExplorer: ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected", "beta", "agreement"),
    BetaTilt: ("beta", "shown_prompt", "rewards", "shift"),
    GradientWeights: ("beta", "moved", "differences"),
    LogRatioPlane: ("chosen_log_ratio", "rejected_log_ratio", "beta", "label_smoothing", "recorded", "shown_step"),
    LossFamily: LossFamily.settings,
    MemoryCalculator: MemoryCalculator.settings,
}
"""The traits behind the settings, which browser and Python exchange."""

NUMBER = re.compile(r"[+−-]?\d[\d.]*(?:e[+−-]?\d+)?")


def find_chromium() -> str:
    """The path of chromium; without it the test is skipped, or fails if DPO_TEACH_BROWSER=required."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None and os.environ.get("DPO_TEACH_BROWSER") == "required":
        pytest.fail("chromium is not installed, but DPO_TEACH_BROWSER=required")
    if path is None:
        pytest.skip("chromium is not installed (on Debian: apt-get install chromium)")
    return path


def number_in(text: str) -> tuple[float, float]:
    """The first number in a text, and half a unit of its last digit, the largest rounding error."""
    found = NUMBER.search(text)
    assert found, f"expected a number in {text!r}"
    digits = found.group().replace("−", "-")
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(digits), 0.5 * 10 ** (int(exponent or 0) - decimals)


def assert_shown(text: str, expected: float, what: str) -> None:
    """Check that the number in a text equals a value to the displayed digits."""
    shown, half = number_in(text)
    assert abs(shown - expected) <= half * 1.0001 + 1e-9 * abs(expected), f"{what}: expected {expected}, found {text!r}"


def settings_in(model: Callable[[str], Any], kind: type[Explorer]) -> Explorer:
    """A Python explorer with the settings of the browser."""
    explorer = kind()
    explorer.set_state({name: model(name) for name in SYNCED[kind]})
    assert explorer.error is None, explorer.error
    return explorer


def expected_numbers(explorer: Explorer) -> Mapping[str, float]:
    """The values that an explorer must show, computed by the package and keyed by `data-value`."""
    if isinstance(explorer, LossExplorer):
        return _pair(explorer.values)
    if isinstance(explorer, BetaTilt):
        objective = explorer.beta * explorer.log_z
        return {"reward": explorer.reward, "kl": explorer.kl, "logZ": explorer.log_z, "same": objective,
                "objective": objective}  # fmt: skip
    if isinstance(explorer, GradientWeights):
        return {"whole": explorer.weights.sum().item()}
    if isinstance(explorer, LogRatioPlane):
        point = explorer.values
        return {"margin": point.margin, "loss": point.loss, "weight": point.gradient_weight}
    if isinstance(explorer, LossFamily):
        pair = explorer.values
        return {"loss": pair.loss, "chosen": pair.chosen_pull, "rejected": pair.rejected_pull}
    assert isinstance(explorer, MemoryCalculator)
    return {f"{p.name}-{model.role}": model.total / 1e9 for p in explorer.pipelines for model in p.models}


def _pair(values: PairNumbers) -> Mapping[str, float]:
    return {
        "chosen": values.chosen_log_ratio,
        "rejected": values.rejected_log_ratio,
        "difference": values.difference,
        "margin": values.margin,
        "probability": values.probability,
        "loss": values.loss,
        "weight": values.gradient_weight,
    }


def expected_bars(explorer: Explorer) -> list[float]:
    """The numbers next to the bars, from top to bottom."""
    if isinstance(explorer, BetaTilt):
        both = zip(explorer.reference.tolist(), explorer.policy.tolist(), strict=True)
        return [share for pair in both for share in pair]
    if isinstance(explorer, GradientWeights):
        shares = torch.softmax(torch.nn.functional.logsigmoid(-explorer.margins), dim=0)  # weights may all underflow
        return [100 * share for share in shares.tolist()]
    return []


def check(root: Locator, explorer: Explorer) -> None:
    """Check that every number on the page is the one that Python computes from the same settings."""
    shown = root.evaluate(
        "e => [...e.querySelectorAll('[data-value]')].map(n => [n.dataset.value, n.value ?? n.textContent])"
    )
    expected = expected_numbers(explorer)
    assert expected.keys() <= {name for name, _ in shown}
    for name, text in shown:  # a number may be shown in two places
        if name in expected:
            assert_shown(text, expected[name], f"{type(explorer).__name__} {name}")
    bars = root.evaluate("e => [...e.querySelectorAll('.dt-bar .dt-bar-number')].map(n => n.textContent)")
    for i, value in enumerate(expected_bars(explorer)):
        assert_shown(bars[i], value, f"{type(explorer).__name__} bar {i}")
    text = root.inner_text()
    assert not re.search(r"NaN|Infinity|undefined|null", text), text


def drag(page: Page, slider: Locator, share: float) -> None:
    """Drag a slider's thumb to a fraction of its range, in several moves."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    at = slider.evaluate("e => (e.value - e.min) / (e.max - e.min)")
    length, edge = box["width"] - 20, box["x"] + 10  # a thumb is 20 pixels wide
    height = box["y"] + box["height"] / 2
    page.mouse.move(edge + at * length, height)
    page.mouse.down()
    page.mouse.move(edge + share * length, height, steps=6)
    page.mouse.up()

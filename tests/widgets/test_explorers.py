"""The explorers from Python: their settings, their numbers and their error messages."""

import base64
import json
import math
from typing import Any, get_args

import pytest
import traitlets

from dpo_teach.memory import Dtype, Optimizer, count_memory
from dpo_teach.widgets import (
    BetaRoles,
    BetaTilt,
    FrontierWalker,
    GradientWeights,
    LiveCurves,
    LogpsWorkbench,
    LogRatioPlane,
    LossExplorer,
    LossFamily,
    MemoryCalculator,
)
from dpo_teach.widgets.explorer import Explorer
from dpo_teach.widgets.js_bundle import bundle
from dpo_teach.widgets.loss_explorer import PRESETS
from dpo_teach.worlds.tabular import film_world, optimal_policy
from tools.playground import explorer_state
from tools.screenshots import INDEX, TARGETS, fingerprint

KINDS: list[type[Explorer]] = [LossExplorer, BetaTilt, GradientWeights, LogRatioPlane, LossFamily, MemoryCalculator]
LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
WRONG: list[tuple[type[Explorer], str, Any, str]] = [
    (LossExplorer, "beta", 50.0, "beta must be between 0.001 and 10, found 50.0"),
    (LossExplorer, "beta", math.nan, "beta must be between 0.001 and 10, found nan"),
    (LossExplorer, "beta", "0.1", "beta must be between 0.001 and 10, found '0.1'"),
    (LossExplorer, "policy_chosen", 1.0, "policy_chosen must be between -2000 and 0, found 1.0"),
    (LossExplorer, "agreement", 1.01, "agreement must be between 0.5 and 1, found 1.01"),
    (LossExplorer, "preset", "example 5", "preset must be one of example 1,.*found 'example 5'"),
    (BetaTilt, "beta", 0.0, "beta must be between 0.001 and 100, found 0.0"),
    (BetaTilt, "prompt", "Tomorrow.", "prompt must be one of We went on a rainy Tuesday.,.*found 'Tomorrow.'"),
    (BetaTilt, "rewards", [1.0, 2.0], "rewards must be 6 numbers, found 2"),
    (BetaTilt, "rewards", [0.0, 0.0, 0.0, 0.0, 0.0, 51.0], r"rewards\[5\] must be between -50 and 50, found 51.0"),
    (GradientWeights, "differences", [0.0, 1.0, 2.0], "differences must be 4 numbers, found 3"),
    (GradientWeights, "batch", "tomorrow", "batch must be one of at the start,.*found 'tomorrow'"),
    (LogRatioPlane, "chosen_log_ratio", 2001, "chosen_log_ratio must be between -2000 and 2000, found 2001"),
    (LogRatioPlane, "rejected_log_ratio", math.inf, "rejected_log_ratio must be between -2000 and 2000, found inf"),
    (LogRatioPlane, "beta", 0, "beta must be between 0.001 and 10, found 0"),
    (LogRatioPlane, "label_smoothing", 0.5, "label_smoothing must be between 0 and 0.4, found 0.5"),
    (LogRatioPlane, "preset", "up", "preset must be one of policy = reference,.*found 'up'"),
    (LogRatioPlane, "step", 16, r"step needs a recorded run \(history=...\), found 16"),
    (LossFamily, "loss", "grpo", "loss must be one of sigmoid,.*found 'grpo'"),
    (LossFamily, "compared", "grpo", "compared must be one of none, sigmoid,.*found 'grpo'"),
    (LossFamily, "chosen_log_ratio", 20.5, "chosen_log_ratio must be between -20 and 20, found 20.5"),
    (LossFamily, "label_smoothing", 0.5, "label_smoothing must be between 0 and 0.4, found 0.5"),
    (LossFamily, "chosen_length", 10, "chosen_length must be between 20 and 2000, found 10"),
    (MemoryCalculator, "billions", 0.0, "billions must be between 0.001 and 1000, found 0.0"),
    (MemoryCalculator, "dtype", "float64", "dtype must be one of int8, .*found 'float64'"),
]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(("kind", "name", "value", "words"), WRONG)
def test_the_error_for_an_invalid_value_names_it(kind: type[Explorer], name: str, value: Any, words: str) -> None:
    explorer = kind()
    before = repr(explorer)
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(explorer, name, value)
    with pytest.raises(traitlets.TraitError, match=words):
        explorer.set(**{name: value})
    with pytest.raises(traitlets.TraitError, match=words):
        kind(**{name: value})
    assert repr(explorer) == before


@pytest.mark.parametrize("kind", [*KINDS, BetaRoles, LogpsWorkbench, FrontierWalker])
def test_the_error_for_an_unknown_setting_names_it(kind: type[Explorer]) -> None:
    explorer, words = kind(), f"has no setting 'delta'; it has {kind.settings[0]}"
    with pytest.raises(AttributeError, match=words):
        explorer.set(delta=1.0)
    with pytest.raises(AttributeError, match=words):
        explorer.delta = 1.0
    assert not hasattr(explorer, "delta")
    with pytest.raises(TypeError, match="delta"):
        kind(delta=1.0)


def test_a_panel_without_settings_accepts_no_new_name_either() -> None:
    with pytest.raises(AttributeError, match="LiveCurves has no setting 'step'; it has none"):
        LiveCurves(steps=4, beta=0.1).step = 2


@pytest.mark.parametrize("kind", KINDS)
def test_equal_settings_give_equal_reprs(kind: type[Explorer]) -> None:
    assert repr(kind()) == repr(kind())
    assert "0x" not in repr(kind())
    assert "\n" not in repr(kind())


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_for_the_browser_is_json(kind: type[Explorer]) -> None:
    state = explorer_state(kind())
    derived = {
        "preset",
        "batch",
        "prompt",
        "chosen_log_ratio",
        "rejected_log_ratio",
        "difference",
        "step",
    }  # these are properties: only the underlying values are sent
    assert set(kind.settings) - derived <= state.keys()
    json.dumps(state, allow_nan=False)


@pytest.mark.parametrize("kind", KINDS)
def test_moving_one_control_in_the_browser_changes_one_trait(kind: type[Explorer]) -> None:
    explorer = kind()
    changed: list[str] = []
    explorer.observe(lambda change: changed.append(change["name"]), list(explorer_state(explorer)))
    explorer.set_state({"beta" if "beta" in kind.settings else "billions": 0.5})
    assert changed == ["beta" if "beta" in kind.settings else "billions"]


def test_the_preset_follows_from_the_values_sent_by_the_browser() -> None:
    explorer, weights = LossExplorer(), GradientWeights()
    explorer.set_state({"policy_chosen": -42.0})
    assert (explorer.preset, explorer.policy_chosen) == ("your own", -42.0)
    explorer.set_state(explorer.presets["both fell"])
    assert explorer.preset == "both fell"
    weights.set_state({"differences": [0.0] * 4})
    assert weights.batch == "at the start"


def test_a_prompt_from_the_browser_does_not_reset_rewards_sent_with_it() -> None:
    """A slow kernel gets a new prompt, and a reward that was changed afterwards, in one message."""
    tilt = BetaTilt()
    tilt.set_state({"shown_prompt": film_world().prompts[2], "rewards": [1.0] * 6})
    assert (tilt.prompt, tilt.rewards) == (film_world().prompts[2], [1.0] * 6)


def test_an_invalid_value_from_the_browser_is_reported_in_the_widget() -> None:
    tilt = BetaTilt()
    tilt.set_state({"shown_prompt": "Tomorrow."})
    assert "prompt must be one of We went" in tilt.error_message
    assert tilt.prompt == film_world().prompts[0]
    tilt.set_state({"beta": 0.5})
    assert tilt.error_message == ""


class Doubling(Explorer):
    commands = ("double",)
    number = traitlets.Int(2)

    def double(self, times: int = 1) -> None:
        if times > 5:
            raise RuntimeError("the number is full")
        self.number *= 2**times

    def describe(self) -> str:
        return f"Doubling: {self.number}"


def test_a_command_from_the_browser_runs_and_its_error_is_shown() -> None:
    explorer = Doubling()
    explorer._run_command(None, {"command": "double", "times": 3}, [])
    assert explorer.number == 16
    explorer._run_command(None, {"command": "double", "times": 6}, [])
    assert isinstance(explorer.error, RuntimeError)
    assert explorer.error_message == "RuntimeError: the number is full"
    explorer._run_command(None, {"command": "double"}, [])
    assert (explorer.error, explorer.error_message, explorer.number) == (None, "", 32)


@pytest.mark.parametrize("name", ["close", "describe", "__init__", ""])
def test_the_browser_may_call_no_other_method(name: str) -> None:
    explorer = Doubling()
    explorer._run_command(None, {"command": name}, [])
    assert explorer.error_message == f"ValueError: command must be one of double, found {name!r}"


# Saved outputs


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_output_contains_the_screenshot(kind: type[Explorer]) -> None:
    data, _ = kind()._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert data["text/plain"] == repr(kind())
    png = base64.b64decode(data["image/png"])
    assert png.startswith(b"\x89PNG")
    assert len(png) < 120_000


def test_other_settings_have_no_screenshot() -> None:
    data, _ = LossExplorer(beta=0.7)._repr_mimebundle_()
    assert "image/png" not in data


def test_the_screenshots_are_up_to_date() -> None:
    index = json.loads(INDEX.read_text())
    assert index["fingerprint"] == fingerprint(), "the explorers have changed: `make screenshots`"
    assert index["screenshots"] == {repr(explorer): file for file, (_, explorer) in TARGETS.items()}
    assert all((INDEX.parent / file).is_file() for file in index["screenshots"].values())


# Bundles


def test_a_bundle_has_each_module_once_after_its_imports() -> None:
    text = bundle("playground")
    names = ("dom", "frame", "chart", "dpo", "loss_explorer", "playground")
    places = [text.index(f"const ${name} = (() => {{") for name in names]
    assert [text.count(f"const ${name} =") for name in names] == [1] * len(names)
    assert places[-1] == max(places)
    assert "import " not in text
    assert "export " not in text


def test_the_error_for_a_missing_module_names_it() -> None:
    with pytest.raises(FileNotFoundError, match=r"nonsense\.js"):
        bundle("nonsense")


# The loss explorer


def test_the_four_examples_match_values_computed_by_hand() -> None:
    losses = []
    for preset, difference in (("example 1", 2.0), ("example 2", 3.0), ("example 3", 3.0), ("example 4", -2.0)):
        explorer = LossExplorer(preset=preset)
        assert explorer.values.difference == difference
        losses.append(explorer.values.loss)
    assert f"{sum(losses) / 4:.4f}" == "0.6262"


def test_at_the_reference_the_loss_is_ln_2_and_the_weight_half_of_beta() -> None:
    values = LossExplorer(preset="policy = reference", beta=0.3).values
    assert values.loss == pytest.approx(math.log(2))
    assert values.gradient_weight == pytest.approx(0.15)


def test_larger_beta_steepens_the_loss_and_moves_the_optimum_closer() -> None:
    small, large = (
        LossExplorer(preset="policy = reference", beta=0.1),
        LossExplorer(preset="policy = reference", beta=0.4),
    )
    assert large.values.gradient_weight == pytest.approx(4 * small.values.gradient_weight)
    assert large.values.best_difference == pytest.approx(small.values.best_difference / 4)
    assert small.values.best_difference == pytest.approx(math.log(3) / 0.1)  # 75 of 100: odds of 3


def test_the_preset_name_follows_from_the_log_probabilities() -> None:
    explorer = LossExplorer()
    assert explorer.preset == "example 1"
    explorer.preset = "both fell"
    assert tuple(getattr(explorer, name) for name in LOGPS) == PRESETS["both fell"]
    explorer.policy_chosen = -42.5
    assert explorer.preset == "your own"
    explorer.preset = "your own"  # changes nothing
    assert explorer.policy_chosen == -42.5
    explorer.preset = "example 3"
    assert explorer.policy_rejected == -58.0
    explorer.set(policy_chosen=-48.0, policy_rejected=-46.0, reference_chosen=-49.0, reference_rejected=-49.0)
    assert explorer.preset == "example 4"
    explorer.set(preset="example 1", beta=0.5)
    assert (explorer.policy_chosen, explorer.beta) == (-50.0, 0.5)


def test_a_log_ratio_moves_the_policy_and_keeps_the_reference() -> None:
    explorer = LossExplorer()  # policy -50 and -52, reference -51 and -51
    explorer.chosen_log_ratio = 5
    assert [getattr(explorer, name) for name in LOGPS] == [-46.0, -52.0, -51.0, -51.0]
    explorer.rejected_log_ratio = -2.5
    assert [getattr(explorer, name) for name in LOGPS] == [-46.0, -53.5, -51.0, -51.0]
    assert (explorer.chosen_log_ratio, explorer.rejected_log_ratio, explorer.difference) == (5.0, -2.5, 7.5)
    explorer.set(reference_chosen=-40.0, chosen_log_ratio=-3.0)  # relative to the new reference
    assert (explorer.policy_chosen, explorer.reference_chosen) == (-43.0, -40.0)
    explorer.set(preset="both fell", rejected_log_ratio=2.0)
    assert [getattr(explorer, name) for name in LOGPS] == [-55.0, -49.0, -51.0, -51.0]


def test_a_difference_moves_both_by_the_same_amount_up_to_the_bounds() -> None:
    explorer = LossExplorer()
    explorer.difference = 6
    assert [getattr(explorer, name) for name in LOGPS] == [-48.0, -54.0, -51.0, -51.0]
    explorer.difference = -2
    assert [getattr(explorer, name) for name in LOGPS] == [-52.0, -50.0, -51.0, -51.0]
    explorer.difference = 110  # -51 + 55 would be above 0
    assert [getattr(explorer, name) for name in LOGPS] == [0.0, -110.0, -51.0, -51.0]
    explorer.set(preset="example 1", chosen_log_ratio=3.0, difference=0.0)  # -48 and -52 meet in the middle
    assert [getattr(explorer, name) for name in LOGPS] == [-50.0, -50.0, -51.0, -51.0]
    explorer.set(difference=-2000)
    assert [getattr(explorer, name) for name in LOGPS] == [-2000.0, 0.0, -51.0, -51.0]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("chosen_log_ratio", 52.0, "chosen_log_ratio must be between -1949 and 51, found 52.0"),
        ("rejected_log_ratio", "1", "rejected_log_ratio must be between -1949 and 51, found '1'"),
        ("difference", 2001, "difference must be between -2000 and 2000, found 2001"),
    ],
)
def test_a_log_ratio_out_of_reach_of_the_policy_changes_nothing(name: str, value: Any, words: str) -> None:
    explorer = LossExplorer()
    before = repr(explorer)
    for attempt in (lambda: setattr(explorer, name, value), lambda: explorer.set(**{name: value, "beta": 0.5})):
        with pytest.raises(traitlets.TraitError, match=words):
            attempt()
    assert repr(explorer) == before


def test_annotators_who_all_agree_leave_no_optimum() -> None:
    explorer = LossExplorer(agreement=1.0)
    assert explorer.values.best_difference == math.inf
    assert repr(explorer).endswith("with 100 % agreement the loss has no minimum")


def test_both_log_ratios_of_both_fell_are_negative() -> None:
    values = LossExplorer(preset="both fell").values
    assert values.chosen_log_ratio < 0 > values.rejected_log_ratio
    assert values.loss < math.log(2)


# The beta tilt


@pytest.mark.parametrize("beta", [0.06, 1.0, 19.0])
def test_the_tilt_equals_the_closed_form(beta: float) -> None:
    world = film_world()
    panel = BetaTilt(beta=beta, prompt=world.prompts[1])
    expected = optimal_policy(world.reference, world.reward, beta)[1]
    assert panel.policy.tolist() == pytest.approx(expected.tolist())
    # max of "reward minus β KL" = β log Z
    assert panel.reward - beta * panel.kl == pytest.approx(beta * panel.log_z)


def test_adding_a_constant_to_every_reward_changes_only_the_reward_and_log_z() -> None:
    plain, shifted = BetaTilt(beta=0.5), BetaTilt(beta=0.5, shift=3.0)
    assert shifted.policy.tolist() == pytest.approx(plain.policy.tolist())
    assert shifted.kl == pytest.approx(plain.kl)
    assert shifted.reward == pytest.approx(plain.reward + 3)
    assert shifted.log_z == pytest.approx(plain.log_z + 3 / 0.5)


def test_rewards_can_be_set_and_a_new_prompt_resets_them() -> None:
    panel = BetaTilt(rewards=[0.0] * 6)
    assert panel.policy.tolist() == pytest.approx(panel.reference.tolist())  # equal rewards tilt nothing
    assert panel.kl == pytest.approx(0, abs=1e-12)
    panel.prompt = film_world().prompts[2]
    assert panel.rewards == film_world().reward[2].tolist()
    panel.set(prompt=film_world().prompts[1], rewards=[1.0] * 6)
    assert panel.rewards == [1.0] * 6


def test_a_larger_beta_lowers_the_kl() -> None:
    panel = BetaTilt()
    distances = []
    for beta in (0.1, 1.0, 10.0):
        panel.beta = beta
        distances.append(panel.kl)
    assert distances[0] > distances[1] > distances[2] > 0


# Memory


def test_memory_matches_values_computed_by_hand() -> None:
    # 7 billion parameters of one byte, nothing trained: 4 x 7 and 2 x 7.
    assert MemoryCalculator(billions=7.0, dtype="int8", optimizer="none").gigabytes == (28.0, 14.0)
    # bfloat16: twice that.
    assert MemoryCalculator(billions=7.0, dtype="bfloat16", optimizer="none").gigabytes == (56.0, 28.0)
    # AdamW on bfloat16: 2 weight + 2 gradient + 8 moments = 12 bytes for a trained one, 2 for a frozen one.
    # RLHF 7 x (12 + 12 + 2 + 2) = 196, DPO 7 x (12 + 2) = 98, and 84 without the reference.
    assert MemoryCalculator(billions=7.0).gigabytes == (196.0, 98.0)
    assert MemoryCalculator(billions=7.0, precomputed_reference=True).gigabytes == (196.0, 84.0)
    # A float32 master copy is 4 bytes more for each trained parameter.
    assert MemoryCalculator(billions=7.0, dtype="bfloat16 + float32 master").gigabytes == (252.0, 126.0)


def test_lora_shares_the_reference_with_the_policy() -> None:
    rlhf, dpo = count_memory(1e9, lora=True)
    assert [model.role for model in rlhf.models] == ["policy", "value", "reward"]
    assert [model.role for model in dpo.models] == ["policy"]
    # 1.01 x 2 bytes of weights, 0.01 x (2 + 8) of gradient and moments
    assert dpo.total / 1e9 == pytest.approx(2.02 + 0.10)


@pytest.mark.parametrize("dtype", get_args(Dtype))
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("precomputed", [False, True])
def test_dpo_needs_at_most_half_the_memory(dtype: Dtype, optimizer: Optimizer, lora: bool, precomputed: bool) -> None:
    rlhf, dpo = count_memory(1e9, dtype, optimizer, lora=lora, precomputed_reference=precomputed)
    assert rlhf.total >= 2 * dpo.total * (1 - 1e-12)
    frozen = [model for model in rlhf.models if model.role in {"reward", "reference"}]
    assert all(model.gradients == model.optimizer == 0 for model in frozen)
    assert count_memory(2e9, dtype, optimizer, lora=lora)[0].total == pytest.approx(2 * rlhf.total)


@pytest.mark.parametrize("parameters", [0.0, -1.0, math.nan, math.inf])
def test_an_invalid_number_of_parameters_is_rejected(parameters: float) -> None:
    with pytest.raises(ValueError, match="parameters must be a finite number above 0"):
        count_memory(parameters)

"""Every panel is driven over its whole range: an error inside a callback is otherwise seen by nobody."""

import io
import math
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, get_args

import ipywidgets as ipw
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from dpo_teach import compute_dpo_loss, compute_implicit_reward, gradient_weight, margin
from dpo_teach.memory import Dtype, Optimizer, count_memory
from dpo_teach.plots import (
    CHOSEN,
    POLICY,
    REFERENCE,
    REJECTED,
    Picture,
    plot_log_ratios,
    plot_recovered_reward,
    plot_tilt,
    plot_training_curves,
)
from dpo_teach.widgets import (
    BetaRoles,
    BetaTilt,
    FrontierWalker,
    GradientWeights,
    LogpsWorkbench,
    LossExplorer,
    MemoryCalculator,
    Panel,
)
from dpo_teach.widgets.loss_explorer import PRESETS
from dpo_teach.worlds.tabular import film_world, optimal_policy

PANELS: list[type[Panel]] = [
    LossExplorer,
    BetaTilt,
    MemoryCalculator,
    BetaRoles,
    GradientWeights,
    LogpsWorkbench,
    FrontierWalker,
]
LOGPS = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")


def settings_of(control: ipw.Widget) -> Iterator[Any]:
    """Every choice of a menu; both states of a box; both ends and the middle of a slider."""
    if isinstance(control, ipw.Dropdown):
        yield from (option[1] if isinstance(option, tuple) else option for option in control.options)
    elif isinstance(control, ipw.Checkbox):
        yield from (True, False)
    else:
        ends = (control.min, (control.min + control.max) / 2, control.max)
        yield from (control.base**end for end in ends) if isinstance(control, ipw.FloatLogSlider) else ends


def move(panel: Panel, name: str, value: Any) -> None:
    """As the browser does: the control's own value changes, and nobody sees an exception."""
    panel.inputs[name].value = value


# All panels


@pytest.mark.parametrize("kind", PANELS)
def test_the_whole_range_is_without_fault_and_every_control_moves_the_picture(kind: type[Panel]) -> None:
    panel = kind()
    figure = panel.figure
    for name, control in panel.inputs.items():
        start, seen = control.value, set()
        for value in settings_of(control):
            move(panel, name, value)
            assert panel.error is None, f"{kind.__name__}.{name} = {value}: {panel.error!r}"
            assert panel.status.layout.display == "none"
            assert "nan" not in repr(panel)
            seen.add(bytes(panel.image.value))
        assert all(picture.startswith(b"\x89PNG") for picture in seen)
        assert len(seen) > 1, f"{kind.__name__}.{name} moves nothing"
        move(panel, name, start)
    assert panel.figure is figure


@pytest.mark.parametrize("kind", PANELS)
def test_the_same_settings_give_the_same_words_and_bytes(kind: type[Panel]) -> None:
    first, second = kind(), kind()
    assert repr(first) == repr(second)
    assert first.image.value == second.image.value
    assert "0x" not in repr(first)
    assert "\n" not in repr(first)
    before = repr(first), first.image.value
    name, control = next((n, c) for n, c in first.inputs.items() if not isinstance(c, ipw.Dropdown))
    start = control.value
    move(first, name, next(settings_of(control)))
    assert repr(first) != before[0]
    move(first, name, start)
    assert (repr(first), first.image.value) == before


@pytest.mark.parametrize("kind", PANELS)
def test_a_cell_gets_the_live_widget_and_a_picture_for_readers_without_a_kernel(kind: type[Panel]) -> None:
    panel = kind()
    bundle = panel._repr_mimebundle_()
    assert bundle is not None
    assert set(bundle) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == repr(panel)  # whole, not cut at 110 characters
    assert panel.image.tooltip is None  # with one, the browser shows a fault in the place of the picture
    assert escape(repr(panel)) in panel.words.value  # for readers who do not see the picture


@pytest.mark.parametrize("kind", PANELS)
def test_the_picture_fits_a_notebook_and_is_small(kind: type[Panel]) -> None:
    data = kind().image.value
    assert len(data) < 60_000
    assert Image.open(io.BytesIO(data)).width <= 940


def broken(panel: Panel) -> Callable[[], None]:
    def update() -> None:
        raise RuntimeError("the <artist> is gone")

    return update


@pytest.mark.parametrize("kind", PANELS)
def test_a_fault_in_a_callback_is_seen(kind: type[Panel], monkeypatch: pytest.MonkeyPatch) -> None:
    panel = kind()
    name, control = next((n, c) for n, c in panel.inputs.items() if not isinstance(c, ipw.Dropdown))
    start, other = control.value, next(settings_of(control))
    with monkeypatch.context() as patch:
        patch.setattr(panel, "update", broken(panel))
        move(panel, name, other)  # from the browser: shown and kept
        assert isinstance(panel.error, RuntimeError)
        assert panel.status.layout.display == ""
        assert "RuntimeError: the &lt;artist&gt; is gone" in panel.status.value
        with pytest.raises(RuntimeError, match="is gone"):  # from code: raised
            setattr(panel, name, start)
    move(panel, name, other)  # and over when the cause is
    assert panel.error is None
    assert panel.status.layout.display == "none"


def test_setting_from_code_names_what_is_wrong() -> None:
    explorer = LossExplorer()
    with pytest.raises(ValueError, match=r"beta must lie between 0.01 and 1, found 5"):
        explorer.beta = 5.0
    with pytest.raises(ValueError, match="preset must be one of example 1"):
        explorer.preset = "example 5"
    with pytest.raises(AttributeError, match="has no control 'gamma'; it has preset, beta"):
        explorer.set(gamma=1.0)
    with pytest.raises(ValueError, match="preset must be one of example 1"):
        LossExplorer(preset="nonsense")
    assert explorer.beta == 0.1


# The loss explorer


@pytest.fixture(scope="module")
def shared_explorer() -> LossExplorer:
    return LossExplorer()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
def test_the_explorer_shows_what_the_loss_functions_say(
    shared_explorer: LossExplorer, preset: str, beta: float
) -> None:
    explorer = shared_explorer
    explorer.set(preset=preset, beta=beta)
    logps = [torch.tensor([value], dtype=torch.float64) for value in PRESETS[preset]]
    margins = margin(*logps, beta)
    shown = {name: text.get_text().replace("−", "-") for name, text in explorer._boxes.items()}
    assert [shown[name] for name in LOGPS] == [f"{value:.1f}" for value in PRESETS[preset]]
    assert shown["chosen_log_ratio"] == f"{compute_implicit_reward(logps[0], logps[2], 1.0).item():+.2f}"
    assert shown["rejected_log_ratio"] == f"{compute_implicit_reward(logps[1], logps[3], 1.0).item():+.2f}"
    assert shown["margin"] == f"{margins.item():+.3f}"
    assert shown["probability"] == f"{1 / (1 + math.exp(-margins.item())):.4f}"
    assert shown["loss"] == f"{compute_dpo_loss(*logps, beta).item():.4f}"
    assert shown["gradient_weight"] == f"{gradient_weight(margins, beta).item():.4f}"


def test_the_explorer_on_the_four_examples_by_hand() -> None:
    losses = []
    for preset, difference in (("example 1", 2.0), ("example 2", 3.0), ("example 3", 3.0), ("example 4", -2.0)):
        explorer = LossExplorer(preset=preset)
        assert explorer.values.difference == difference
        losses.append(explorer.values.loss)
    assert f"{sum(losses) / 4:.4f}" == "0.6262"


def test_at_the_reference_the_loss_is_ln_2_and_the_pull_is_half_of_beta() -> None:
    values = LossExplorer(preset="policy = reference", beta=0.3).values
    assert values.loss == pytest.approx(math.log(2))
    assert values.gradient_weight == pytest.approx(0.15)


def test_beta_steepens_one_pair_and_holds_the_optimum_back() -> None:
    small, large = (
        LossExplorer(preset="policy = reference", beta=0.1),
        LossExplorer(preset="policy = reference", beta=0.4),
    )
    assert large.values.gradient_weight == pytest.approx(4 * small.values.gradient_weight)
    assert large.values.best_difference == pytest.approx(small.values.best_difference / 4)
    assert small.values.best_difference == pytest.approx(math.log(3) / 0.1)  # 75 of 100: odds of 3


def test_a_preset_and_the_sliders_name_each_other() -> None:
    explorer = LossExplorer()
    assert explorer.preset == "example 1"
    move(explorer, "preset", "both fell")
    assert tuple(getattr(explorer, name) for name in LOGPS) == PRESETS["both fell"]
    move(explorer, "policy_chosen", -42.5)
    assert explorer.preset == "your own"
    explorer.preset = "example 3"
    assert explorer.policy_rejected == -58.0
    explorer.set(policy_chosen=-48.0, policy_rejected=-46.0, reference_chosen=-49.0, reference_rejected=-49.0)
    assert explorer.preset == "example 4"


def test_both_fell_is_what_it_says() -> None:
    values = LossExplorer(preset="both fell").values
    assert values.chosen_log_ratio < 0 > values.rejected_log_ratio
    assert values.loss < math.log(2)


def test_a_dot_off_the_chart_waits_hollow_at_its_edge() -> None:
    explorer = LossExplorer(policy_chosen=-60.0, policy_rejected=-40.0, beta=1.0)
    (x,), (y,) = explorer._point.get_data()
    assert (x, y) == (-20.0, 3.0)
    assert explorer._point.get_markerfacecolor() != explorer._point.get_markeredgecolor()


# The beta tilt


@pytest.mark.parametrize("beta", [0.06, 1.0, 19.0])
def test_the_tilt_shows_the_closed_form(beta: float) -> None:
    world = film_world()
    panel = BetaTilt(beta=beta, prompt=world.prompts[1])
    wanted = optimal_policy(world.reference, world.reward, beta)[1]
    assert [bar.get_width() for bar in panel._bars._policy] == pytest.approx(wanted.tolist())
    assert [bar.get_width() for bar in panel._bars._reference] == pytest.approx(world.reference[1].tolist())
    # max of "reward minus β KL" = β log Z, with each of the three shown
    assert panel.reward - beta * panel.kl == pytest.approx(beta * panel.log_z)
    assert f"E[r] = {panel.reward:+.3f}" in panel._numbers.get_text()
    assert f"KL = {panel.kl:.3f}" in panel._numbers.get_text()
    assert f"log Z = {panel.log_z:.3f}" in panel._numbers.get_text()


def test_a_larger_beta_comes_home() -> None:
    panel = BetaTilt()
    distances = []
    for beta in (0.1, 1.0, 10.0):
        panel.beta = beta
        distances.append(panel.kl)
    assert distances[0] > distances[1] > distances[2] > 0


# Memory


def test_memory_by_hand() -> None:
    # 7 billion parameters of one byte, nothing trained: 4 x 7 and 2 x 7.
    assert MemoryCalculator(billions=7.0, dtype="int8", optimizer="none").gigabytes == (28.0, 14.0)
    # bfloat16: twice that.
    assert MemoryCalculator(billions=7.0, dtype="bfloat16", optimizer="none").gigabytes == (56.0, 28.0)
    # AdamW on bfloat16: 2 weight + 2 gradient + 8 moments = 12 bytes for a trained one, 2 for a frozen one.
    # RLHF 7 x (12 + 12 + 2 + 2) = 196, DPO 7 x (12 + 2) = 98, and 84 with the reference let go.
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
def test_dpo_never_needs_more(dtype: Dtype, optimizer: Optimizer, lora: bool, precomputed: bool) -> None:
    rlhf, dpo = count_memory(1e9, dtype, optimizer, lora=lora, precomputed_reference=precomputed)
    assert rlhf.total >= 2 * dpo.total * (1 - 1e-12)
    frozen = [model for model in rlhf.models if model.role in {"reward", "reference"}]
    assert all(model.gradients == model.optimizer == 0 for model in frozen)
    assert count_memory(2e9, dtype, optimizer, lora=lora)[0].total == pytest.approx(2 * rlhf.total)


@pytest.mark.parametrize("parameters", [0.0, -1.0, math.nan, math.inf])
def test_a_model_without_parameters_is_named(parameters: float) -> None:
    with pytest.raises(ValueError, match="parameters must be a finite number above 0"):
        count_memory(parameters)


def test_the_bars_add_up_to_the_totals() -> None:
    panel = MemoryCalculator()
    widths = sum(bar.get_width() for bars in panel._bars.values() for bar in bars)
    assert widths == pytest.approx(sum(panel.gigabytes))


# Figures


def training_rows(steps: int = 30) -> list[dict[str, float]]:
    rows = [
        {
            "step": step,
            "loss": 0.6931 - 0.01 * step,
            "margin": 0.02 * step,
            "preference_accuracy": 0.5 + 0.01 * step,
            "chosen_logps": -40.0 - 0.1 * step,
            "rejected_logps": -40.0 - 0.3 * step,
        }
        for step in range(steps)
    ]
    rows.append({"step": steps, "eval_loss": 0.5, "eval_margin": 0.4, "eval_preference_accuracy": 0.7})
    return rows


def pictures() -> dict[str, Picture]:
    world = film_world()
    best = optimal_policy(world.reference, world.reward, 1.0)
    return {
        "tilt": plot_tilt(
            world.responses, {"reference": world.reference[0], "optimum": best[0]}, "A.", {"dots": best[0]}
        ),
        "reward": plot_recovered_reward(world.prompts, world.reward, world.reward - 1.0, "B."),
        "ratios": plot_log_ratios(torch.tensor([1.0, 1.0]), torch.tensor([-1.0, 3.0]), "C."),
        "training": plot_training_curves(training_rows()),
        "one step": plot_training_curves(training_rows(1)),
    }


def test_pictures_are_small_described_and_repeatable() -> None:
    for (name, first), second in zip(pictures().items(), pictures().values(), strict=True):
        assert first.png == second.png, name
        assert repr(first) == first.alt == second.alt
        assert len(first.png) < 60_000, name
        data, metadata = first._repr_mimebundle_()
        assert data["text/plain"] == first.alt
        assert metadata["image/png"]["width"] <= 940


def test_the_training_figure_finds_its_own_title() -> None:
    assert repr(plot_training_curves(training_rows())).startswith("The margin grew, and both log-probabilities fell.")
    with pytest.raises(ValueError, match="metrics must have a row with a loss, found 0 rows"):
        plot_training_curves([])


def test_the_four_colours_differ_in_lightness_too() -> None:
    """Told apart in print and without colour vision: no two of chosen, rejected and policy look alike in grey."""

    def lightness(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert len({CHOSEN, REJECTED, POLICY, REFERENCE}) == 4
    assert abs(lightness(CHOSEN) - lightness(REJECTED)) > 0.02


def test_no_figure_is_known_to_pyplot() -> None:
    import matplotlib.pyplot as plt

    pictures()
    assert isinstance(BetaTilt().figure, Figure)
    assert plt.get_fignums() == []

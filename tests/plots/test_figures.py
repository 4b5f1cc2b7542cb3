"""The figures are small, described, reproducible and not registered with pyplot."""

import pytest
import torch

from dpo_teach.plots import (
    CHOSEN,
    POLICY,
    REFERENCE,
    REJECTED,
    FigureWithAlt,
    plot_log_ratios,
    plot_recovered_reward,
    plot_tilt,
)
from dpo_teach.worlds.tabular import film_world, optimal_policy


def figures() -> dict[str, FigureWithAlt]:
    world = film_world()
    best = optimal_policy(world.reference, world.reward, 1.0)
    return {
        "tilt": plot_tilt(
            world.responses, {"reference": world.reference[0], "optimum": best[0]}, "A.", {"dots": best[0]}
        ),
        "reward": plot_recovered_reward(world.prompts, world.reward, world.reward - 1.0, "B."),
        "ratios": plot_log_ratios(torch.tensor([1.0, 1.0]), torch.tensor([-1.0, 3.0]), "C."),
    }


@pytest.mark.slow
def test_figures_are_small_described_and_reproducible() -> None:
    for (name, first), second in zip(figures().items(), figures().values(), strict=True):
        assert first.png == second.png, name
        assert repr(first) == first.alt == second.alt
        assert len(first.png) < 60_000, name
        data, metadata = first._repr_mimebundle_()
        assert data["text/plain"] == first.alt
        assert metadata["image/png"]["width"] <= 940


def test_the_four_colours_differ_in_lightness_too() -> None:
    """Chosen and rejected can be distinguished in print and without colour vision."""

    def lightness(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert len({CHOSEN, REJECTED, POLICY, REFERENCE}) == 4
    assert abs(lightness(CHOSEN) - lightness(REJECTED)) > 0.02


@pytest.mark.slow
def test_no_figure_is_registered_with_pyplot() -> None:
    import matplotlib.pyplot as plt

    figures()
    assert plt.get_fignums() == []

"""Build the playground, six explorers in one HTML file without kernel or network: `python -m tools.playground`."""

import argparse
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from dpo_teach.training.pair_history import bundled_histories
from dpo_teach.widgets.beta_tilt import BetaTilt
from dpo_teach.widgets.explorer import Explorer
from dpo_teach.widgets.gradient_weights import GradientWeights
from dpo_teach.widgets.js_bundle import bundle, stylesheet
from dpo_teach.widgets.log_ratio_plane import LogRatioPlane
from dpo_teach.widgets.loss_explorer import LossExplorer
from dpo_teach.widgets.loss_family import LossFamily
from dpo_teach.widgets.memory_calculator import MemoryCalculator

__all__ = ["EXPLORERS", "default_explorer", "explorer_state", "playground_page", "write_playground"]

EXPLORERS: dict[str, type[Explorer]] = {
    "lossExplorer": LossExplorer,
    "betaTilt": BetaTilt,
    "gradientWeights": GradientWeights,
    "logRatioPlane": LogRatioPlane,
    "lossFamily": LossFamily,
    "memoryCalculator": MemoryCalculator,
}
"""The explorers of the playground, by the function that draws them."""


def default_explorer(kind: type[Explorer]) -> Explorer:
    """An explorer with its initial settings; the plane of log-ratios with a recorded run, if one is bundled."""
    histories = bundled_histories() if kind is LogRatioPlane else []
    return LogRatioPlane(history=histories[0]) if histories else kind()


def explorer_state(explorer: Explorer) -> dict[str, Any]:
    """The traits that the browser needs to draw an explorer: ipywidgets' own traits are left out."""
    of_ipywidgets = {"layout", "tabbable", "tooltip"}
    state = explorer.get_state()
    return {name: value for name, value in state.items() if not name.startswith("_") and name not in of_ipywidgets}


def playground_page(explorers: Mapping[str, Explorer] | None = None) -> str:
    """One HTML document with everything in it: style, arithmetic, drawing code and initial settings.

    Args:
        explorers: keyed by the function that draws them; one of each by default.

    Returns:
        The text of the document, which loads nothing else.
    """
    explorers = explorers or {name: default_explorer(kind) for name, kind in EXPLORERS.items()}
    states = {name: explorer_state(explorer) for name, explorer in explorers.items()}
    script = f"{bundle('playground')}\n$playground.fillPage({json.dumps(states)});"
    places = "\n".join(f'<div data-explorer="{name}"></div>' for name in explorers)
    page = (files("dpo_teach.widgets") / "js" / "playground.html").read_text(encoding="utf-8")
    for name, text in {"style": stylesheet(), "places": places, "script": script.replace("</", "<\\/")}.items():
        page = page.replace(f"<!-- {name} -->", text)
    return page


def write_playground(path: str | Path) -> Path:
    """Write the page to a file; its folder is created if needed.

    Args:
        path: where to write the HTML file.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(playground_page(), encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", default="build/playground.html", help="the HTML file to write")
    print(write_playground(parser.parse_args().output))

"""What learners move: explorers that answer in the browser, and panels whose picture the kernel draws."""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpo_teach.widgets.annotator import Annotator
    from dpo_teach.widgets.before_after import BeforeAfter
    from dpo_teach.widgets.beta_roles import BetaRoles
    from dpo_teach.widgets.beta_tilt import BetaTilt
    from dpo_teach.widgets.frontier_walker import FrontierWalker
    from dpo_teach.widgets.gradient_weights import GradientWeights
    from dpo_teach.widgets.live_curves import LiveCurves
    from dpo_teach.widgets.logps_workbench import LogpsWorkbench
    from dpo_teach.widgets.loss_explorer import LossExplorer
    from dpo_teach.widgets.memory_calculator import MemoryCalculator
    from dpo_teach.widgets.panel import Panel
    from dpo_teach.widgets.token_rewards import TokenRewards

__all__ = [
    "Annotator",
    "BeforeAfter",
    "BetaRoles",
    "BetaTilt",
    "FrontierWalker",
    "GradientWeights",
    "LiveCurves",
    "LogpsWorkbench",
    "LossExplorer",
    "MemoryCalculator",
    "Panel",
    "TokenRewards",
]


def __getattr__(name: str) -> Any:
    """A widget, whose module of the same name is imported when it is first asked for.

    A slider must not wait for the import of a trainer that another widget needs.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return getattr(import_module(f"{__name__}.{module}"), name)

"""Interactive widgets: explorers, which compute in the browser, and panels, whose figure the kernel draws."""

from typing import TYPE_CHECKING

from dpo_teach.late import import_late

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

# A widget's module is imported on first use: a slider must not wait for the trainer that another widget imports.
__getattr__ = import_late(
    __name__,
    {
        "Annotator": "annotator",
        "BeforeAfter": "before_after",
        "BetaRoles": "beta_roles",
        "BetaTilt": "beta_tilt",
        "FrontierWalker": "frontier_walker",
        "GradientWeights": "gradient_weights",
        "LiveCurves": "live_curves",
        "LogpsWorkbench": "logps_workbench",
        "LossExplorer": "loss_explorer",
        "MemoryCalculator": "memory_calculator",
        "Panel": "panel",
        "TokenRewards": "token_rewards",
    },
)

"""What learners move: panels of controls over one picture that follows."""

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

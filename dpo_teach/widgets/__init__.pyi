"""The public widgets and their modules, for type checkers and for the lazy imports of `__init__.py`."""

from .annotator import Annotator
from .before_after import BeforeAfter
from .beta_roles import BetaRoles
from .beta_tilt import BetaTilt
from .frontier_walker import FrontierWalker
from .gradient_weights import GradientWeights
from .live_curves import LiveCurves
from .log_ratio_plane import LogRatioPlane
from .logps_workbench import LogpsWorkbench
from .loss_explorer import LossExplorer
from .loss_family import LossFamily
from .memory_calculator import MemoryCalculator
from .panel import Panel
from .token_rewards import TokenRewards

__all__ = [
    "Annotator",
    "BeforeAfter",
    "BetaRoles",
    "BetaTilt",
    "FrontierWalker",
    "GradientWeights",
    "LiveCurves",
    "LogRatioPlane",
    "LogpsWorkbench",
    "LossExplorer",
    "LossFamily",
    "MemoryCalculator",
    "Panel",
    "TokenRewards",
]

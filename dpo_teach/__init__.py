"""Learn Direct Preference Optimization by running it."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpo_teach.loss import compute_dpo_loss, compute_implicit_reward, gradient_weight, margin
    from dpo_teach.projection import projector

__all__ = ["compute_dpo_loss", "compute_implicit_reward", "gradient_weight", "margin", "projector"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for, as PEP 562 has it: the commands set up threads before torch comes."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module("dpo_teach.projection" if name == "projector" else "dpo_teach.loss")
    return getattr(room, name)

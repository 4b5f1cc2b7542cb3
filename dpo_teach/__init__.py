"""Learn Direct Preference Optimization by running it."""

from typing import TYPE_CHECKING

from dpo_teach.late import import_late

if TYPE_CHECKING:
    from dpo_teach.loss import compute_dpo_loss, compute_implicit_reward, gradient_weight, margin
    from dpo_teach.projector import set_projector_scale

__all__ = ["compute_dpo_loss", "compute_implicit_reward", "gradient_weight", "margin", "set_projector_scale"]

__getattr__ = import_late(__name__, dict.fromkeys(__all__, "loss") | {"set_projector_scale": "projector"})

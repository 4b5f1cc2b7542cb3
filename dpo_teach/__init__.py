"""Learn Direct Preference Optimization by running it."""

from dpo_teach.loss import compute_dpo_loss, compute_implicit_reward, gradient_weight, margin
from dpo_teach.projection import projector

__all__ = ["compute_dpo_loss", "compute_implicit_reward", "gradient_weight", "margin", "projector"]

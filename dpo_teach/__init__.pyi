"""The public names of the package and their modules. `__init__.py` and type checkers read this file."""

from .evaluation import evaluate_pairs, evaluate_reviews
from .loss_family import PairLogps, compute_losses
from .losses import compute_dpo_loss, compute_implicit_reward, gradient_weight, margin
from .models import load_model
from .pairs import load_pairs
from .projector import set_projector_scale
from .sampling import sample_responses
from .training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

__all__ = [
    "DPOConfig",
    "DPOTrainer",
    "PairLogps",
    "SFTConfig",
    "SFTTrainer",
    "compute_dpo_loss",
    "compute_implicit_reward",
    "compute_losses",
    "evaluate_pairs",
    "evaluate_reviews",
    "gradient_weight",
    "load_model",
    "load_pairs",
    "margin",
    "sample_responses",
    "set_projector_scale",
]

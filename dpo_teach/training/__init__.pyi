"""The public names of `dpo_teach.training`, imported on first use."""

from .config import DPOConfig, SFTConfig, TrainingConfig
from .dpo import DPOTrainer
from .schedule import learning_rate_at, plan_steps
from .sft import Example, SFTTrainer

__all__ = [
    "DPOConfig",
    "DPOTrainer",
    "Example",
    "SFTConfig",
    "SFTTrainer",
    "TrainingConfig",
    "learning_rate_at",
    "plan_steps",
]

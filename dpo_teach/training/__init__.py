"""Train a policy: supervised fine-tuning (`sft`) and Direct Preference Optimization (`dpo`)."""

from dpo_teach.training.config import DPOConfig, SFTConfig, TrainingConfig
from dpo_teach.training.dpo import DPOTrainer
from dpo_teach.training.schedule import learning_rate_at, plan_steps
from dpo_teach.training.sft import Example, SFTTrainer

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

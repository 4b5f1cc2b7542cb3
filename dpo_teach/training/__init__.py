"""Train a policy: supervised fine-tuning (`sft`) and Direct Preference Optimization (`dpo`)."""

from typing import TYPE_CHECKING

from dpo_teach.late import import_late
from dpo_teach.training.config import DPOConfig, SFTConfig, TrainingConfig
from dpo_teach.training.schedule import learning_rate_at, plan_steps

if TYPE_CHECKING:
    from dpo_teach.training.dpo import DPOTrainer
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

__getattr__ = import_late(__name__, {"DPOTrainer": "dpo", "Example": "sft", "SFTTrainer": "sft"})

"""The public names of `dpo_teach.training`, imported on first use."""

from .config import DPOConfig, SFTConfig, TrainingConfig
from .dpo import DPOTrainer
from .log_ratios import LogRatioRecorder, reference_kl
from .online import OnlineDPOConfig, train_online_dpo
from .pair_history import PairHistory, bundled_histories, read_history
from .schedule import learning_rate_at, plan_steps
from .sft import Example, SFTTrainer

__all__ = [
    "DPOConfig",
    "DPOTrainer",
    "Example",
    "LogRatioRecorder",
    "OnlineDPOConfig",
    "PairHistory",
    "SFTConfig",
    "SFTTrainer",
    "TrainingConfig",
    "bundled_histories",
    "learning_rate_at",
    "plan_steps",
    "read_history",
    "reference_kl",
    "train_online_dpo",
]

"""The exercises of notebook 02: the Bradley-Terry loss, the models in memory, what holds PPO back."""

from dpo_teach.exercises.rlhf.bradley_terry import bradley_terry
from dpo_teach.exercises.rlhf.models import count_models
from dpo_teach.exercises.rlhf.term import TERMS, which_term

__all__ = ["TERMS", "bradley_terry", "count_models", "which_term"]

"""The exercises of notebook 02: the Bradley-Terry loss, the penalised reward, the models in memory, what holds PPO."""

from dpo_teach.exercises.rlhf.bradley_terry import bradley_terry
from dpo_teach.exercises.rlhf.models import count_models
from dpo_teach.exercises.rlhf.penalty import penalised_rewards
from dpo_teach.exercises.rlhf.term import TERMS, which_term

__all__ = ["TERMS", "bradley_terry", "count_models", "penalised_rewards", "which_term"]

"""The exercises of notebook 01: the loss, the implicit reward, the confused pair."""

from dpo_teach.exercises.introduction.dpo_loss import loss
from dpo_teach.exercises.introduction.pair import PAIRS, confused_pair
from dpo_teach.exercises.introduction.reward import implicit_reward

__all__ = ["PAIRS", "confused_pair", "implicit_reward", "loss"]

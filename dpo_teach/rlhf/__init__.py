"""Reinforcement learning from human feedback: a reward model, then PPO. DPO replaces this pipeline.

Read the modules in this order: `reward_model` (preferences become a reward), `rollouts` (the policy writes),
`objective` (the reward of a response becomes an advantage for each token, and the clipped loss), `ppo` (all of this in
a loop), and `tabular` (the same objective without noise, compared with the closed form).
"""

from dpo_teach.rlhf.config import PPOConfig
from dpo_teach.rlhf.heads import RewardModel, ScalarModel, ValueModel
from dpo_teach.rlhf.objective import (
    clip_fraction,
    clipped_surrogate,
    explained_variance,
    generalised_advantages,
    normalise_advantages,
    penalised_rewards,
    policy_loss,
    value_loss,
)
from dpo_teach.rlhf.ppo import PPOTrainer
from dpo_teach.rlhf.reward_model import (
    LearnedReward,
    RewardModelConfig,
    RewardModelScores,
    bradley_terry_loss,
    evaluate_reward_model,
    train_reward_model,
)
from dpo_teach.rlhf.rollouts import RewardFunction, Rollouts, collect_rollouts, true_review_reward
from dpo_teach.rlhf.tabular import exact_advantages, fit_ppo, population_ppo_loss

__all__ = [
    "LearnedReward",
    "PPOConfig",
    "PPOTrainer",
    "RewardFunction",
    "RewardModel",
    "RewardModelConfig",
    "RewardModelScores",
    "Rollouts",
    "ScalarModel",
    "ValueModel",
    "bradley_terry_loss",
    "clip_fraction",
    "clipped_surrogate",
    "collect_rollouts",
    "evaluate_reward_model",
    "exact_advantages",
    "explained_variance",
    "fit_ppo",
    "generalised_advantages",
    "normalise_advantages",
    "penalised_rewards",
    "policy_loss",
    "population_ppo_loss",
    "train_reward_model",
    "true_review_reward",
    "value_loss",
]

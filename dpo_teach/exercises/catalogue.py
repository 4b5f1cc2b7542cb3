"""Every exercise, by the number of its notebook, in the order in which it is met there."""

from dpo_teach.exercises.base import Exercise
from dpo_teach.exercises.gradients import gradient_weight, logp_signs, sequence_logps
from dpo_teach.exercises.introduction import confused_pair, implicit_reward, loss
from dpo_teach.exercises.rlhf import bradley_terry, count_models, penalised_rewards, which_term
from dpo_teach.exercises.training import choose_beta, diagnose_runs, training_step

__all__ = ["EXERCISES"]

EXERCISES: dict[str, tuple[Exercise, ...]] = {
    "01": (loss, implicit_reward, confused_pair),
    "02": (bradley_terry, penalised_rewards, count_models, which_term),
    "03": (gradient_weight, sequence_logps, logp_signs),
    "04": (training_step, choose_beta, diagnose_runs),
}

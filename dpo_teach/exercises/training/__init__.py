"""The exercises of notebook 04: the training step, the choice of β from a frontier, runs to diagnose."""

from dpo_teach.exercises.training.beta import choose_beta
from dpo_teach.exercises.training.curves import diagnose_runs
from dpo_teach.exercises.training.frontiers import Run
from dpo_teach.exercises.training.recorded import recorded_runs
from dpo_teach.exercises.training.step import training_step

__all__ = ["Run", "choose_beta", "diagnose_runs", "recorded_runs", "training_step"]

"""The exercises of notebook 03: the gradient weight, `sequence_logps`, and the signs of both changes of logps."""

from dpo_teach.exercises.gradients.logps import sequence_logps
from dpo_teach.exercises.gradients.signs import RESPONSES, WORLDS, first_step, logp_signs
from dpo_teach.exercises.gradients.weight import gradient_weight

__all__ = ["RESPONSES", "WORLDS", "first_step", "gradient_weight", "logp_signs", "sequence_logps"]

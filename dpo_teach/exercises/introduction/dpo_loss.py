"""Write the DPO loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.introduction.cases import random_cases
from dpo_teach.exercises.introduction.loss_mistakes import LOSS_MISTAKES
from dpo_teach.exercises.losses import LossExercise

__all__ = ["loss"]


def _my_dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> Tensor:
    chosen_log_ratio = policy_chosen - reference_chosen
    rejected_log_ratio = policy_rejected - reference_rejected
    margin = beta * (chosen_log_ratio - rejected_log_ratio)
    return -F.logsigmoid(margin).mean()


_FAR_OFF = {"policy_chosen": -300.0, "policy_rejected": -60.0, "reference_chosen": -180.0, "reference_rejected": -140.0}
"""Chosen has lost 120 nats and rejected gained 80: a margin of -200, and a loss of 200."""

_LOGPS = tuple(_FAR_OFF)

loss = LossExercise(
    name="the loss",
    notebook="01",
    answer_name="my_dpo_loss",
    task="Replace the `...` of the stub by the four steps, and return one number for the batch.",
    hints=(
        "Work from the inside out: two log-ratios, their difference, times β, then the logistic loss.",
        "A log-ratio is the policy's log-probability minus the reference's, for the same response.",
        "The last step is minus the mean of `F.logsigmoid(margin)`: `logsigmoid` keeps its digits where log(sigmoid) "
        "would run out of them.",
    ),
    praise="That is the DPO loss: the same to four digits as the package's on every test case.",
    solution=_my_dpo_loss,
    name_in_notebook="exercises.loss",
    cases=(
        *random_cases(_LOGPS, (0, 4, 0.1), (1, 3, 0.5), (2, 5, 2.0)),
        {name: torch.tensor([value]) for name, value in _FAR_OFF.items()} | {"beta": 1.0},
    ),
    mistakes=LOSS_MISTAKES,
    trained=("policy_chosen", "policy_rejected"),
)

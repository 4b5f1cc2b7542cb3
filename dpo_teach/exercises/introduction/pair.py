"""Find the pair that the policy gets wrong."""

import torch
from torch import Tensor

from dpo_teach.exercises.choices import ChoiceExercise

__all__ = ["PAIRS", "confused_pair"]

PAIRS: dict[str, Tensor] = {
    "policy_chosen": torch.tensor([-40.0, -52.0, -38.0, -62.0]),
    "policy_rejected": torch.tensor([-45.0, -47.0, -41.0, -67.0]),
    "reference_chosen": torch.tensor([-42.0, -55.0, -39.0, -60.0]),
    "reference_rejected": torch.tensor([-44.0, -48.0, -45.0, -61.0]),
}
"""Four pairs, one of which the policy gets wrong: log-probabilities, nats."""

confused_pair = ChoiceExercise(
    name="the confused pair",
    notebook="01",
    answer_name="confused",
    task="Set `confused` to the number of the pair that the policy gets wrong: 1, 2, 3 or 4.",
    hints=(
        "Do not look at which response is more probable. Look at which one has *gained* more since the reference.",
        "Compute the two log-ratios of each pair. The margin is their difference: where is it below 0?",
        "Do not be misled by pair 2: its chosen response is the less probable one, but has gained more. Look for a "
        "pair in which both rose, and the rejected one by more.",
    ),
    praise=(
        "Pair 3: both responses rose, but the rejected one rose by 4 nats and the chosen one by 1. Its margin is the "
        "only negative one, though the policy still finds the chosen response more probable."
    ),
    answer=3,
    explanation=(
        "Pair 3. Log-ratios of the chosen: +2, +3, +1, -2. Of the rejected: -1, +1, +4, -6. The differences are +3, "
        "+2, -3 and +4, so only pair 3 has a negative margin."
    ),
    diagnoses={
        1: "In pair 1 the chosen response gained 2 nats and the rejected one lost 1: that is as it should be. Look for "
        "a pair where the rejected response gained more.",
        2: "In pair 2 the policy finds the rejected response more probable, but so did the reference, and by more. DPO "
        "counts the change: +3 for chosen, +1 for rejected.",
        4: "In pair 4 both responses became less probable, and the rejected one fell further: -2 against -6. The loss "
        "is low there, though it looks alarming.",
    },
)

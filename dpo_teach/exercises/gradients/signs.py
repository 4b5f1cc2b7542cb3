"""Predict what one DPO step does to both log-probabilities, in three worlds small enough for pencil and paper."""

import torch
from torch import Tensor

from dpo_teach.exercises.choices import MatchExercise, Question
from dpo_teach.losses import compute_dpo_loss

__all__ = ["RESPONSES", "WORLDS", "first_step", "logp_signs"]

RESPONSES = ("chosen", "rejected", "third")
"""What the rows of a world are: the three responses that there are."""

WORLDS: dict[str, Tensor] = {
    "A": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    "B": torch.tensor([[1.0], [0.5], [3.0]]),
    "C": torch.tensor([[1.0], [0.5], [-3.0]]),
}
"""The features φ of chosen, rejected and third response; P(y) ∝ exp(θ·φ(y)), and θ = 0 at the start."""

_SPLIT, _DOWN, _UP = "chosen up, rejected down", "both down", "both up"


def first_step(features: Tensor, beta: float = 0.1, learning_rate: float = 0.1) -> Tensor:
    """What one gradient step of DPO does to the log-probabilities of three responses.

        Δ log P(y) ≈ learning rate × β/2 × (φ(y) - E[φ]) · (φ(chosen) - φ(rejected)),   P(y) ∝ exp(θ·φ(y))

    The policy is uniform at the start, where it is also the reference. The step is taken by autograd through
    `compute_dpo_loss`; the formula above is its first order.

    Args:
        features: φ of chosen, rejected and third response, a row each.
        beta: of the loss; above 0.
        learning_rate: of plain gradient descent on θ.

    Returns:
        The changes of the three log-probabilities, nats.

    >>> first_step(WORLDS["B"]).sign()  # chosen and rejected lose to the third
    tensor([-1., -1.,  1.])
    """
    with torch.enable_grad():
        theta = torch.zeros(features.shape[1], dtype=features.dtype, requires_grad=True)
        logps = (features @ theta).log_softmax(dim=0)
        start = logps.detach()
        compute_dpo_loss(logps[:1], logps[1:2], start[:1], start[1:2], beta).backward()
    moved = -learning_rate * theta.grad if theta.grad is not None else torch.zeros_like(theta)
    return (features @ moved).log_softmax(dim=0) - start


logp_signs = MatchExercise(
    name="the signs of both changes",
    notebook="03",
    answer_name="signs",
    task="Fill in the dict `signs`: for each world, what one step does to log P of chosen and of rejected.",
    hints=(
        "The step moves θ along φ(chosen) - φ(rejected). The *score* θ·φ of the chosen response gains on that of the "
        "rejected one in every world; its probability need not rise, for a third response has a score too.",
        "log P(y) is the score of y minus the logarithm of a sum over all three. So log P(y) rises if the score of y "
        "rises by more than the mean of the three, and falls if it rises by less.",
        "In worlds B and C there is one feature, and φ(chosen) - φ(rejected) is 0.5, so each score changes in "
        "proportion to its feature. Compare 1.0 and 0.5 with the mean of the three features.",
    ),
    praise="The margin grows in all three worlds, and yet both log-probabilities may fall, or rise: the loss asks for "
    "a difference, and a third response that looks like one side of it takes or gives the mass.",
    choices=(_SPLIT, _DOWN, _UP),
    questions={
        "A": Question(
            answer=_SPLIT,
            explanation="Δθ points along (1, -1), so the scores change by +1, -1 and 0, with a mean of 0: chosen gains "
            "on the mean, and rejected loses.",
            diagnoses={
                _DOWN: "For both to fall, the third response's score would have to rise by more than theirs. "
                "Its features are (0, 0): does its score move at all?",
                _UP: "For both to rise, both scores would have to gain on the mean of the three. "
                "Each has a feature of its own here, and the step along (1, -1) treats the two features differently.",
            },
        ),
        "B": Question(
            answer=_DOWN,
            explanation="The scores rise in proportion to 1.0, 0.5 and 3.0, with a mean of 1.5: both are below it, and "
            "the third response takes their mass.",
            diagnoses={
                _SPLIT: "That is what the loss asks for, and it asks for the difference only. "
                "Look at the third response, which has more than anyone of the feature that the step favours.",
                _UP: "Both scores do rise, but a probability is a share. "
                "Ask whose score rises most here, and from whom the mass for that must come.",
            },
        ),
        "C": Question(
            answer=_UP,
            explanation="The scores change in proportion to 1.0, 0.5 and -3.0, with a mean of -0.5: both are above it, "
            "and the third response pays.",
            diagnoses={
                _SPLIT: "The rejected response has half of the feature that the step favours, so its score moves too. "
                "Compare that with what happens to the third response's score, whose feature is -3.0.",
                _DOWN: "Probabilities sum to 1, so if both fell, the third response would have to win. "
                "Its feature is -3.0: which way does the step move its score?",
            },
        ),
    },
)

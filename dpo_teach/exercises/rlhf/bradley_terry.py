"""Write the loss of the reward model, by Bradley and Terry."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.function import Mistake
from dpo_teach.exercises.losses import LossExercise

__all__ = ["bradley_terry"]


def _my_reward_loss(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    return -F.logsigmoid(chosen_rewards - rejected_rewards).mean()


_MISTAKES = (
    Mistake(
        lambda chosen, rejected: F.logsigmoid(chosen - rejected).mean(),
        "Your value is the right one with the sign flipped: the loss is *minus* the log-likelihood of the choices. "
        "An optimizer makes a loss small, and would make what the annotators chose as unlikely as it can.",
    ),
    Mistake(
        lambda chosen, rejected: _my_reward_loss(rejected, chosen),
        "Chosen and rejected are swapped: the difference is r(chosen) - r(rejected). "
        "This reward is highest for what people like least, and PPO would go and write it.",
    ),
    Mistake(
        lambda chosen, rejected: F.logsigmoid(rejected - chosen).mean(),
        "The minus stands inside the log-sigmoid, and it belongs in front: -log σ(d) is not log σ(-d). "
        "Yours falls without end on pairs that are in order, and is flat on those that are not.",
    ),
    Mistake(
        lambda chosen, rejected: -(F.logsigmoid(chosen) - F.logsigmoid(rejected)).mean(),
        "You took the difference of two log-sigmoids, and it is the log-sigmoid of the difference that is wanted. "
        "A reward has no probability of its own: only a comparison of two has one.",
    ),
    Mistake(
        lambda chosen, rejected: torch.sigmoid(rejected - chosen).mean(),
        "This is the probability that the annotator would have chosen otherwise, and minus the logarithm of the other "
        "one is wanted. "
        "It falls where it should, but it is flat on a pair that is badly wrong, which would teach next to nothing.",
    ),
    Mistake(
        lambda chosen, rejected: torch.sigmoid(chosen - rejected).mean(),
        "You stopped at the probability σ(difference) of the annotator's choice, and the loss is minus its logarithm. "
        "That probability is high where the reward model is right, so that making it small would turn it round.",
    ),
    Mistake(
        lambda chosen, rejected: -torch.sigmoid(chosen - rejected).mean(),
        "You took minus the sigmoid, and the logarithm is missing. "
        "The sigmoid is flat where a pair is badly wrong, and such a pair would teach next to nothing.",
    ),
    Mistake(
        lambda chosen, rejected: (chosen - rejected).mean(),
        "You stopped at the mean difference: the log-sigmoid and the minus are still to come. "
        "The difference is large where all is well, and making it small would turn the rewards round.",
    ),
    Mistake(
        lambda chosen, rejected: -(chosen - rejected).mean(),
        "The log-sigmoid is missing: this is minus the mean difference. "
        "It has no lower end, so that pulling one pair apart for ever is as good as putting all in order.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid(chosen - rejected).sum(),
        "You summed over the batch, where the mean is wanted. "
        "With the sum, a batch of twice the size pulls twice as hard.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid(chosen - rejected),
        "This is one loss for each pair, and one number for the batch is wanted: their mean. "
        "`backward` starts from a single number, and stops with an error at several.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid((chosen - rejected).mean()),
        "You averaged the differences and then took one loss: the mean comes last. "
        "In this order a pair with a large lead hides one in which the rejected response leads.",
    ),
    Mistake(
        lambda chosen, rejected: -torch.sigmoid(chosen - rejected).mean().log(),
        "You averaged the probabilities and then took one logarithm: it is the logarithms that are averaged. "
        "The likelihood of all choices is a product over the pairs, and only its logarithm is a sum.",
    ),
    Mistake(
        lambda chosen, rejected: 0.5 * _my_reward_loss(chosen, rejected),
        "There is a factor of 1/2 too many: the mean is over the pairs, and not over their two responses. "
        "The optimum stays where it is, but each gradient is half as large, and a loss of ln 2 no longer means that "
        "the model cannot tell the two apart.",
    ),
    Mistake(
        lambda chosen, rejected: -(chosen / (chosen + rejected)).log().mean(),
        "You put the rewards themselves into the quotient, where Bradley and Terry have exp(r): what is divided are "
        "strengths. "
        "A reward may be negative, and adding the same number to all rewards may change nothing; in yours it does.",
    ),
    Mistake(
        lambda chosen, rejected: ((chosen - rejected - 1) ** 2).mean(),
        "This is a squared error, which wants every difference to be 1. "
        "A pair in which chosen leads by 3 would be pulled back, though nothing is wrong with it.",
    ),
    Mistake(
        lambda chosen, rejected: F.relu(1 - (chosen - rejected)).mean(),
        "This is a hinge: it is 0 as soon as chosen leads by 1. "
        "It can put responses in order, but its rewards do not say how *often* an annotator would choose so, as those "
        "of Bradley and Terry do.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid(chosen).mean(),
        "The rejected reward is missing: your loss is -log σ(r(chosen)). "
        "It falls when the rewards of all responses rise together, and nothing makes the model tell good from bad.",
    ),
    Mistake(
        lambda chosen, rejected: -(F.logsigmoid(chosen) + F.logsigmoid(-rejected)).mean(),
        "You judge each response by itself, as if chosen meant good and rejected meant bad. "
        "The annotator has only compared them: both may be poor, or both fine, and only the difference is known.",
    ),
    Mistake(
        lambda chosen, rejected: _my_reward_loss(0.1 * chosen, 0.1 * rejected),
        "There is a factor of 0.1 in front of the difference: a β is DPO's, where the reward is β times a log-ratio. "
        "A reward model sets its scale itself, and would make up for your factor by rewards that are ten times too "
        "large.",
    ),
)

bradley_terry = LossExercise(
    name="the Bradley-Terry loss",
    notebook="02",
    answer_name="my_reward_loss",
    task="Replace the `...` of the stub by one line: from the rewards of chosen and rejected to one number for the "
    "batch.",
    hints=(
        "Bradley and Terry: the probability that an annotator prefers one response to another is the sigmoid of a "
        "difference. Of which two numbers, and in which order?",
        "Maximum likelihood makes the probability of all the choices large, and so minus the mean of its logarithm "
        "small. There is no reference in it, and no β.",
        "`F.logsigmoid` of chosen minus rejected, for all pairs at once; then the mean; then a minus in front.",
    ),
    praise="That is the loss that a reward model is trained with. Write β × log-ratio in place of each reward, and it "
    "is the loss of DPO.",
    solution=_my_reward_loss,
    name_in_notebook="rlhf.bradley_terry",
    cases=(
        {
            "chosen_rewards": torch.tensor([1.2, 0.3, -0.5, 2.0], dtype=torch.float64),
            "rejected_rewards": torch.tensor([0.4, 1.7, -1.5, -0.6], dtype=torch.float64),
        },
        {  # far from 0, as rewards may be: they are known up to a constant
            "chosen_rewards": torch.tensor([8.0, 6.5, 7.1], dtype=torch.float64),
            "rejected_rewards": torch.tensor([7.5, 9.0, 3.0], dtype=torch.float64),
        },
        {
            "chosen_rewards": torch.tensor([-3.0, 0.7], dtype=torch.float64),
            "rejected_rewards": torch.tensor([3.0, 0.2], dtype=torch.float64),
        },
    ),
    mistakes=_MISTAKES,
    trained=("chosen_rewards", "rejected_rewards"),
)

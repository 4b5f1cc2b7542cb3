"""The exercises of notebook 02: the losses and rewards of RLHF, its models in memory, and the term that limits PPO."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.choice import ChoiceExercise, MatchExercise, Question
from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["TERMS", "bradley_terry", "count_models", "penalised_rewards", "which_term"]

# The Bradley-Terry loss


def _my_reward_loss(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    return -F.logsigmoid(chosen_rewards - rejected_rewards).mean()


_LOSS_MISTAKES = (
    Mistake(
        lambda chosen, rejected: F.logsigmoid(chosen - rejected).mean(),
        "Your value has the right size, but its sign is flipped: the loss is *minus* the log-likelihood of the "
        "choices. An optimizer minimises the loss, so it would make the chosen responses as unlikely as possible.",
    ),
    Mistake(
        lambda chosen, rejected: _my_reward_loss(rejected, chosen),
        "Chosen and rejected are swapped: the difference should be r(chosen) - r(rejected). A reward trained this way "
        "is highest for what people like least, and PPO would then write exactly that.",
    ),
    Mistake(
        lambda chosen, rejected: F.logsigmoid(rejected - chosen).mean(),
        "The minus is inside the log-sigmoid, but it belongs in front: -log σ(d) is not log σ(-d). Your loss falls "
        "without limit on pairs that are in the right order, and is flat on those that are not.",
    ),
    Mistake(
        lambda chosen, rejected: -(F.logsigmoid(chosen) - F.logsigmoid(rejected)).mean(),
        "You took the difference of two log-sigmoids instead of the log-sigmoid of the difference. A single reward "
        "has no probability: only a comparison of two rewards has one.",
    ),
    Mistake(
        lambda chosen, rejected: torch.sigmoid(rejected - chosen).mean(),
        "This is the probability that the annotator would have chosen the other response, but the loss is minus the "
        "logarithm of the probability of the choice that was made. Your value falls when it should, but it is flat on "
        "a pair that is badly wrong, so such a pair would teach almost nothing.",
    ),
    Mistake(
        lambda chosen, rejected: torch.sigmoid(chosen - rejected).mean(),
        "You stopped at the probability σ(difference) of the annotator's choice, but the loss is minus its logarithm. "
        "That probability is high when the reward model is right, so minimising it would reverse the rewards.",
    ),
    Mistake(
        lambda chosen, rejected: -torch.sigmoid(chosen - rejected).mean(),
        "You took minus the sigmoid, but the logarithm is missing. The sigmoid is flat on a pair that is badly wrong, "
        "so such a pair would teach almost nothing.",
    ),
    Mistake(
        lambda chosen, rejected: (chosen - rejected).mean(),
        "You stopped at the mean difference: the log-sigmoid and the minus are still missing. The difference is large "
        "when the order is right, so minimising it would reverse the rewards.",
    ),
    Mistake(
        lambda chosen, rejected: -(chosen - rejected).mean(),
        "The log-sigmoid is missing: this is minus the mean difference. It has no lower bound, so pulling a single "
        "pair apart forever is as good as putting all pairs in order.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid(chosen - rejected).sum(),
        "You summed over the batch, but the loss is the mean. With a sum, a batch of twice the size has twice the "
        "gradient.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid(chosen - rejected),
        "You return one loss for each pair, but the task is one number for the batch: their mean. `backward` needs a "
        "single number, and raises an error if there are several.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid((chosen - rejected).mean()),
        "You averaged the differences and then computed a single loss, but the mean has to come last. In your order, "
        "a pair with a large lead hides a pair in which the rejected response leads.",
    ),
    Mistake(
        lambda chosen, rejected: -torch.sigmoid(chosen - rejected).mean().log(),
        "You averaged the probabilities and then took one logarithm, but the average should be over the logarithms. "
        "The likelihood of all choices is a product over the pairs, and it is its logarithm that is a sum.",
    ),
    Mistake(
        lambda chosen, rejected: 0.5 * _my_reward_loss(chosen, rejected),
        "There is an extra factor of 1/2: the mean is over the pairs, not over their two responses. The optimum stays "
        "where it is, but each gradient is half as large, and a loss of ln 2 no longer means that the model cannot "
        "tell the two apart.",
    ),
    Mistake(
        lambda chosen, rejected: -(chosen / (chosen + rejected)).log().mean(),
        "You divided the rewards themselves, but Bradley and Terry divide strengths, which are exp(r). A reward may "
        "be negative, and adding the same number to all rewards must not change the loss, but it changes yours.",
    ),
    Mistake(
        lambda chosen, rejected: ((chosen - rejected - 1) ** 2).mean(),
        "This is a squared error, which pulls every difference towards 1. A pair in which chosen leads by 3 would be "
        "pulled back, although nothing is wrong with it.",
    ),
    Mistake(
        lambda chosen, rejected: F.relu(1 - (chosen - rejected)).mean(),
        "This is a hinge loss: it is 0 as soon as chosen leads by 1. It can put responses in order, but its rewards "
        "do not say how *often* an annotator would make the choice, as those of Bradley and Terry do.",
    ),
    Mistake(
        lambda chosen, rejected: -F.logsigmoid(chosen).mean(),
        "The rejected reward is missing: your loss is -log σ(r(chosen)). It falls when the rewards of all responses "
        "rise together, so nothing makes the model tell good from bad.",
    ),
    Mistake(
        lambda chosen, rejected: -(F.logsigmoid(chosen) + F.logsigmoid(-rejected)).mean(),
        "You score each response on its own, as if chosen meant good and rejected meant bad. The annotator only "
        "compared them: both may be poor, or both fine, and only the difference is known.",
    ),
    Mistake(
        lambda chosen, rejected: _my_reward_loss(0.1 * chosen, 0.1 * rejected),
        "There is an extra factor of 0.1 in front of the difference: β belongs to DPO, where the reward is β times a "
        "log-ratio. A reward model sets its own scale, and would compensate for your factor with rewards that are ten "
        "times too large.",
    ),
    Mistake(
        lambda chosen, rejected: -torch.sigmoid(chosen - rejected).log().mean(),
        "You took the logarithm in a separate step: at a difference of -200 the sigmoid is 0 in float32, and your loss "
        "is infinite. `F.logsigmoid` takes both steps at once and stays finite.",
    ),
    Mistake(
        lambda chosen, rejected: -(torch.sigmoid(chosen - rejected) + 1e-8).log().mean(),
        "You added a small number inside the logarithm, which caps the loss: at 18.4, if the number is 1e-8. The pairs "
        "that are most wrong would have no gradient; `F.logsigmoid` needs no such help.",
        also=tuple(
            lambda chosen, rejected, small=small: -(torch.sigmoid(chosen - rejected) + small).log().mean()
            for small in (1e-12, 1e-10, 1e-9, 1e-7, 1e-6, 1e-5)
        ),
    ),
    Mistake(
        lambda chosen, rejected: F.binary_cross_entropy(torch.sigmoid(chosen - rejected), torch.ones_like(chosen)),
        "`F.binary_cross_entropy` takes the logarithm of the sigmoid in a separate step, and stops it at -100. A pair "
        "that is off by 200 then has no gradient: use `F.logsigmoid`, or `F.binary_cross_entropy_with_logits`.",
    ),
)

bradley_terry = FunctionExercise(
    name="the Bradley-Terry loss",
    notebook="02",
    answer_name="my_reward_loss",
    task="Replace the `...` of the stub by one line that turns the rewards of chosen and rejected into one number for "
    "the batch.",
    hints=(
        "Bradley and Terry: the probability that an annotator prefers one response to another is the sigmoid of a "
        "difference. The difference of which two numbers, and in which order?",
        "Maximum likelihood makes the choices as probable as possible, so it minimises minus the mean of the "
        "log-probability. There is no reference in this loss, and no β.",
        "Take `F.logsigmoid` of chosen minus rejected for all pairs at once, then the mean, and put a minus in front.",
    ),
    praise="That is the loss that trains a reward model. Replace each reward by β × log-ratio, and it is the loss of "
    "DPO.",
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
        {"chosen_rewards": torch.tensor([-150.0]), "rejected_rewards": torch.tensor([50.0])},
    ),
    mistakes=_LOSS_MISTAKES,
    trained=("chosen_rewards", "rejected_rewards"),
)


# The KL-penalised reward


def _my_penalised_rewards(reward: float, logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    rewards = -beta * (logps - reference_logps)
    rewards[-1] += reward
    return rewards


def _penalty(logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    return -beta * (logps - reference_logps)


def _at(place: int, value: float, like: Tensor) -> Tensor:
    """A tensor of zeros with one value."""
    rewards = torch.zeros_like(like)
    rewards[place] = value
    return rewards


_REWARD_MISTAKES = (
    Mistake(
        lambda reward, logps, reference, beta: -_penalty(logps, reference, beta) + _at(-1, reward, logps),
        "The price has the wrong sign: a token that the policy finds more likely than the reference does must cost "
        "something. With this sign PPO is paid for running away.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta),
        "The reward of the response is missing: you return only the price. A policy that sees nothing else goes back "
        "to the reference and stays there.",
        also=(lambda reward, logps, reference, beta: -_penalty(logps, reference, beta),),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward, logps),
        "The price is missing: you return only the reward of the response. With nothing to pay, PPO goes as far from "
        "the reference as the reward model's errors lead it.",
        also=(
            lambda reward, logps, reference, beta: reward,
            lambda reward, logps, reference, beta: torch.full_like(logps, reward),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + _at(-1, beta * reward, logps),
        "You multiplied the reward by β, but β applies only to the price. With β in front of both it only scales the "
        "sum, and no longer sets the price of a nat.",
        also=(
            lambda reward, logps, reference, beta: beta * reward,
            lambda reward, logps, reference, beta: _at(-1, beta * reward, logps),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) - _at(-1, reward, logps),
        "The reward has the wrong sign: it is added, and only the price is subtracted. With a minus in front, PPO "
        "writes what the reward model likes least.",
        also=(
            lambda reward, logps, reference, beta: -reward,
            lambda reward, logps, reference, beta: _at(-1, -reward, logps),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: -_penalty(logps, reference, beta) - _at(-1, reward, logps),
        "Everything has the wrong sign: you return a cost, not a reward. PPO maximises what you return, so it would "
        "move away from the reference towards what the reward model likes least.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + reward,
        "You gave the reward of the response to every token, but it is paid only once, at the last token. Your "
        "version pays a long response many times, so PPO would learn to write long texts.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + _at(0, reward, logps),
        "You put the reward at the first token, but it belongs to the last. Advantages look forward from a token, so "
        "every token except the first would learn nothing from it.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + reward / len(logps),
        "You spread the reward evenly over the tokens, but it belongs to the last one. The reward model scores the "
        "whole response, not parts of it: the advantages work out what each token has earned.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, 1.0) + _at(-1, reward, logps),
        "Beta is missing: your price is one unit of reward per nat, whatever β is. Only β says how far the policy may "
        "go.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, 1 / beta) + _at(-1, reward, logps),
        "You divided by β, but the price is β times the log-ratio. A large β should keep the policy near the "
        "reference; yours makes it cheap to leave.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) * logps.exp() + _at(-1, reward, logps),
        "You weighted each log-ratio by the probability of its token, as the formula of the KL does. But the tokens "
        "were drawn by the policy, so likely ones already come up often: with your weights they would count twice.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward + _penalty(logps, reference, beta)[-1].item(), logps),
        "Only the last token pays its price, but every token has to. The policy could go as far from the reference as "
        "it likes and return for the end of the text.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward + _penalty(logps, reference, beta).sum().item(), logps),
        "The sum over the tokens is right, but the whole price is at the last one. Each token should pay its own "
        "price, so that PPO can tell which one was expensive.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: reward + _penalty(logps, reference, beta).sum(),
        "You return one number for the whole response, but the task is one for each token. PPO gives every token an "
        "advantage, so it must know where the price was paid.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * logps + _at(-1, reward, logps),
        "The reference is missing: you charge for every token that the policy is sure of. That rewards randomness; "
        "the price is for being surer than the reference.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: torch.cat(
            [_penalty(logps, reference, beta)[:-1], torch.full_like(logps[:1], reward)]
        ),
        "You put the reward in the place of the last token's price, but it has to be added to that price. The end of "
        "the text would then be the only thing that is free to write.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * (logps - reference).abs() + _at(-1, reward, logps),
        "You took the absolute value of the log-ratio, so that a token also pays for being less likely. A single "
        "log-ratio may be negative; only its mean, the KL, never is.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * (logps - reference).exp() + _at(-1, reward, logps),
        "You took the ratio of the probabilities, but the price is its logarithm. The inputs are logarithms already, "
        "so subtracting them is enough.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * (logps / reference).log() + _at(-1, reward, logps),
        "You divided log-probabilities by each other, but the logarithm of a ratio is a *difference* of logarithms. "
        "The inputs are logarithms already: policy minus reference is the log-ratio.",
        also=(lambda reward, logps, reference, beta: -beta * logps / reference + _at(-1, reward, logps),),
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * logps - reference + _at(-1, reward, logps),
        "Brackets are missing around the log-ratio: β multiplies only the policy's part. A policy that has not moved "
        "would then pay; write `beta * (logps - reference_logps)`.",
        also=(lambda reward, logps, reference, beta: -beta * logps + reference + _at(-1, reward, logps),),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, 0.1) + _at(-1, reward, logps),
        "Your result is the same whatever β is passed: you use one fixed β, such as 0.1. Only β says how far the "
        "policy may go; use the argument.",
        ignores="beta",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * (logps.exp() / reference.exp()).log() + _at(-1, reward, logps),
        "You went back from log-probabilities to probabilities: in the last test case they are 0 in float32, and 0 "
        "divided by 0 is not a number. Subtract the logarithms, and never take `exp`.",
    ),
)


def _penalty_case(seed: int, tokens: int, reward: float, beta: float) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    logps, reference_logps = -2 * torch.rand(2, tokens, generator=generator, dtype=torch.float64)
    return {"reward": reward, "logps": logps, "reference_logps": reference_logps, "beta": beta}


penalised_rewards = FunctionExercise(
    name="the KL-penalised reward",
    notebook="02",
    answer_name="my_penalised_rewards",
    task="Replace the `...` of the stub so that it returns one reward for each token of a response. Every token pays "
    "for leaving the reference, and the last one also gets the reward of the response.",
    hints=(
        "The result has two parts. One has a number for every token; the other is added at a single position.",
        "The price of a token is β times its log-ratio, policy minus reference, and it is subtracted.",
        "`rewards = -beta * (logps - reference_logps)`, then add `reward` to `rewards[-1]`.",
    ),
    praise="That is the reward that PPO sees. Its sum over the tokens is the reward minus β times the log-ratio of "
    "the response, and the mean of that sum is the objective.",
    solution=_my_penalised_rewards,
    name_in_notebook="rlhf.penalised_rewards",
    cases=(
        *(_penalty_case(0, 4, 1.5, 0.1), _penalty_case(1, 6, -2.0, 0.5), _penalty_case(2, 3, 0.7, 2.0)),
        {
            "reward": 1.0,
            "logps": torch.tensor([-120.0, -0.5]),
            "reference_logps": torch.tensor([-130.0, -1.0]),
            "beta": 1.0,
        },
    ),
    mistakes=_REWARD_MISTAKES,
)


# The models in memory

count_models = MatchExercise(
    name="the models in memory",
    notebook="02",
    answer_name="memory",
    task="Fill in the dict `memory`: for each of the four trainings, enter how many models are in memory at the same "
    "time: 1, 2, 3 or 4.",
    hints=(
        "Go through the loss of each training. For every number in it, ask: which model computes it, and must that "
        "model run during training?",
        "A model whose outputs can be computed in advance need not be in memory. DPO knows all its responses in "
        "advance; PPO writes new ones in every iteration, so every model that scores them must be in memory.",
        "PPO: which model writes, which gives the reward, which predicts it at each token, and from which is the KL "
        "measured? DPO keeps the first and the last of these. The reward model's own loss contains nothing but "
        "rewards.",
    ),
    praise="Four, two, one, one. The reward model is trained first, on its own, and is then used by PPO, so it is PPO "
    "that decides how much memory RLHF needs.",
    choices=("1", "2", "3", "4"),
    questions={
        "RLHF with PPO": Question(
            answer="4",
            explanation="The policy writes, the reward model scores, the value model predicts the score at each "
            "token, and the KL is measured from the reference.",
            diagnoses={
                "1": "A single model would be enough if everything about a response could be computed in advance. But "
                "PPO writes its responses while it trains: what scores them, what predicts the score, and from what "
                "is the KL measured?",
                "2": "Policy and reference are the models of DPO. PPO's responses are new, and no annotator has "
                "compared them: what gives them a reward, and what tells each token how much of that reward was to be "
                "expected?",
                "3": "Most often it is the value model that is forgotten: it predicts, token by token, the reward "
                "that comes at the end, and here it has a body of its own. If you have counted it, look for the "
                "reference and for the reward model.",
            },
        ),
        "DPO": Question(
            answer="2",
            explanation="The loss compares the policy with the reference, on the responses of each pair.",
            diagnoses={
                "1": "You forgot the reference: each log-ratio needs a log-probability from it. Here nothing was "
                "computed in advance, so the reference has to be in memory and run on every batch.",
                "3": "You counted a reward model, but DPO has none: the implicit reward is β times a log-ratio. And "
                "chosen and rejected are rows of a batch, not models.",
                "4": "This is RLHF's list. DPO neither scores new responses nor predicts a score, so it has no "
                "reward model and no value model.",
            },
        ),
        "DPO, reference precomputed": Question(
            answer="1",
            explanation="The reference computed its log-probabilities before training and was then deleted; only the "
            "policy is left.",
            diagnoses={
                "2": "You still counted the reference. It computed its log-probabilities for every response before "
                "training began, and only these numbers are kept.",
                "3": "This is more than DPO has without precomputing, and precomputing can only remove models. Which "
                "models does DPO's loss use, and which of them never changes?",
                "4": "DPO has neither a reward model nor a value model. Of the models that it does have, which never "
                "changes, so that its outputs can be computed in advance?",
            },
        ),
        "reward model alone": Question(
            answer="1",
            explanation="Its loss takes the rewards of chosen and rejected, both from the same model, and nothing "
            "else.",
            diagnoses={
                "2": "You counted something twice: the head is part of the model whose body it reads, and chosen and "
                "rejected are rows of a batch, not models. The language model that the body was copied from is no "
                "longer needed.",
                "3": "Policy and reference belong to PPO, which comes later. At this stage no model writes and no KL "
                "is measured: the responses are those of the pairs that the annotators saw.",
                "4": "This is PPO's count, in which the reward model is only a part. Here we are at the stage before "
                "PPO: whose outputs appear in the Bradley-Terry loss?",
            },
        ),
    },
)


# The term that keeps the policy near its reference

TERMS: dict[str, str] = {
    "A": "min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t ): what the policy maximises, with ρ_t = π / π_old, where π_old drew "
    "the samples",
    "B": "1/2 (V_t - R_t)²: what the value model minimises, where R_t is the return",
    "C": "-β log( π / π_ref ): added to the reward of every token",
    "D": "A_t ← (A_t - mean A) / std A: over all tokens of an iteration",
}
"""The parts of PPO, by letter."""

which_term = ChoiceExercise(
    name="what keeps PPO near the reference",
    notebook="02",
    answer_name="term",
    task='Set `term` to the letter of the part that keeps the policy near the *reference* over the whole run: "A", '
    '"B", "C" or "D".',
    hints=(
        "Near what? For each term, find the policy from which it measures.",
        "PPO uses two earlier policies: the one that drew the latest samples, which changes in every iteration, and "
        "the reference, which never changes.",
        "A limit on each step is not a limit on the total distance: forty steps of one metre are forty metres. Look "
        "for the term whose cost keeps growing as the policy moves on.",
    ),
    praise="C: whichever policy drew the samples, the price is measured from the reference, and going further always "
    "costs more. β sets how far the run goes; the clip only limits the length of a step.",
    answer="C",
    explanation="C. It is the only term that contains π_ref. Summed over the tokens of a response and averaged over "
    "samples it is -β KL(π, π_ref), so the run ends where another nat of KL costs more than the reward it buys.",
    diagnoses={
        "A": "The clip measures from π_old, which drew the samples: it removes the gain of moving further than ε from "
        "there. But in the next iteration π_old is the updated policy, so many small updates can go arbitrarily far.",
        "B": "The value loss trains the value model, which predicts the reward still to come. It makes the advantages "
        "less noisy, and does not limit where the policy may go.",
        "D": "Normalising gives the advantages mean 0 and standard deviation 1, so that one learning rate fits all "
        "rewards. It affects how hard the policy is pushed, but it measures no distance: no earlier policy appears in "
        "it.",
    },
)

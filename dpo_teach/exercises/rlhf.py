"""The exercises of notebook 02: the loss and the penalised reward of RLHF, its models, and what holds PPO back."""

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

bradley_terry = FunctionExercise(
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
        "The price has the wrong sign: a token that the policy likes more than the reference does has to cost "
        "something. With this sign PPO is paid for running away.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta),
        "The reward of the response is missing: this is the price alone. "
        "A policy that sees nothing else goes back to the reference and stays there.",
        also=(lambda reward, logps, reference, beta: -_penalty(logps, reference, beta),),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward, logps),
        "The price is missing: this is the reward of the response and nothing else. "
        "With nothing to pay, PPO goes as far from the reference as the reward model's errors invite it to.",
        also=(
            lambda reward, logps, reference, beta: reward,
            lambda reward, logps, reference, beta: torch.full_like(logps, reward),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + _at(-1, beta * reward, logps),
        "You multiplied the reward by β, and β belongs to the price alone. "
        "With β in front of both it only scales the sum, and no longer says what a nat costs.",
        also=(
            lambda reward, logps, reference, beta: beta * reward,
            lambda reward, logps, reference, beta: _at(-1, beta * reward, logps),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) - _at(-1, reward, logps),
        "The reward has the wrong sign: it is added, and only the price is taken away. "
        "With a minus in front PPO writes what the reward model likes least.",
        also=(
            lambda reward, logps, reference, beta: -reward,
            lambda reward, logps, reference, beta: _at(-1, -reward, logps),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: -_penalty(logps, reference, beta) - _at(-1, reward, logps),
        "Everything has the wrong sign: this is a cost, and a reward is wanted. "
        "PPO makes large what you return, and would run from the reference to what the reward model likes least.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + reward,
        "You gave the reward of the response to every token, and it is due once, at the last. "
        "In this way a long response earns it many times, and PPO would learn to be wordy.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + _at(0, reward, logps),
        "The reward stands at the first token, and it belongs to the last. "
        "Advantages look forward from a token, so that all tokens but the first would learn nothing of it.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) + reward / len(logps),
        "You spread the reward evenly over the tokens, and it is due at the last. "
        "Nobody has judged half a sentence: what a token has earned is for the advantages to find out.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, 1.0) + _at(-1, reward, logps),
        "Beta is missing: your price is one unit of reward for a nat, whatever β is. "
        "β is the only thing that says how far the policy may go.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, 1 / beta) + _at(-1, reward, logps),
        "You divided by β, and the price is β times the log-ratio. "
        "A large β is to keep the policy near the reference; in yours it makes going away cheap.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _penalty(logps, reference, beta) * logps.exp() + _at(-1, reward, logps),
        "You weighted each log-ratio by the probability of its token, as the formula of the KL does. "
        "The tokens were drawn by the policy, so that likely ones come up often already: weighted, they would count "
        "twice.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward + _penalty(logps, reference, beta)[-1].item(), logps),
        "Only the last token pays its price, and every token has to. "
        "The policy could leave the reference as far as it likes and come back for the end of the text.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward + _penalty(logps, reference, beta).sum().item(), logps),
        "The sum over the tokens is right, but the whole price stands at the last one. "
        "Each token should pay for itself, where PPO can tell which one was dear.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: reward + _penalty(logps, reference, beta).sum(),
        "This is one number for the whole response, and one for each token is wanted. "
        "PPO gives every token an advantage, and for that it must know where the price was paid.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * logps + _at(-1, reward, logps),
        "The reference is missing: you charge for every token that the policy is sure of. "
        "That is a bonus for chaos; what costs is to be surer than the reference is.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: torch.cat(
            [_penalty(logps, reference, beta)[:-1], torch.full_like(logps[:1], reward)]
        ),
        "You put the reward in the place of the last token's price, and it has to be added to it. "
        "The end of the text would then be the one thing that may be written for free.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * (logps - reference).abs() + _at(-1, reward, logps),
        "You took the absolute value of the log-ratio, so that a token pays for being less likely as well. "
        "A single log-ratio may be negative; only its mean, the KL, never is.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: -beta * (logps - reference).exp() + _at(-1, reward, logps),
        "You took the ratio of the probabilities, and its logarithm is the price. "
        "The inputs are logarithms already: subtract, and leave it there.",
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
    task="Replace the `...` of the stub: one reward for each token of a response. Every token pays for leaving the "
    "reference, and the last one also gets the reward of the response.",
    hints=(
        "Two parts. One has a number for every token; the other one is added in a single place.",
        "The price of a token is β times its log-ratio, policy minus reference, and it is taken away.",
        "`rewards = -beta * (logps - reference_logps)`, then add `reward` to `rewards[-1]`.",
    ),
    praise="That is the reward that PPO sees. Its sum over the tokens is the reward minus β times the log-ratio of the "
    "response, and the mean of that is the objective.",
    solution=_my_penalised_rewards,
    name_in_notebook="rlhf.penalised_rewards",
    cases=(_penalty_case(0, 4, 1.5, 0.1), _penalty_case(1, 6, -2.0, 0.5), _penalty_case(2, 3, 0.7, 2.0)),
    mistakes=_REWARD_MISTAKES,
)


# The models in memory

count_models = MatchExercise(
    name="the models in memory",
    notebook="02",
    answer_name="memory",
    task="Fill in the dict `memory`: for each of the four trainings, how many models are in memory at the same time: "
    "1, 2, 3 or 4.",
    hints=(
        "Go through each training's loss and ask of every number in it: which model does it come from, and must that "
        "model be asked during training?",
        "A model whose numbers can be known beforehand need not be there. DPO knows all its responses in advance; "
        "PPO writes new ones in every iteration, and all who judge them must be present.",
        "PPO: who writes, who gives the reward, who foretells it at each token, and from whom is the KL measured? DPO "
        "keeps the first and the last of these. The reward model's own loss has nothing but rewards in it.",
    ),
    praise="Four, two, one, one. The reward model is trained alone and then joins PPO, so it is PPO that decides how "
    "much memory RLHF needs.",
    choices=("1", "2", "3", "4"),
    questions={
        "RLHF with PPO": Question(
            answer="4",
            explanation="The policy writes, the reward model scores, the value model foretells the score at each "
            "token, and the KL is measured from the reference.",
            diagnoses={
                "1": "That would do if all that is said about a response could be known beforehand. PPO writes its "
                "responses while it trains: who scores them, who says what was to be expected, and from whom is the KL "
                "measured?",
                "2": "Policy and reference are DPO's. The responses of PPO are new, and nobody has compared them: what "
                "gives them a reward, and what tells each token how much of it was to be expected?",
                "3": "It is most often the value model that is forgotten: it foretells, token by token, the reward "
                "that comes at the end, and here it has a body of its own. If you have it, look for the reference and "
                "for the reward model.",
            },
        ),
        "DPO": Question(
            answer="2",
            explanation="The loss compares the policy with the reference, on the responses of each pair.",
            diagnoses={
                "1": "The reference is forgotten: each log-ratio takes a log-probability from it. Here nothing was "
                "computed beforehand, so it has to be there to be asked, in every batch.",
                "3": "A reward model is counted that there is not: the implicit reward is β times a log-ratio. And "
                "chosen and rejected are rows of a batch, not models.",
                "4": "This is RLHF's list. DPO neither scores new responses nor foretells a score, so it has no reward "
                "model and no value model.",
            },
        ),
        "DPO, reference precomputed": Question(
            answer="1",
            explanation="The reference has said its log-probabilities before training and been let go; the policy is "
            "what is left.",
            diagnoses={
                "2": "The reference is still counted. It has been asked about every response before training began, "
                "and only its numbers are kept.",
                "3": "These are more than DPO has without precomputing, and precomputing can only take away. Which "
                "models does DPO's loss ask, and which of them never changes?",
                "4": "There is neither a reward model nor a value model in DPO. Of what remains, ask which never "
                "changes, so that its answers could be written down before.",
            },
        ),
        "reward model alone": Question(
            answer="1",
            explanation="Its loss takes the rewards of chosen and rejected, both from the same model, and nothing "
            "else.",
            diagnoses={
                "2": "Something is counted twice: the head is part of the model whose body it reads, and chosen and "
                "rejected are rows of a batch, not models. The language model that the body was copied from is no "
                "longer needed.",
                "3": "Policy and reference belong to PPO, which comes later. Here nobody writes, and no KL is "
                "measured: the responses are the pairs that the annotators saw.",
                "4": "These are PPO's, of which the reward model is a part. This is the stage before it: whose numbers "
                "stand in the loss of Bradley and Terry?",
            },
        ),
    },
)


# The term that keeps the policy near its reference

TERMS: dict[str, str] = {
    "A": "min( ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t ): what the policy maximises, with ρ_t = π / π_old, "
    "where π_old drew the samples",
    "B": "1/2 (V_t - R_t)²: what the value model minimises, with R_t the return",
    "C": "-β log( π / π_ref ): added to the reward of every token",
    "D": "A_t ← (A_t - mean A) / std A: over all tokens of an iteration",
}
"""What PPO is made of, by letter."""

which_term = ChoiceExercise(
    name="what holds PPO back",
    notebook="02",
    answer_name="term",
    task='Set `term` to the letter of what keeps the policy near the *reference* over the whole run: "A", "B", "C" or '
    '"D".',
    hints=(
        "Near to what? Ask of each term from where it measures.",
        "There are two earlier policies in PPO: the one that drew the latest samples, which is another in every "
        "iteration, and the reference, which is always the same.",
        "A limit on every step is no limit on the way: forty steps of a metre are forty metres. Look for the term "
        "whose cost keeps growing as the policy goes on.",
    ),
    praise="C: whichever policy drew the samples, the price is measured from the reference, and going further always "
    "costs more. β sets how far the run goes; the clip only how long a step may be.",
    answer="C",
    explanation="C. It is the only term with π_ref in it. Summed over the tokens of a response and averaged over "
    "samples it is -β KL(π, π_ref), so that the run ends where another nat of KL costs more than the reward it buys.",
    diagnoses={
        "A": "The clip measures from π_old, which drew the samples: it takes away the gain of moving further than ε "
        "from there. In the next iteration π_old is the policy that came of it, and many small updates go arbitrarily "
        "far.",
        "B": "The value loss trains the value model, which foretells what is still to come. It makes the advantages "
        "less noisy, and says nothing about where the policy may go.",
        "D": "Normalising gives the advantages mean 0 and standard deviation 1, so that one learning rate fits all "
        "rewards. How hard the policy is pushed depends on it, but not from where: it knows no earlier policy at all.",
    },
)

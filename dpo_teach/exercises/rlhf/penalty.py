"""Write the reward that PPO sees: a price at every token for leaving the reference, and the reward at the last."""

import torch
from torch import Tensor

from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["penalised_rewards"]


def _my_penalised_rewards(reward: float, logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    rewards = -beta * (logps - reference_logps)
    rewards[-1] += reward
    return rewards


def _price(logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    return -beta * (logps - reference_logps)


def _at(place: int, value: float, like: Tensor) -> Tensor:
    """A tensor of zeros with one value."""
    rewards = torch.zeros_like(like)
    rewards[place] = value
    return rewards


_MISTAKES = (
    Mistake(
        lambda reward, logps, reference, beta: -_price(logps, reference, beta) + _at(-1, reward, logps),
        "The price has the wrong sign: a token that the policy likes more than the reference does has to cost "
        "something. With this sign PPO is paid for running away.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, beta),
        "The reward of the response is missing: this is the price alone. "
        "A policy that sees nothing else goes back to the reference and stays there.",
        also=(lambda reward, logps, reference, beta: -_price(logps, reference, beta),),
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
        lambda reward, logps, reference, beta: _price(logps, reference, beta) + _at(-1, beta * reward, logps),
        "You multiplied the reward by β, and β belongs to the price alone. "
        "With β in front of both it only scales the sum, and no longer says what a nat costs.",
        also=(
            lambda reward, logps, reference, beta: beta * reward,
            lambda reward, logps, reference, beta: _at(-1, beta * reward, logps),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, beta) - _at(-1, reward, logps),
        "The reward has the wrong sign: it is added, and only the price is taken away. "
        "With a minus in front PPO writes what the reward model likes least.",
        also=(
            lambda reward, logps, reference, beta: -reward,
            lambda reward, logps, reference, beta: _at(-1, -reward, logps),
        ),
    ),
    Mistake(
        lambda reward, logps, reference, beta: -_price(logps, reference, beta) - _at(-1, reward, logps),
        "Everything has the wrong sign: this is a cost, and a reward is wanted. "
        "PPO makes large what you return, and would run from the reference to what the reward model likes least.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, beta) + reward,
        "You gave the reward of the response to every token, and it is due once, at the last. "
        "In this way a long response earns it many times, and PPO would learn to be wordy.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, beta) + _at(0, reward, logps),
        "The reward stands at the first token, and it belongs to the last. "
        "Advantages look forward from a token, so that all tokens but the first would learn nothing of it.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, beta) + reward / len(logps),
        "You spread the reward evenly over the tokens, and it is due at the last. "
        "Nobody has judged half a sentence: what a token has earned is for the advantages to find out.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, 1.0) + _at(-1, reward, logps),
        "Beta is missing: your price is one unit of reward for a nat, whatever β is. "
        "β is the only thing that says how far the policy may go.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, 1 / beta) + _at(-1, reward, logps),
        "You divided by β, and the price is β times the log-ratio. "
        "A large β is to keep the policy near the reference; in yours it makes going away cheap.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _price(logps, reference, beta) * logps.exp() + _at(-1, reward, logps),
        "You weighted each log-ratio by the probability of its token, as the formula of the KL does. "
        "The tokens were drawn by the policy, so that likely ones come up often already: weighted, they would count "
        "twice.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward + _price(logps, reference, beta)[-1].item(), logps),
        "Only the last token pays its price, and every token has to. "
        "The policy could leave the reference as far as it likes and come back for the end of the text.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: _at(-1, reward + _price(logps, reference, beta).sum().item(), logps),
        "The sum over the tokens is right, but the whole price stands at the last one. "
        "Each token should pay for itself, where PPO can tell which one was dear.",
    ),
    Mistake(
        lambda reward, logps, reference, beta: reward + _price(logps, reference, beta).sum(),
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
            [_price(logps, reference, beta)[:-1], torch.full_like(logps[:1], reward)]
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


def _case(seed: int, tokens: int, reward: float, beta: float) -> dict[str, object]:
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
    cases=(_case(0, 4, 1.5, 0.1), _case(1, 6, -2.0, 0.5), _case(2, 3, 0.7, 2.0)),
    mistakes=_MISTAKES,
)

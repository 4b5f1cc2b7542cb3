"""The exercises of notebook 05: the losses of IPO and SimPO, what each member changes, and a loss for the data."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dpo_teach.exercises.choice import MatchExercise, Question
from dpo_teach.exercises.function import FunctionExercise, Mistake

__all__ = ["DATA_SETS", "choose_loss", "ipo", "simpo", "what_changes"]


# IPO


def _my_ipo_loss(
    policy_chosen_logps: Tensor, policy_rejected_logps: Tensor, reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor, beta: float,
) -> Tensor:  # fmt: skip
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    return ((chosen - rejected - 1 / (2 * beta)) ** 2).mean()


def _difference(pc: Tensor, pr: Tensor, rc: Tensor, rr: Tensor) -> Tensor:
    return pc - rc - (pr - rr)


_IPO_MISTAKES = (
    Mistake(
        lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) - 1 / beta) ** 2).mean(),
        "The target is 1/β, but it should be 1/(2β): the factor 2 is missing. The policy would be pulled twice as far "
        "from the reference.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) - beta / 2) ** 2).mean(),
        "The target is β/2, but it should be 1/(2β). A larger β should keep the policy *nearer* to the reference, and "
        "yours sends it further away.",
        also=(
            lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) - beta) ** 2).mean(),
            lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) - 1 / 2 * beta) ** 2).mean(),
        ),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) + 1 / (2 * beta)) ** 2).mean(),
        "Your policy is pulled towards the *rejected* response: a sign is wrong. Either chosen and rejected are "
        "swapped, or policy and reference, or the target is -1/(2β); all three give the same loss.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((pc - pr - 1 / (2 * beta)) ** 2).mean(),
        "The reference is missing: you compare the policy's own log-probabilities. A pair that the reference already "
        "tells apart would then count as learned.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((beta * _difference(pc, pr, rc, rr) - 1 / (2 * beta)) ** 2).mean(),
        "You multiplied the difference by β *and* divided the target by it. In IPO, β appears only in the target.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((beta * _difference(pc, pr, rc, rr) - 1 / 2) ** 2).mean(),
        "Your lowest point is right, but the loss is β² times too small: the paper squares the difference minus "
        "1/(2β), without a β in front. With a small β your gradients nearly vanish.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: (_difference(pc, pr, rc, rr) - 1 / (2 * beta)).mean(),
        "The square is missing: you return the mean of the distance with its sign. It has no lowest point, so the "
        "policy would run away in one direction for ever.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: (_difference(pc, pr, rc, rr) - 1 / (2 * beta)).abs().mean(),
        "You took the absolute value where the square belongs. Its pull is equally strong far from the target and "
        "close to it, and then jumps to the other side.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: (_difference(pc, pr, rc, rr) - 1 / (2 * beta)).mean() ** 2,
        "You averaged the distances first and squared then, but the mean comes last. In your order a pair that is far "
        "above the target makes up for one that is far below.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) - 1 / (2 * beta)) ** 2).sum(),
        "You summed over the batch, but the loss is the mean. With a sum, a batch of twice the size has twice the "
        "gradient.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: (_difference(pc, pr, rc, rr) - 1 / (2 * beta)) ** 2,
        "You return one loss for each pair, but the task is one number for the batch: their mean. `backward` needs a "
        "single number.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: F.relu(1 / (2 * beta) - _difference(pc, pr, rc, rr)).square().mean(),
        "You stop at the target, as a squared hinge does. IPO also pulls a pair *back* that has gone too far, and that "
        "is what keeps it near the reference.",
        also=(lambda pc, pr, rc, rr, beta: F.relu(1 / (2 * beta) - _difference(pc, pr, rc, rr)).mean(),),
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: F.relu(1 - beta * _difference(pc, pr, rc, rr)).mean(),
        "This is the hinge loss: it is 0 as soon as the margin is 1. IPO squares the distance to a target, from both "
        "sides.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: -F.logsigmoid(beta * _difference(pc, pr, rc, rr)).mean(),
        "This is the loss of DPO, which has no target: on a pair that is always labelled the same way it never stops "
        "pulling. Replace the log-sigmoid by the squared distance to 1/(2β).",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: 0.5 * ((_difference(pc, pr, rc, rr) - 1 / (2 * beta)) ** 2).mean(),
        "There is an extra factor of 1/2 in front of the square. The lowest point stays where it is, but your loss "
        "cannot be compared with anyone else's.",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((_difference(pc, pr, rc, rr) - 5.0) ** 2).mean(),
        "Your result is the same whatever β is passed: the target is a fixed number. β is an argument, and 1/(2β) "
        "depends on it.",
        ignores="beta",
    ),
    Mistake(
        lambda pc, pr, rc, rr, beta: ((pc - rc) ** 2 + (pr - rr - 1 / (2 * beta)) ** 2).mean(),
        "You pull each log-ratio to a target of its own. IPO looks only at their difference: both may fall, as long as "
        "it is right.",
        also=(lambda pc, pr, rc, rr, beta: ((pc - rc - 1 / (2 * beta)) ** 2 + (pr - rr + 1 / (2 * beta)) ** 2).mean(),),
    ),
)


def _pairs(seed: int, count: int, beta: float) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    logps = -20 - 15 * torch.rand(4, count, generator=generator, dtype=torch.float64)
    names = ("policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps")
    return {**dict(zip(names, logps, strict=True)), "beta": beta}


ipo = FunctionExercise(
    name="the loss of IPO",
    notebook="05",
    answer_name="my_ipo_loss",
    task="Replace the `...` of the stub so that it returns IPO's loss as one number for the batch: the squared "
    "distance between the difference of the log-ratios and 1/(2β).",
    hints=(
        "The inputs are those of DPO, and so is the difference: the log-ratio of the chosen response minus that of "
        "the rejected one. Only what is done with it changes.",
        "The target is 1/(2β): a large β means a small distance from the reference. In the difference itself there is "
        "no β.",
        "`((chosen - rejected - 1 / (2 * beta)) ** 2).mean()`, where both are log-ratios: policy minus reference.",
    ),
    praise="That is IPO as in the paper, with sums over tokens. A pair that has passed the target is pulled back: DPO "
    "never does that.",
    solution=_my_ipo_loss,
    name_in_notebook="family.ipo",
    cases=(
        _pairs(0, 4, 0.1),
        _pairs(1, 3, 0.5),
        _pairs(2, 5, 0.05),
        {**_pairs(3, 2, 1.0), "policy_chosen_logps": torch.tensor([-12.0, -9.0], dtype=torch.float64)},
    ),
    mistakes=_IPO_MISTAKES,
    trained=("policy_chosen_logps", "policy_rejected_logps"),
)


# SimPO


def _my_simpo_loss(
    chosen_logps: Tensor, rejected_logps: Tensor, chosen_lengths: Tensor, rejected_lengths: Tensor, beta: float,
    gamma: float,
) -> Tensor:  # fmt: skip
    chosen, rejected = chosen_logps / chosen_lengths, rejected_logps / rejected_lengths
    return -F.logsigmoid(beta * (chosen - rejected) - gamma).mean()


def _gap(c: Tensor, r: Tensor, nc: Tensor, nr: Tensor) -> Tensor:
    return c / nc - r / nr


_SIMPO_MISTAKES = (
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (c - r) - gamma).mean(),
        "The lengths are missing: you compare sums over tokens, and a longer response has a lower sum. SimPO divides "
        "each log-probability by the number of tokens of its response.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * _gap(c, r, nc, nr) + gamma).mean(),
        "The margin γ has the wrong sign: chosen should lead by *more* than γ. With a plus, a pair counts as learned "
        "while the rejected response still leads.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * _gap(c, r, nc, nr)).mean(),
        "The target margin γ is missing: it is subtracted inside the log-sigmoid. Without it this is a comparison of "
        "mean log-probabilities, and being ahead by a little is nearly enough.",
        ignores="gamma",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (_gap(c, r, nc, nr) - gamma)).mean(),
        "You multiplied γ by β as well, but the margin is subtracted after the multiplication. Some write it your way "
        "and state γ/β; the task follows the paper.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(_gap(c, r, nc, nr) - gamma).mean(),
        "Beta is missing. Mean log-probabilities differ by a few tenths of a nat, and β, usually 2 to 10, makes a "
        "reward of them.",
        ignores="beta",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(_gap(c, r, nc, nr) / beta - gamma).mean(),
        "You divided by β, but the mean log-probability is multiplied by it. With β above 1, your loss hardly tells "
        "the two responses apart.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: _my_simpo_loss(r, c, nr, nc, beta, gamma),
        "Chosen and rejected are swapped: the chosen response comes first in the difference. Your policy would learn "
        "to write what was rejected.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (c / nr - r / nc) - gamma).mean(),
        "The lengths are swapped: each log-probability is divided by the length of its *own* response. In your order a "
        "response looks better the longer the other one is.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (c - r) / (nc + nr) - gamma).mean(),
        "You divided the difference by both lengths together. Each log-probability has to become a mean over its own "
        "tokens first.",
        also=(
            lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(2 * beta * (c - r) / (nc + nr) - gamma).mean(),
            lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (c - r) / nc - gamma).mean(),
            lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (c - r) / nr - gamma).mean(),
        ),
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * (c * nc - r * nr) - gamma).mean(),
        "You multiplied by the lengths, but a mean divides by them. Length now counts twice instead of not at all.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: F.logsigmoid(beta * _gap(c, r, nc, nr) - gamma).mean(),
        "Your value has the right size, but its sign is flipped. A loss is *minus* the log-probability of the label.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * _gap(c, r, nc, nr) - gamma).sum(),
        "You summed over the batch, but the loss is the mean. With a sum, a batch of twice the size has twice the "
        "gradient.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * _gap(c, r, nc, nr) - gamma),
        "You return one loss for each pair, but the task is one number for the batch: their mean. `backward` needs a "
        "single number.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid((beta * _gap(c, r, nc, nr) - gamma).mean()),
        "You averaged the margins and took one loss then, but the mean comes last. In your order a pair with a large "
        "lead hides one in which the rejected response leads.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -torch.sigmoid(beta * _gap(c, r, nc, nr) - gamma).mean(),
        "You took the sigmoid without the logarithm. It is flat on a pair that is badly wrong, so such a pair would "
        "teach almost nothing.",
        also=(lambda c, r, nc, nr, beta, gamma: torch.sigmoid(gamma - beta * _gap(c, r, nc, nr)).mean(),),
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: F.relu(gamma - beta * _gap(c, r, nc, nr)).mean(),
        "This is a hinge: it stops once chosen leads by γ. SimPO keeps the log-sigmoid, so γ is where the pull has "
        "half of its strength, and not where it ends.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * ((c / nc).exp() - (r / nr).exp()) - gamma).mean(),
        "You went back from log-probabilities to probabilities. The reward of SimPO is the mean *log*-probability: "
        "remove `exp`.",
    ),
    Mistake(
        lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * _gap(c, r, nc, nr)).mean() - gamma,
        "You subtracted γ from the loss. There it is a constant without a gradient; it belongs inside the log-sigmoid.",
        also=(lambda c, r, nc, nr, beta, gamma: -F.logsigmoid(beta * _gap(c, r, nc, nr)).mean() + gamma,),
    ),
)


def _lengths(seed: int, count: int, beta: float, gamma: float) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(8, 40, (2, count), generator=generator).to(torch.float64)
    means = -0.5 - 1.5 * torch.rand(2, count, generator=generator, dtype=torch.float64)
    chosen, rejected = means * lengths
    return {"chosen_logps": chosen, "rejected_logps": rejected, "chosen_lengths": lengths[0],
            "rejected_lengths": lengths[1], "beta": beta, "gamma": gamma}  # fmt: skip


simpo = FunctionExercise(
    name="the loss of SimPO",
    notebook="05",
    answer_name="my_simpo_loss",
    task="Replace the `...` of the stub so that it returns SimPO's loss as one number for the batch: the log-sigmoid "
    "of β times the difference of the mean log-probabilities per token, minus γ.",
    hints=(
        "There is no reference among the arguments, because SimPO has none. What takes its place is the length of "
        "each response.",
        "The reward of a response is β times its mean log-probability per token. Chosen should lead by more than γ.",
        "Divide each log-probability by its own length, take chosen minus rejected, multiply by β, subtract γ; then "
        "`-F.logsigmoid(...)` and the mean.",
    ),
    praise="That is SimPO: one model in memory, and no reference that could hold the policy back.",
    solution=_my_simpo_loss,
    name_in_notebook="family.simpo",
    cases=(_lengths(0, 4, 2.0, 0.5), _lengths(1, 3, 2.5, 1.0), _lengths(2, 5, 10.0, 3.0), _lengths(3, 2, 4.0, 0.2)),
    mistakes=_SIMPO_MISTAKES,
    trained=("chosen_logps", "rejected_logps"),
)


# What each member changes

_LINK = "the shape of the loss"
_REFERENCE = "the reference"
_LENGTH = "the length"
_PAIRING = "the pairing"
_ANCHOR = "an anchor"

what_changes = MatchExercise(
    name="what each loss changes",
    notebook="05",
    answer_name="changes",
    task=f'Fill in the dict `changes`: for each loss, enter the one thing that it changes against DPO: "{_LINK}", '
    f'"{_REFERENCE}", "{_LENGTH}", "{_PAIRING}" or "{_ANCHOR}".',
    hints=(
        "Write DPO's loss down, and then the other one. Which symbol has gone, which is new, and which function has "
        "changed?",
        "Four questions: is it still a function of one difference of log-ratios? Is log π_ref in it? Is anything "
        "divided by |y|? Could it be computed for a chosen response that has no rejected one?",
        "A supervised term on the chosen response holds it where it was: an anchor.",
    ),
    praise="Five losses, five changes. Every other member combines these: SimPO drops the reference *and* divides by "
    "the length.",
    choices=(_LINK, _REFERENCE, _LENGTH, _PAIRING, _ANCHOR),
    questions={
        "IPO": Question(
            answer=_LINK,
            explanation="It is a function of the same difference of log-ratios; a squared distance replaces the "
            "log-sigmoid.",
            diagnoses={
                _REFERENCE: "Both log-ratios are still measured from the reference: look at what is done with their "
                "difference.",
                _LENGTH: "Libraries do divide by the length, but the paper does not. What has become of the "
                "log-sigmoid?",
                _PAIRING: "IPO still needs both responses of a pair: it looks at nothing but their difference.",
                _ANCHOR: "Nothing is added for the chosen response alone: both may fall. What keeps IPO near the "
                "reference is the curve itself.",
            },
        ),
        "ORPO": Question(
            answer=_REFERENCE,
            explanation="Its log-odds are those of the policy alone, so one model is in memory. A supervised term "
            "takes the place of an earlier stage.",
            diagnoses={
                _LINK: "It does use log-odds, but something larger has gone: count the models that it needs.",
                _LENGTH: "It takes means over tokens, as others do. Which model has disappeared from the formula?",
                _PAIRING: "Its second term compares chosen with rejected, pair by pair. Which model has disappeared "
                "from the formula?",
                _ANCHOR: "It has a supervised term, but RPO has that, too. What does RPO still need that ORPO does "
                "not?",
            },
        ),
        "DPO per token": Question(
            answer=_LENGTH,
            explanation="Each log-ratio is divided by the number of tokens of its response, and nothing else changes.",
            diagnoses={
                _LINK: "The log-sigmoid is still there. Look at what stands inside it.",
                _REFERENCE: "The log-ratios are still measured from the reference. What are they divided by?",
                _PAIRING: "Both responses of a pair are still compared with each other. What are the log-ratios "
                "divided by?",
                _ANCHOR: "Nothing is added to the loss. What are the log-ratios divided by?",
            },
        ),
        "KTO": Question(
            answer=_PAIRING,
            explanation="Each response has a term of its own, compared with the constant z₀: data of single responses "
            "with thumbs up or down would do.",
            diagnoses={
                _LINK: "It does use σ instead of log σ, but the larger change is what is compared with what.",
                _REFERENCE: "Its log-ratios are measured from the reference, and z₀ is a KL to it.",
                _LENGTH: "Nothing is divided by the number of tokens.",
                _ANCHOR: "z₀ is no term of the loss, and it has no gradient. What is each response compared with?",
            },
        ),
        "DPO + SFT (RPO)": Question(
            answer=_ANCHOR,
            explanation="DPO's loss is unchanged; a supervised term on the chosen response is added, which keeps it "
            "from falling.",
            diagnoses={
                _LINK: "DPO's term is unchanged. What is added to it?",
                _REFERENCE: "DPO's term still needs the reference. What is added to it?",
                _LENGTH: "The added term is a mean over tokens, but DPO's own term is not. What is the added term for?",
                _PAIRING: "The pair is still compared. But one of its responses has a term of its own as well: for "
                "what?",
            },
        ),
    },
)


# Which loss for which data

choose_loss = MatchExercise(
    name="a loss for the data",
    notebook="05",
    answer_name="advice",
    task='Fill in the dict `advice`: for each letter, enter the loss that fits the described data best: "DPO", '
    '"robust DPO", "IPO", "KTO" or "ORPO". Each is used once.',
    hints=(
        "For each description, ask what is special about it: the kind of label, its noise, or the memory.",
        "One loss needs no pairs, one needs no reference, one is told how many labels are flipped, and one has a "
        "target at which it stops.",
        "The description in which nothing is special gets the loss that all others are compared with.",
    ),
    praise="Five data sets, five losses. Before you use one of them instead of DPO, train with both and compare.",
    choices=("DPO", "robust DPO", "IPO", "KTO", "ORPO"),
    questions={
        "A": Question(
            answer="KTO",
            explanation="Single responses with thumbs up or down: KTO is the one that never compares two responses "
            "with each other.",
            diagnoses={
                "DPO": "DPO's loss is a function of a chosen *and* a rejected response to the same prompt. Here there "
                "are no pairs.",
                "robust DPO": "It corrects flipped labels of pairs, and here there are no pairs.",
                "IPO": "IPO looks at the difference between two responses to the same prompt. Here there is only one.",
                "ORPO": "ORPO's second term needs a rejected response for every chosen one. Here there is only one.",
            },
        ),
        "B": Question(
            answer="robust DPO",
            explanation="The share of flipped labels is known, and there are pairs enough: its expected loss is that "
            "of DPO on the clean labels.",
            diagnoses={
                "DPO": "DPO would stop short of the optimum, as in section 3: flipped labels make the rewards look "
                "closer than they are. You know ε; which loss can be told?",
                "IPO": "IPO is not told how many labels are flipped, and aims at the chance to win by the flipped "
                "labels.",
                "KTO": "KTO does not correct a flipped label, either. Which loss can be told ε?",
                "ORPO": "ORPO does not correct a flipped label, and its supervised term would learn from the wrong "
                "responses. Which loss can be told ε?",
            },
        ),
        "C": Question(
            answer="ORPO",
            explanation="It has no reference, so only the policy itself is in memory, and its supervised term does the "
            "work of SFT at the same time.",
            diagnoses={
                "DPO": "DPO needs the reference's log-probabilities, from a second model or a pass before training.",
                "robust DPO": "It is made of DPO's losses, so it needs the reference as well.",
                "IPO": "Its log-ratios are measured from the reference, too.",
                "KTO": "KTO needs the reference twice: for its log-ratios, and for z₀.",
            },
        ),
        "D": Question(
            answer="IPO",
            explanation="Labels without contradictions give DPO no reason to stop; IPO's target is at 1/(2β), however "
            "often the same response wins.",
            diagnoses={
                "DPO": "If the same response always wins, DPO's loss falls for ever and its margins grow without "
                "limit. What should stop them?",
                "robust DPO": "It assumes that labels are flipped, and none of these is. Its pull never ends.",
                "KTO": "KTO stops for a response that is far above z₀, but it sends the rejected ones towards "
                "probability 0 as well. Which loss has a target?",
                "ORPO": "ORPO has no reference to stay near to.",
            },
        ),
        "E": Question(
            answer="DPO",
            explanation="Pairs, ordinary noise, room for a table of reference log-probabilities: labels that "
            "contradict each other are all the brake that DPO needs.",
            diagnoses={
                "robust DPO": "Ordinary disagreement is part of the Bradley-Terry model already. ε is for labels that "
                "are flipped whatever the rewards are.",
                "IPO": "Its target guards against labels that never contradict each other. These do.",
                "KTO": "It would throw away the information which two responses belong together.",
                "ORPO": "It saves the reference, but nothing here says that memory is short.",
            },
        ),
    },
)

DATA_SETS = {
    "A": "the thumbs of a chat window: single responses, each with thumbs up or down",
    "B": "a million pairs; an audit found that a quarter of the labels had been exchanged by a faulty import",
    "C": "pairs and a model that only just fits into memory, with no SFT done yet",
    "D": "pairs labelled by a unit test, which never contradicts itself; the policy should stay near the reference",
    "E": "pairs labelled by people who often disagree when two responses are close; nothing else is special",
}
"""What the exercise `choose_loss` describes."""

"""The family of direct-alignment losses: DPO and its best-known relatives, each one short function of `PairLogps`.

Every member takes the summed log-probabilities and the lengths of both responses of each pair, and returns one loss per
pair. Members have the names of TRL 1.16 where TRL has them. There is one deliberate difference: `ipo` is the paper's
sum over tokens, and TRL's `ipo`, a mean over tokens, is `ipo_mean`.

The docstrings use m for DPO's margin, m = r̂(x, y_w) - r̂(x, y_l) with r̂(x, y) = β (log π(y|x) - log π_ref(y|x)), and
``|y|`` for the number of tokens of a response, counted with its end-of-sequence token.

To add a member, write its function here, with the settings that it uses as keyword arguments, and add one line to
`LOSSES`. The command line lists the names without importing torch, so they are repeated in `Loss`
(`dpo_teach.training.config`); a test compares the two. Like `dpo_losses`, the members do not check their inputs;
`compute_losses` does.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dpo_teach.losses import check_beta, check_logps, preference_nll, reward_metrics, smoothed_nll

__all__ = [
    "LOSSES",
    "Member",
    "PairLogps",
    "apo_down",
    "apo_zero",
    "check_settings",
    "compute_losses",
    "family_metrics",
    "hinge",
    "ipo",
    "ipo_mean",
    "kto",
    "orpo",
    "robust",
    "rpo",
    "sigmoid",
    "sigmoid_norm",
    "simpo",
]


@dataclass(frozen=True)
class PairLogps:
    """Everything that a member of the family may depend on, for a batch of preference pairs.

    Args:
        policy_chosen: log π(y_w|x) of the chosen responses, summed over tokens, nats.
        policy_rejected: log π(y_l|x) of the rejected responses, nats.
        reference_chosen: log π_ref(y_w|x), nats; NaN for members without a reference, which do not read it.
        reference_rejected: log π_ref(y_l|x), nats; NaN for members without a reference.
        chosen_length: tokens of the chosen responses, including the end-of-sequence token.
        rejected_length: tokens of the rejected responses.
        kl: estimate of KL(π ‖ π_ref) that only `kto` reads, nats, at least 0 and without gradient (see `kto`).
    """

    policy_chosen: Float[Tensor, " pairs"]
    policy_rejected: Float[Tensor, " pairs"]
    reference_chosen: Float[Tensor, " pairs"]
    reference_rejected: Float[Tensor, " pairs"]
    chosen_length: Float[Tensor, " pairs"]
    rejected_length: Float[Tensor, " pairs"]
    kl: Float[Tensor, ""] | float = 0.0

    @classmethod
    def from_columns(
        cls,
        policy: Float[Tensor, "pairs 2"],
        reference: Float[Tensor, "pairs 2"],
        lengths: Float[Tensor, "pairs 2"],
        kl: Float[Tensor, ""] | float = 0.0,
    ) -> "PairLogps":
        """Make the batch from tensors with one column for the chosen and one for the rejected responses."""
        policy_chosen, policy_rejected = policy.unbind(dim=1)
        reference_chosen, reference_rejected = reference.unbind(dim=1)
        chosen_length, rejected_length = lengths.unbind(dim=1)
        return cls(
            policy_chosen, policy_rejected, reference_chosen, reference_rejected, chosen_length, rejected_length, kl
        )

    @property
    def chosen_log_ratio(self) -> Float[Tensor, " pairs"]:
        """log π(y_w|x) - log π_ref(y_w|x), nats."""
        return self.policy_chosen - self.reference_chosen

    @property
    def rejected_log_ratio(self) -> Float[Tensor, " pairs"]:
        """log π(y_l|x) - log π_ref(y_l|x), nats."""
        return self.policy_rejected - self.reference_rejected

    @property
    def chosen_mean_logp(self) -> Float[Tensor, " pairs"]:
        """log π of the chosen response divided by its number of tokens, nats per token."""
        return self.policy_chosen / self.chosen_length

    @property
    def rejected_mean_logp(self) -> Float[Tensor, " pairs"]:
        """log π of the rejected response divided by its number of tokens, nats per token."""
        return self.policy_rejected / self.rejected_length


# Members with a reference


def sigmoid(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.0) -> Float[Tensor, " pairs"]:
    """DPO, and with label smoothing conservative DPO.

        ℓ = -(1 - ε) log σ(m) - ε log σ(-m)

    DPO (ε = 0): Rafailov et al. 2023 (arXiv:2305.18290), equation 7. Conservative DPO: Mitchell 2023, "A note on DPO
    with noisy preferences & relationship to IPO". TRL 1.16 has smoothing only in its trainer without a reference
    (`CPOTrainer`).

    Against DPO: each label is assumed to be wrong with probability ε, so the loss no longer rewards an infinite margin.
    Typical values: β from 0.05 to 0.5, ε from 0 to 0.3.
    Optimum: m = logit(1 - ε) = ln((1 - ε) / ε), where σ(m) = 1 - ε; for ε = 0 there is none, the loss falls for ever.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.
        label_smoothing: ε, the assumed probability that a label is wrong; at least 0, below 1/2.

    Returns:
        One loss per pair, nats.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 9 * one, 9 * one)  # log-ratios 1 and -1
    >>> sigmoid(pair, beta=0.5), sigmoid(pair, beta=0.5, label_smoothing=0.25)
    (tensor([0.3133]), tensor([0.5633]))
    """
    return smoothed_nll(_margins(logps, beta), label_smoothing)


def robust(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.0) -> Float[Tensor, " pairs"]:
    """Robust DPO: an unbiased estimate of the DPO loss under clean labels, computed from noisy labels.

        ℓ = [-(1 - ε) log σ(m) + ε log σ(-m)] / (1 - 2ε)

    Chowdhury, Kini and Natarajan 2024, "Provably Robust DPO" (arXiv:2403.00409); TRL's `robust`.

    Against DPO: if labels are flipped with probability ε, the expectation of this loss is the DPO loss of the true
    labels. Conservative DPO adds the flipped term; robust DPO subtracts it.
    Typical values: β from 0.05 to 0.5, ε = 0.1. With ε = 0 it is DPO.
    Optimum: none. The slope in m lies between -(1 - ε) / (1 - 2ε) and -ε / (1 - 2ε): it never reaches 0, and the loss
    has no lower bound.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.
        label_smoothing: ε, the probability that a label was flipped; at least 0, below 1/2.

    Returns:
        One loss per pair, nats; negative for large margins.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 9 * one, 9 * one)
    >>> robust(pair, beta=0.5, label_smoothing=0.25)  # (0.75 x 0.3133 - 0.25 x 1.3133) / 0.5
    tensor([-0.1867])
    """
    margins = _margins(logps, beta)
    kept, flipped = preference_nll(margins), preference_nll(-margins)
    return ((1 - label_smoothing) * kept - label_smoothing * flipped) / (1 - 2 * label_smoothing)


def hinge(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """The hinge loss of DPO's margin.

        ℓ = max(0, 1 - m)

    Zhao et al. 2023, "SLiC-HF" (arXiv:2305.10425), with DPO's log-ratios instead of log-probabilities, as in Liu et al.
    2023, "RSO" (arXiv:2309.06657); TRL's `hinge`.

    Against DPO: a pair whose margin has reached 1 has no gradient at all; before that, every pair has the same weight.
    Typical values: β from 0.05 to 0.5.
    Optimum: every m of at least 1, that is, a difference of log-ratios of at least 1/β nats.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, at least 0, without a unit.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 9 * one, 9 * one)
    >>> hinge(pair, beta=0.1), hinge(pair, beta=0.5)
    (tensor([0.8000]), tensor([0.]))
    """
    return F.relu(1 - _margins(logps, beta))


def ipo(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Identity Preference Optimization, with log-probabilities summed over tokens as in the paper.

        ℓ = (h - 1 / (2β))²,   h = m / β = (log π(y_w|x) - log π_ref(y_w|x)) - (log π(y_l|x) - log π_ref(y_l|x))

    Azar et al. 2023 (arXiv:2310.12036), equation 17, where β is called τ. Libraries average over tokens: `ipo_mean`.

    Against DPO: a squared error towards a fixed target replaces the classifier, so a pair that is always labelled the
    same way does not pull the policy infinitely far from the reference.
    Typical values: β from 0.1 to 1; the target is then 5 to 0.5 nats.
    Optimum: h = 1 / (2β), that is, m = 1/2 for every β.

    Args:
        logps: the pairs.
        beta: τ, strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, at least 0, nats².

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 4 * one, 2 * one)
    >>> ipo(pair, beta=0.1), ipo(pair, beta=0.25)  # h = 2 nats; the targets are 5 and 2 nats
    (tensor([9.]), tensor([0.]))
    """
    return (logps.chosen_log_ratio - logps.rejected_log_ratio - 1 / (2 * beta)).square()


def ipo_mean(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Identity Preference Optimization, with log-probabilities averaged over tokens as in libraries.

        ℓ = (h - 1 / (2β))²,   h = (log π(y_w|x) - log π_ref(y_w|x)) / |y_w| - (log π(y_l|x) - log π_ref(y_l|x)) / |y_l|

    Azar et al. 2023 (arXiv:2310.12036), equation 17, per token: TRL's `ipo`. A comment in its source says that the
    authors of IPO confirmed this form.

    Against `ipo`: the target is in nats per token, so long responses may move further than short ones.
    Typical values: β from 0.1 to 1. At β = 0.1 the target of 5 nats per token is far away, and the squared error grows
    large; prefer larger values.
    Optimum: h = 1 / (2β) nats per token. It does not determine m, which also depends on the lengths.

    Args:
        logps: the pairs.
        beta: τ, strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, at least 0, (nats per token)².

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 4 * one, 2 * one)
    >>> ipo_mean(pair, beta=0.5)  # h = 1/4 + 1/2; the target is 1
    tensor([0.0625])
    """
    return (_normalised_difference(logps) - 1 / (2 * beta)).square()


def sigmoid_norm(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Length-normalised DPO.

        ℓ = -log σ( β [ (log π(y_w|x) - log π_ref(y_w|x)) / |y_w| - (log π(y_l|x) - log π_ref(y_l|x)) / |y_l| ] )

    Lambert et al. 2024, "Tülu 3" (arXiv:2411.15124); TRL's `sigmoid_norm`.

    Against DPO: rewards are per token, so the policy gains nothing from the length of a response. Margins are smaller
    by about a typical length, so β must be larger by as much.
    Typical values: β from 2 to 10; Tülu 3 uses 5.
    Optimum: none, as for DPO.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, at least 0, nats.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 4 * one, 2 * one)
    >>> sigmoid_norm(pair, beta=1.0)  # -log σ(1/4 + 1/2)
    tensor([0.3869])
    """
    return preference_nll(beta * _normalised_difference(logps))


def apo_zero(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Anchored Preference Optimization for chosen responses that are better than the model's own.

        ℓ = 1 - σ(r̂(x, y_w)) + σ(r̂(x, y_l))

    D'Oosterlinck et al. 2024 (arXiv:2408.06266), equation 7; TRL's `apo_zero`.

    Against DPO: the two rewards have separate terms, so the probability of the chosen response must rise; DPO lets both
    fall as long as the margin grows.
    Typical values: β from 0.05 to 0.5.
    Optimum: none; each term saturates for large rewards of the right sign.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, between 0 and 2, without a unit; 1 where the policy is the reference.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 9 * one, 9 * one)
    >>> apo_zero(pair, beta=1.0)  # 2 σ(-1)
    tensor([0.5379])
    """
    return torch.sigmoid(-beta * logps.chosen_log_ratio) + torch.sigmoid(beta * logps.rejected_log_ratio)


def apo_down(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Anchored Preference Optimization for chosen responses that are worse than the model's own.

        ℓ = σ(r̂(x, y_w)) + 1 - σ(m)

    D'Oosterlinck et al. 2024 (arXiv:2408.06266), equation 8; TRL's `apo_down`.

    Against DPO: the probability of both responses falls, that of the rejected response further.
    Typical values: β from 0.05 to 0.5.
    Optimum: none. Where the policy is the reference, the two terms cancel for the chosen response: its gradient is 0
    at the first step.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, between 0 and 2, without a unit; 1 where the policy is the reference.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 9 * one, 9 * one)
    >>> apo_down(pair, beta=1.0)  # σ(1) + σ(-2)
    tensor([0.8503])
    """
    return torch.sigmoid(beta * logps.chosen_log_ratio) + torch.sigmoid(-_margins(logps, beta))


def kto(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Kahneman-Tversky Optimization of pairs: the chosen response is desirable, the rejected one undesirable.

        ℓ = ½ [1 - σ(r̂(x, y_w) - β z₀)] + ½ [1 - σ(β z₀ - r̂(x, y_l))]
        z₀ = max(0, mean of log π(y'|x) - log π_ref(y'|x)),   y' a response to another prompt of the batch

    Ethayarajh et al. 2024 (arXiv:2402.01306), section 4, with both weights λ equal to 1; TRL's `KTOTrainer` on a batch
    that contains both responses of each pair. z₀ estimates KL(π ‖ π_ref) from mismatched prompts and responses. It has
    no gradient. The trainer pairs each prompt of a step with both responses of the pair before it in that step, as the
    authors do, and the first prompt with those of the last pair.

    Against DPO: each response is compared with z₀ instead of with the other response, so unpaired data would do too.
    The loss saturates on both sides: a response that is hopeless for the policy has little gradient.
    Typical values: β from 0.05 to 0.5.
    Optimum: none in r̂(x, y_w) and r̂(x, y_l), as z₀ is held constant.

    Args:
        logps: the pairs; `logps.kl` is z₀.
        beta: strength of the pull towards the reference; above 0.

    Returns:
        One loss per pair, between 0 and 1, without a unit; 1/2 where the policy is the reference.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 9 * one, 9 * one, kl=torch.tensor(1.0))
    >>> kto(pair, beta=1.0)  # (1 - σ(0) + 1 - σ(2)) / 2
    tensor([0.3096])
    """
    desirable = torch.sigmoid(-beta * (logps.chosen_log_ratio - logps.kl))
    undesirable = torch.sigmoid(-beta * (logps.kl - logps.rejected_log_ratio))
    return (desirable + undesirable) / 2


def rpo(logps: PairLogps, beta: float = 0.1, sft_weight: float = 1.0) -> Float[Tensor, " pairs"]:
    """DPO with a supervised term on the chosen response.

        ℓ = -log σ(m) - α log π(y_w|x) / |y_w|

    Pang et al. 2024, "Iterative Reasoning Preference Optimization" (arXiv:2404.19733), equation 1; there α multiplies
    the DPO term instead. TRL: `loss_type=["sigmoid", "sft"]` with `loss_weights=[1, α]`. TRL averages the second term
    over all chosen tokens of a batch, the paper and this function over the tokens of each response; the two agree if
    the chosen responses have the same length.

    Against DPO: the probability of the chosen response is kept from falling.
    Typical values: β from 0.05 to 0.5, α from 0.1 to 1.
    Optimum: none in m.

    Args:
        logps: the pairs.
        beta: strength of the pull towards the reference; above 0.
        sft_weight: α, the weight of the supervised term; at least 0.

    Returns:
        One loss per pair, at least 0; the first term in nats, the second in nats per token times α.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 10 * one, 9 * one)
    >>> rpo(pair, beta=0.5, sft_weight=0.1)  # 0.3133 + 0.1 x 5
    tensor([0.8133])
    """
    return sigmoid(logps, beta) - sft_weight * logps.chosen_mean_logp


# Members without a reference


def simpo(logps: PairLogps, beta: float = 0.1, gamma: float = 0.5) -> Float[Tensor, " pairs"]:
    """Simple Preference Optimization.

        ℓ = -log σ( β log π(y_w|x) / |y_w| - β log π(y_l|x) / |y_l| - γ )

    Meng, Xia and Chen 2024 (arXiv:2405.14734), equation 6; TRL's `CPOTrainer` with `loss_type="simpo"`, `cpo_alpha=0`
    and `simpo_gamma=γ`.

    Against DPO: there is no reference. The reward is the mean log-probability of a token, times β, and it should differ
    by more than γ. Nothing but a small learning rate keeps the policy near its start.
    Typical values: β from 2 to 10, γ / β from 0.1 to 0.6. The default β of DPO, 0.1, is far too small.
    Optimum: none; at a difference of rewards of γ, the weight of a pair is half of its maximum.

    Args:
        logps: the pairs; the reference is not used.
        beta: scale of the reward; above 0.
        gamma: γ, the target difference between the rewards; at least 0.

    Returns:
        One loss per pair, at least 0, nats.

    >>> one = torch.ones(1)
    >>> pair = PairLogps(-4 * one, -6 * one, one.log(), one.log(), 4 * one, 2 * one)  # -1 and -3 nats per token
    >>> simpo(pair, beta=1.0, gamma=2.0)  # -log σ(0)
    tensor([0.6931])
    """
    return preference_nll(beta * (logps.chosen_mean_logp - logps.rejected_mean_logp) - gamma)


def orpo(logps: PairLogps, beta: float = 0.1) -> Float[Tensor, " pairs"]:
    """Odds Ratio Preference Optimization: a supervised loss and a preference loss in one stage.

        ℓ = -log p_w - β log σ( log[p_w / (1 - p_w)] - log[p_l / (1 - p_l)] ),   p = exp(log π(y|x) / |y|)

    Hong, Lee and Thorne 2024 (arXiv:2403.07691), equations 6 and 7, where β is called λ. TRL's `ORPOTrainer` has the
    same second term. Its supervised term also covers the prompt and averages over all tokens of a batch.

    Against DPO: there is no reference and no earlier supervised stage. β is the weight of the preference term, not the
    strength of a pull: larger values follow the preferences more.
    Typical values: β from 0.1 to 1; TRL's default is 0.1.
    Optimum: none; the loss falls until p_w is 1.

    Args:
        logps: the pairs; the reference is not used.
        beta: λ, the weight of the odds ratio; above 0.

    Returns:
        One loss per pair, at least 0; the first term in nats per token.

    >>> half = torch.tensor([0.5])  # the probability of each token
    >>> pair = PairLogps(4 * half.log(), 2 * half.log(), half, half, torch.tensor([4.0]), torch.tensor([2.0]))
    >>> orpo(pair, beta=1.0)  # ln 2 - log σ(0)
    tensor([1.3863])
    """
    chosen, rejected = logps.chosen_mean_logp, logps.rejected_mean_logp
    return beta * preference_nll(_log_odds(chosen) - _log_odds(rejected)) - chosen


@dataclass(frozen=True)
class Member:
    """A loss of the family.

    Args:
        function: from `PairLogps` and settings to one loss per pair.
        label: what people call it.
        typical: typical settings for responses of a few dozen tokens.
        change: what it changes against DPO, in a sentence or two.
        needs_reference: whether it depends on the logps of a reference.
        needs_kl: whether it depends on `PairLogps.kl`, for which the trainer needs logps of mismatched pairs.
        per_token: whether β multiplies means over tokens, so that its size cannot be compared with DPO's.
        needs_lengths: whether it depends on the lengths of the responses; all that are per token do.
    """

    function: Callable[..., Tensor]
    label: str
    typical: Mapping[str, float]
    change: str
    needs_reference: bool = True
    needs_kl: bool = False
    per_token: bool = False
    needs_lengths: bool = False

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the settings that it uses: the keyword arguments of its function."""
        return tuple(inspect.signature(self.function).parameters)[1:]


LOSSES: dict[str, Member] = {
    "sigmoid": Member(
        sigmoid, "DPO", {"beta": 0.1},
        "A classifier of the difference: its pull fades as the pair is put in order, and never stops. With "
        "label smoothing ε it stops where the margin is log((1−ε)/ε): conservative DPO.",
    ),
    "robust": Member(
        robust, "robust DPO", {"beta": 0.1, "label_smoothing": 0.1},
        "Unbiased if a share ε of the labels is flipped: it subtracts the flipped term that label smoothing "
        "adds. Its pull always keeps a part of its strength, so the loss has no lowest point.",
    ),
    "hinge": Member(
        hinge, "hinge (SLiC)", {"beta": 0.1},
        "The full pull until the margin is 1, then none at all: pairs that are in order are left alone.",
    ),
    "ipo": Member(
        ipo, "IPO", {"beta": 0.1},
        "A squared error towards a fixed difference of 1/(2β) nats. Beyond it, the pull turns round.",
    ),
    "ipo_mean": Member(
        ipo_mean, "IPO per token", {"beta": 1.0},
        "What most libraries call IPO: the same squared error, but of mean log-ratios per token.", per_token=True,
    ),
    "sigmoid_norm": Member(
        sigmoid_norm, "DPO per token", {"beta": 5.0},
        "DPO on mean log-ratios per token: a longer response gains nothing from its length.", per_token=True,
    ),
    "simpo": Member(
        simpo, "SimPO", {"beta": 2.0, "gamma": 0.5},
        "No reference: mean log-probabilities per token, which should differ by more than γ/β. Nothing holds "
        "the policy near its start.", needs_reference=False, per_token=True,
    ),
    "orpo": Member(
        orpo, "ORPO", {"beta": 0.5},
        "No reference: a supervised term on the chosen response, and β times a classifier of log-odds per "
        "token.", needs_reference=False, per_token=True,
    ),
    "kto": Member(
        kto, "KTO", {"beta": 0.1},
        "Each response alone, compared with z₀ instead of with the other one. It saturates on both sides: a "
        "hopeless case is given up.", needs_kl=True,
    ),
    "apo_zero": Member(
        apo_zero, "APO zero", {"beta": 0.1},
        "Two separate terms: the chosen response should rise above the reference, the rejected one fall below "
        "it.",
    ),
    "apo_down": Member(
        apo_down, "APO down", {"beta": 0.1},
        "Both responses fall, the rejected one further: for chosen responses worse than what the policy "
        "writes.",
    ),
    "rpo": Member(
        rpo, "DPO + SFT (RPO)", {"beta": 0.1, "sft_weight": 1.0},
        "DPO plus a supervised term: the chosen response is kept from falling.", needs_lengths=True,
    ),
}  # fmt: skip
"""All members by name."""


def compute_losses(logps: PairLogps, loss: str = "sigmoid", **settings: float) -> Float[Tensor, " pairs"]:
    """The loss of each pair under a member of the family, with input checks.

    Args:
        logps: log-probabilities (nats) and lengths (tokens) of the pairs.
        loss: name of a member; a key of `LOSSES`.
        settings: settings of that member, such as `beta`; see its function.

    Returns:
        One loss per pair.

    Raises:
        ValueError: there is no such loss, it does not use a setting, a setting is out of range, the shapes differ, the
            batch is empty, or a value that the loss uses is not finite.

    >>> one = torch.ones(2)
    >>> pairs = PairLogps(-50 * one, -52 * one, -51 * one, -51 * one, 4 * one, 2 * one)
    >>> compute_losses(pairs, "hinge", beta=0.1)
    tensor([0.8000, 0.8000])
    >>> compute_losses(pairs, "hinge", gamma=0.5)
    Traceback (most recent call last):
        ...
    ValueError: gamma=0.5 is not used by loss 'hinge', which uses beta
    """
    member = check_settings(loss, settings)
    reference = ("reference_chosen", "reference_rejected") if member.needs_reference else ()
    names = ("policy_chosen", "policy_rejected", *reference, "chosen_length", "rejected_length")
    check_logps(**{name: getattr(logps, name) for name in names})
    return member.function(logps, **settings)


def find_member(loss: str) -> Member:
    """Return a member by name.

    Raises:
        ValueError: there is no such member.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, found {loss!r}")
    return LOSSES[loss]


def check_settings(loss: str, settings: Mapping[str, float]) -> Member:
    """Return a member by name, after checking its settings.

    Raises:
        ValueError: there is no such member, it does not use a setting, or a setting is out of range.
    """
    member = find_member(loss)
    for name, value in settings.items():
        if name not in member.settings:
            raise ValueError(f"{name}={value} is not used by loss {loss!r}, which uses {', '.join(member.settings)}")
        check_setting(name, value)
    return member


def check_setting(name: str, value: float) -> None:
    """Reject a setting that is out of range.

    Raises:
        ValueError: the value is not a finite number in the range of the setting.
    """
    if name == "beta":
        check_beta(value)
    elif name == "label_smoothing":
        if not 0 <= value < 0.5:
            raise ValueError(f"label_smoothing must be at least 0 and below 0.5, found {value}")
    elif not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be a finite number of at least 0, found {value}")


def family_metrics(logps: PairLogps, loss: str, settings: dict[str, Any]) -> dict[str, Float[Tensor, " pairs"]]:
    """The loss and all other reported metrics of each pair under a member of the family, without input checks.

    Args:
        logps: the pairs.
        loss: name of the member.
        settings: all settings of the member, by name.

    Returns:
        One value per pair. Members with a reference report the metrics of DPO (see `pair_metrics`). Their `margin`
        and rewards are those of the implicit reward β (log π - log π_ref), whatever the loss makes of them. `kto` adds
        `mismatched_kl`, its z₀. Members without a reference have no implicit reward. They report `loss`,
        `chosen_logps`, `rejected_logps`, and in nats per token `chosen_mean_logps`, `rejected_mean_logps` and their
        difference `mean_logp_margin`, with `mean_logp_accuracy` (1 where it is positive, 1/2 where it is 0).
    """
    member = LOSSES[loss]
    losses = {"loss": member.function(logps, **settings)}
    if member.needs_kl:
        losses["mismatched_kl"] = torch.zeros_like(losses["loss"]) + logps.kl
    if member.needs_reference:
        return losses | reward_metrics(
            logps.policy_chosen, logps.policy_rejected, logps.reference_chosen, logps.reference_rejected,
            settings["beta"],
        )  # fmt: skip
    margins = logps.chosen_mean_logp - logps.rejected_mean_logp
    return losses | {
        "chosen_logps": logps.policy_chosen,
        "rejected_logps": logps.policy_rejected,
        "chosen_mean_logps": logps.chosen_mean_logp,
        "rejected_mean_logps": logps.rejected_mean_logp,
        "mean_logp_margin": margins,
        "mean_logp_accuracy": (1 + margins.sign()) / 2,
    }


def _margins(logps: PairLogps, beta: float) -> Tensor:
    """DPO's margin m, nats."""
    return beta * logps.chosen_log_ratio - beta * logps.rejected_log_ratio


def _normalised_difference(logps: PairLogps) -> Tensor:
    """The difference between the log-ratios per token of the two responses, nats per token."""
    return logps.chosen_log_ratio / logps.chosen_length - logps.rejected_log_ratio / logps.rejected_length


def _log_odds(log_probability: Tensor) -> Tensor:
    """log(p / (1 - p)). `expm1` keeps 1 - p accurate where p is close to 1."""
    return log_probability - torch.log(-torch.expm1(log_probability))

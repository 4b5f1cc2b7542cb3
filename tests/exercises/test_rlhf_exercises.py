"""The answers of the exercises of notebook 02 are correct: the model counts, and the term that limits PPO."""

import math
import re
from typing import Any

import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from dpo_teach.exercises.exercise import Verdict
from dpo_teach.exercises.rlhf import TERMS, bradley_terry, count_models, which_term
from dpo_teach.memory import count_memory
from dpo_teach.rlhf import LearnedReward, PPOTrainer, RewardModel
from dpo_teach.rlhf.objective import clipped_surrogate
from dpo_teach.worlds.tabular import kl, optimal_policy

WORDS = {"1": "one", "2": "two", "3": "three", "4": "four"}

# The loss


def test_the_message_for_an_unknown_mistake_has_both_numbers_and_their_factor() -> None:
    # leads 0.8, -1.4, 1.0, 2.6: -log σ is 0.3711, 1.6204, 0.3133, 0.0716, mean 0.5941; a third of it is 0.1980
    message = bradley_terry.check(lambda c, r: torch.log1p(torch.exp(r - c)).mean() / 3).message
    text = "In test case 1 your result is 0.1980, expected 0.5941."
    assert message.startswith(f"{text} In every test case it is 0.3333 times the right one.")


def test_adding_a_constant_to_all_rewards_does_not_change_the_loss() -> None:
    for case in bradley_terry.cases:
        chosen, rejected = case.values()
        loss = bradley_terry.solution(chosen, rejected)
        assert torch.allclose(bradley_terry.solution(chosen + 5, rejected + 5), loss)


# The models in memory


def counted() -> dict[str, int]:
    """The model counts according to the trainer and the memory calculator."""
    reward = LearnedReward(RewardModel(tiny_model()), tiny_tokenizer())
    trainer = PPOTrainer(tiny_model(), tiny_tokenizer(), ["the plot was"], reward)
    rlhf, dpo = count_memory(7e9)
    _, precomputed = count_memory(7e9, precomputed_reference=True)
    assert {model.role for model in rlhf.models} == set(trainer.models)
    return {
        "RLHF with PPO": len(trainer.models),
        "DPO": len(dpo.models),
        "DPO, reference precomputed": len(precomputed.models),
        "reward model alone": sum(model is reward.model for model in trainer.models.values()),
    }


def test_the_answers_are_the_counts_of_the_package() -> None:
    counts = counted()
    assert counts == {"RLHF with PPO": 4, "DPO": 2, "DPO, reference precomputed": 1, "reward model alone": 1}
    assert list(counts) == list(count_models.questions), "in the same order"
    assert count_models.check(counts) == Verdict("solved", count_models.praise)


@pytest.mark.parametrize("kind", [str, float, torch.tensor])
def test_a_count_may_be_a_string_a_float_or_a_tensor(kind: Any) -> None:
    assert count_models.check({label: kind(count) for label, count in counted().items()}).status == "solved"


def test_no_diagnosis_reveals_the_correct_count_in_digits_or_words() -> None:
    for question in count_models.questions.values():
        text = " ".join(question.diagnoses.values()).lower()
        assert not re.search(rf"\b({question.answer}|{WORDS[question.answer]})\b", text)


def test_a_count_that_is_not_a_choice_is_reported_with_the_choices() -> None:
    message = count_models.check({"DPO": 0}).message
    assert message == "DPO: expected one of 1, 2, 3, 4, found `0`."


# The term that keeps PPO near the reference


@pytest.mark.parametrize("answer", ["C", "c", " C "])
def test_the_letter_is_accepted_in_either_case_and_with_spaces(answer: str) -> None:
    assert which_term.check(answer) == Verdict("solved", which_term.praise)


def test_each_wrong_term_has_its_own_diagnosis_and_none_reveals_the_correct_one() -> None:
    messages = [which_term.check(letter).message for letter in "ABD"]
    assert messages == [which_term.diagnoses[letter] for letter in "ABD"]
    assert len(set(messages)) == 3
    assert not any(re.search(r"\bC\b", message) for message in messages)
    assert re.search(r'A, B, C, D\b.*`"E"`', which_term.check("E").message)


def test_only_the_correct_term_contains_the_reference() -> None:
    assert list(TERMS) == ["A", "B", "C", "D"]
    assert [letter for letter, text in TERMS.items() if "π_ref" in text] == [which_term.answer]


REFERENCE = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
REWARD = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)


def run_ppo(beta: float, clip_range: float, iterations: int = 400) -> tuple[torch.Tensor, float]:
    """PPO with four single-token responses and exact expectations; the steps shrink to 0.

    Returns:
        The policy, and the largest |ρ - 1| at the end of an iteration.
    """
    logits, furthest = REFERENCE.log(), 0.0
    for iteration in range(iterations):
        old = logits.log_softmax(dim=0)
        rewards = REWARD - beta * (old - REFERENCE.log())  # C
        advantages = rewards - old.exp() @ rewards
        advantages /= (old.exp() @ advantages**2).sqrt()  # D
        for _ in range(4):
            logits.requires_grad_()
            gain = old.exp() @ clipped_surrogate(logits.log_softmax(dim=0) - old, advantages, clip_range)  # A
            (gradient,) = torch.autograd.grad(gain, logits)
            logits = logits.detach() + 0.1 * (1 - iteration / iterations) * gradient
        furthest = max(furthest, ((logits.log_softmax(dim=0) - old).exp() - 1).abs().max().item())
    return logits.softmax(dim=0), furthest


@pytest.mark.slow
@pytest.mark.parametrize("clip_range", [0.05, 0.2])
def test_without_the_kl_term_small_clipped_updates_go_all_the_way(clip_range: float) -> None:
    policy, furthest = run_ppo(beta=0.0, clip_range=clip_range)
    assert furthest < 0.15, "each update is small"
    assert policy[3] > 0.99, "the policy writes almost nothing but the best response"
    assert kl(policy, REFERENCE).item() > 0.99 * math.log(1 / 0.1), "the largest possible KL is log 1/0.1"


@pytest.mark.slow
@pytest.mark.parametrize("clip_range", [0.05, 0.2])
def test_with_the_kl_term_the_policy_reaches_the_optimum_for_beta_whatever_the_clip(clip_range: float) -> None:
    policy, _ = run_ppo(beta=2.0, clip_range=clip_range)
    assert torch.allclose(policy, optimal_policy(REFERENCE, REWARD, 2.0), atol=1e-3)

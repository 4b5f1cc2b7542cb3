"""Wrong answers as learners give them, written out here and not taken from the exercises, with words of the diagnosis.

`python tests/planted.py` prints, for each coding exercise, how many there are and how many are recognised.
"""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planted_form import Planted
from planted_gradients import LOGPS, LOGPS_VARIANTS, WEIGHT, WEIGHT_VARIANTS
from planted_introduction import LOSS, LOSS_VARIANTS, REWARD, REWARD_VARIANTS
from planted_rlhf import BRADLEY_TERRY, PENALTY, PENALTY_VARIANTS
from planted_training import BETA, BETA_VARIANTS, STEP, STEP_VARIANTS

from dpo_teach.exercises import gradients, introduction, rlhf, training
from dpo_teach.exercises.function import FunctionExercise

os.environ["DPO_TEACH_PROGRESS"] = "off"  # a check that a test makes is nobody's progress
os.environ.pop("DPO_TEACH_REVEAL", None)

PLANTED: dict[FunctionExercise, Planted] = {
    introduction.loss: LOSS,
    introduction.implicit_reward: REWARD,
    rlhf.bradley_terry: BRADLEY_TERRY,
    rlhf.penalised_rewards: PENALTY,
    gradients.gradient_weight: WEIGHT,
    gradients.sequence_logps: LOGPS,
    training.training_step: STEP,
    training.choose_beta: BETA,
}

VARIANTS = {
    introduction.loss: LOSS_VARIANTS,
    introduction.implicit_reward: REWARD_VARIANTS,
    rlhf.penalised_rewards: PENALTY_VARIANTS,
    gradients.gradient_weight: WEIGHT_VARIANTS,
    gradients.sequence_logps: LOGPS_VARIANTS,
    training.training_step: STEP_VARIANTS,
    training.choose_beta: BETA_VARIANTS,
}
"""The same mistakes in other forms, with the words of the same diagnoses."""

for file in sorted(Path(__file__).parent.glob("planted_*.py")):  # a file of its own for another notebook adds to these
    module = importlib.import_module(file.stem)
    PLANTED |= getattr(module, "PLANTED", {})
    VARIANTS |= getattr(module, "VARIANTS", {})


def is_recognised(exercise: FunctionExercise, answer: Callable[..., Any], words: str) -> bool:
    """Whether a wrong answer is told the one diagnosis that these words are in."""
    verdict = exercise.check(answer)
    diagnoses = [mistake.diagnosis for mistake in exercise.mistakes if words in mistake.diagnosis]
    return verdict.status == "wrong" and len(diagnoses) == 1 and verdict.message.startswith(diagnoses[0])


def table() -> str:
    """Per coding exercise: wrong answers planted, and how many of them got their own diagnosis."""
    counts = {
        f"{exercise.notebook} {exercise.name}": [is_recognised(exercise, *mistake) for mistake in planted.values()]
        for exercise, planted in PLANTED.items()
    }
    counts["total"] = [told for row in counts.values() for told in row]
    lines = [f"{'exercise':<28}{'planted':>8}{'own diagnosis':>15}"]
    lines += [f"{name:<28}{len(told):>8}{sum(told):>15}" for name, told in counts.items()]
    return "\n".join([*lines, f"{sum(counts['total']) / len(counts['total']):.1%} of the planted mistakes are named"])


if __name__ == "__main__":
    print(table())

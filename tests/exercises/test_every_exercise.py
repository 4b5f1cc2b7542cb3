"""Every exercise: its solution passes, its stub is not an error, and each wrong answer gets its own diagnosis."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from exercises.wrong_answers import OTHER_FORMS, WRONG_ANSWERS, is_recognised, table
from exercises.wrong_answers.gradients import token_logps
from exercises.wrong_answers.introduction import margin

from dpo_teach import compute_dpo_loss, compute_implicit_reward, gradient_weight
from dpo_teach.batches import split_pairs
from dpo_teach.exercises import EXERCISES, family, gradients, introduction, rlhf
from dpo_teach.exercises.comparison import TOLERANCE, is_close
from dpo_teach.exercises.exercise import SOLUTIONS_OFF, Exercise, Help, Verdict, solutions_are_shown
from dpo_teach.exercises.function import FunctionExercise
from dpo_teach.logps import response_logps, sequence_logps
from dpo_teach.loss_family import PairLogps, compute_losses
from dpo_teach.rlhf import bradley_terry_loss

ALL = [exercise for exercises in EXERCISES.values() for exercise in exercises]
CASES = [(exercise, name, *case) for exercise, answers in WRONG_ANSWERS.items() for name, case in answers.items()]
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
NAMES = {"F": F, "torch": torch, "split_pairs": split_pairs, "response_logps": response_logps,
         "compute_dpo_loss": compute_dpo_loss}  # fmt: skip
"""The names that the notebooks have imported before the stubs."""

every_exercise = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.answer_name)
every_function = pytest.mark.parametrize("exercise", WRONG_ANSWERS, ids=lambda exercise: exercise.answer_name)


def stub(*_: Any) -> Any: ...


def documented_stub(*_: Any) -> Any:
    """To be written."""


def not_implemented(*_: Any) -> Any:
    raise NotImplementedError


def ellipsis(*_: Any) -> Any:
    return ...


def begun(*arguments: Any) -> Any:
    print(len(arguments))
    return ...


# The catalogue


@pytest.mark.course
def test_the_catalogue_has_every_exercise_of_every_notebook() -> None:
    stubs = {
        path.name[:2]: sum(
            "exercise" in cell["metadata"].get("tags", [])
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        )
        for path in NOTEBOOKS
    }
    assert {number: len(found) for number, found in EXERCISES.items()} == stubs
    assert list(EXERCISES) == list(stubs)
    assert 0 not in stubs.values()
    assert stubs


def test_every_exercise_has_its_own_names_and_every_coding_exercise_wrong_answers() -> None:
    assert all(exercise.notebook == notebook for notebook, found in EXERCISES.items() for exercise in found)
    assert len({exercise.answer_name for exercise in ALL}) == len({exercise.name for exercise in ALL}) == len(ALL)
    assert set(WRONG_ANSWERS) == {exercise for exercise in ALL if isinstance(exercise, FunctionExercise)}


@pytest.mark.slow
def test_importing_the_exercises_does_not_import_transformers() -> None:
    code = "import sys, dpo_teach.exercises; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Right answers


@every_exercise
def test_the_solution_cell_solves_the_exercise(exercise: Exercise) -> None:
    names = dict(NAMES)
    exec(exercise.solution_cell(), names)
    assert set(names) - set(NAMES) - {"__builtins__"} == {exercise.answer_name}
    assert exercise.check(names[exercise.answer_name]) == Verdict("solved", exercise.praise)


@pytest.mark.parametrize(
    ("exercise", "function"),
    [
        (introduction.loss, compute_dpo_loss),
        (introduction.loss, lambda *a: F.softplus(-margin(*a)).mean()),
        (introduction.loss, lambda *a: F.binary_cross_entropy_with_logits(margin(*a), torch.ones_like(a[0]))),
        (introduction.implicit_reward, compute_implicit_reward),
        (introduction.implicit_reward, lambda p, r, b: [float(b * (x - y)) for x, y in zip(p, r, strict=True)]),
        (rlhf.bradley_terry, bradley_terry_loss),
        (rlhf.bradley_terry, lambda c, r: F.binary_cross_entropy_with_logits(c - r, torch.ones_like(c))),
        (rlhf.bradley_terry, lambda c, r: -torch.stack([c, r]).log_softmax(0)[0].mean()),
        (rlhf.bradley_terry, lambda c, r: F.softplus(r.float() - c.float()).mean()),
        (gradients.gradient_weight, gradient_weight),
        (gradients.gradient_weight, lambda m, b: (b * (1 - torch.sigmoid(m))).float().numpy()),
        (gradients.sequence_logps, sequence_logps),
        (gradients.sequence_logps, lambda x, ids, mask: (token_logps(x, ids) * mask[:, 1:]).sum(1)),
        (family.ipo, lambda *a: compute_losses(PairLogps(*a[:4], a[0], a[0]), "ipo", beta=a[4]).mean()),
        (
            family.simpo,
            lambda c, r, m, n, b, g: compute_losses(PairLogps(c, r, c, r, m, n), "simpo", beta=b, gamma=g).mean(),
        ),
    ],
)
def test_the_package_and_equivalent_formulas_solve_it(exercise: Exercise, function: Callable[..., Any]) -> None:
    assert exercise.check(function).status == "solved"


# Stubs


@pytest.mark.slow
@every_exercise
def test_an_unattempted_exercise_is_not_an_error_and_repeats_the_task(exercise: Exercise) -> None:
    blanks: list[Any] = [None, ...]
    if isinstance(exercise, FunctionExercise):
        blanks += [stub, documented_stub, not_implemented, ellipsis, begun]
    for blank in blanks:
        assert exercise.check(blank) == Verdict("unattempted", f"Nothing to check yet. {exercise.task}")


# Wrong answers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [(exercise, answer, words) for exercise, _, answer, words in CASES],
    ids=[f"{exercise.answer_name}: {name}" for exercise, name, *_ in CASES],
)
def test_every_wrong_answer_gets_its_own_diagnosis_with_both_numbers(
    exercise: FunctionExercise, answer: Callable[..., Any], words: str
) -> None:
    verdict = exercise.check(answer)
    assert verdict.status == "wrong"
    (diagnosis,) = (mistake.diagnosis for mistake in exercise.mistakes if words in mistake.diagnosis)
    rest = verdict.message.removeprefix(f"{diagnosis} ")
    number = r"(\[.*\]|-?\d+\.\d+|-?inf|nan|nothing)"
    where = r"(?:In|After) (?:step \d of )?test case (\d)(?:,? .*)?"
    how = (
        rf"To see it(?:s first step)?, run `{exercise.answer_name}\(\*\*{exercise.name_in_notebook}\.case\((\d)\)\)`\."
    )
    shown = re.fullmatch(rf"{where} {number}, (?:and|but) {number} is right\. {how}", rest)
    assert shown, verdict.message
    case, found, right, case_to_see = shown.groups()
    assert found != right
    assert case == case_to_see


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [(exercise, *form) for exercise, forms in OTHER_FORMS.items() for form in forms],
)
def test_a_mistake_is_recognised_in_its_other_forms(
    exercise: FunctionExercise, answer: Callable[..., Any], words: str
) -> None:
    assert is_recognised(exercise, answer, words), exercise.check(answer).message


@every_function
def test_every_diagnosis_has_a_wrong_answer(exercise: FunctionExercise) -> None:
    words = [words for _, words in WRONG_ANSWERS[exercise].values()]
    assert len(words) == len(exercise.mistakes) >= 3
    assert all(any(word in mistake.diagnosis for word in words) for mistake in exercise.mistakes)


@pytest.mark.slow
@every_function
def test_wrong_answers_differ_from_each_other_and_from_the_solution(exercise: FunctionExercise) -> None:
    answers = {"solution": exercise.solution} | {name: answer for name, (answer, _) in WRONG_ANSWERS[exercise].items()}
    results = {name: exercise.results(answer) for name, answer in answers.items()}
    equal = [
        (one, other)
        for one, other in combinations(results, 2)
        if all(is_close(*pair, tolerance=10 * TOLERANCE) for pair in zip(results[one], results[other], strict=True))
    ]
    assert not equal


@every_function
def test_a_diagnosis_says_what_is_wrong_and_why_it_matters(exercise: FunctionExercise) -> None:
    for mistake in exercise.mistakes:
        assert len(re.findall(r"[.?](?= |$)", mistake.diagnosis)) == 2, mistake.diagnosis
        assert "\n" not in mistake.diagnosis


@pytest.mark.slow
def test_the_table_counts_every_wrong_answer() -> None:
    lines = table().splitlines()
    assert len(lines) == 1 + len(WRONG_ANSWERS) + 2
    assert lines[-2].split() == ["total", str(len(CASES)), str(len(CASES))]
    assert lines[-1] == "100.0% of the wrong answers are recognised"


# Hints and solutions


@every_exercise
def test_hints_are_available_one_by_one_and_the_solution_is_folded(exercise: Exercise) -> None:
    assert [exercise.hint(i) for i in (1, 2, 3)] == list(exercise.hints)
    assert repr(exercise.hint(1)) == exercise.hints[0]
    for number in (0, 4):
        with pytest.raises(ValueError, match=f"number must be between 1 and 3, found {number}"):
            exercise.hint(number)
    html = exercise.help()._repr_html_()
    assert html.count("<details>") == html.count("</details>") == 4
    assert "<details open" not in html
    assert repr(exercise.help()) == "3 hints and a solution, folded: open them one at a time."


@every_exercise
def test_hints_and_verdicts_are_one_line_each(exercise: Exercise) -> None:
    assert not any("\n" in text for text in (*exercise.hints, exercise.task, exercise.praise))
    assert repr(exercise.check(None)) == f"✏️ Nothing to check yet. {exercise.task}"


@every_exercise
def test_the_repr_of_an_exercise_does_not_give_its_answer(exercise: Exercise) -> None:
    assert len(repr(exercise)) < 120
    assert exercise.name in repr(exercise)


def test_right_and_wrong_differ_in_words_and_in_colour() -> None:
    right, wrong = (Verdict(status, "Take the `mean`.") for status in ("solved", "wrong"))
    assert repr(right) == "✅ Right. Take the `mean`."
    assert repr(wrong) == "❌ Not yet. Take the `mean`."
    edges = {re.search("border-left: 4px solid (#......)", one._repr_html_())[1] for one in (right, wrong)}
    assert len(edges) == 2
    assert "Not yet. Take the <code>mean</code>." in wrong._repr_html_()


@pytest.mark.parametrize("count", [0, 2, 4])
def test_an_exercise_has_three_hints(count: int) -> None:
    with pytest.raises(ValueError, match=f"hints of 'the loss': expected 3, found {count}"):
        replace(introduction.loss, hints=("Think.",) * count)


@every_function
def test_a_revealed_solution_has_no_type_hints_or_private_names(exercise: FunctionExercise) -> None:
    source = exercise.reveal()
    assert source.startswith(f"def {exercise.answer_name}(")
    assert repr(source) == str(source)
    for plumbing in ("Tensor", "->", ": float", ": Any", "_my_"):
        assert plumbing not in source


def test_the_solution_of_a_choice_is_revealed_in_words() -> None:
    assert introduction.confused_pair.reveal() == introduction.confused_pair.explanation
    text = gradients.logp_signs.reveal()
    assert text.startswith("A: chosen up, rejected down. ")
    assert "B: both down. " in text
    assert "C: both up. " in text
    assert introduction.confused_pair.solution_cell() == "confused = 3"
    assert gradients.logp_signs.solution_cell().splitlines()[:2] == [
        "signs = {",
        '    "A": "chosen up, rejected down",',
    ]


def test_hints_are_escaped_in_html() -> None:
    shown = Help(("Use `a < b`, *only* 2 * 3 * 4.",), "x < y", is_code=True)._repr_html_()
    assert "<p>Use <code>a &lt; b</code>, <em>only</em> 2 * 3 * 4.</p>" in shown
    assert "<pre><code>x &lt; y</code></pre>" in shown


# Hiding solutions


@every_exercise
@pytest.mark.parametrize("value", ["off", "OFF", "0", "no", " false "])
def test_a_teacher_can_hide_solutions(exercise: Exercise, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, cell = exercise.reveal(), exercise.solution_cell()
    monkeypatch.setenv("DPO_TEACH_REVEAL", value)
    assert not solutions_are_shown()
    assert exercise.reveal() == SOLUTIONS_OFF
    assert repr(exercise.help()) == f"3 hints, folded: open them one at a time. {SOLUTIONS_OFF}"
    html = exercise.help()._repr_html_()
    assert html.count("<details>") == 3
    assert html.endswith(f"<p>{SOLUTIONS_OFF}</p>")
    assert "A solution" not in html
    assert shown not in html
    assert exercise.solution_cell() == cell, "tests need it in any setting"


@pytest.mark.parametrize("value", ["on", "", "1", "yes", "whatever"])
def test_any_other_value_shows_solutions(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_REVEAL", value)
    assert solutions_are_shown()
    assert introduction.loss.reveal().startswith("def my_dpo_loss(")


def test_the_setting_may_be_a_file_that_is_read_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "reveal"
    monkeypatch.setenv("DPO_TEACH_REVEAL", str(file))
    assert not solutions_are_shown(), "the file does not exist"
    for setting, shown in [("", False), ("on\n", True), (" off\n", False), ("yes", True)]:
        file.write_text(setting)
        assert solutions_are_shown() is shown
    file.write_bytes(b"\xff\xfe")
    assert not solutions_are_shown(), "not readable as text"
    monkeypatch.setenv("DPO_TEACH_REVEAL", str(tmp_path))
    assert not solutions_are_shown(), "a folder, not a file"

"""Three hints and a solution, folded; and a teacher's switch that keeps solutions back."""

from dataclasses import replace
from pathlib import Path

import planted
import pytest
from test_exercises import every_exercise, every_function

from dpo_teach.exercises import introduction
from dpo_teach.exercises.base import Exercise, solutions_are_shown
from dpo_teach.exercises.function import FunctionExercise
from dpo_teach.exercises.verdict import Help

OFF = "The teacher has switched solutions off in this room."


@every_exercise
def test_hints_come_one_by_one_and_the_solution_is_folded(exercise: Exercise) -> None:
    assert [exercise.hint(i) for i in (1, 2, 3)] == list(exercise.hints)
    assert repr(exercise.hint(1)) == exercise.hints[0]
    for number in (0, 4):
        with pytest.raises(ValueError, match=f"number must lie between 1 and 3, found {number}"):
            exercise.hint(number)
    html = exercise.help()._repr_html_()
    assert html.count("<details>") == html.count("</details>") == 4
    assert "<details open" not in html
    assert repr(exercise.help()) == "3 hints and a solution, folded: open them one at a time."


@every_exercise
def test_hints_and_verdicts_are_one_line_each(exercise: Exercise) -> None:
    assert not any("\n" in text for text in (*exercise.hints, exercise.task, exercise.praise))
    assert exercise.check(None)._repr_markdown_() == f"✏️ Nothing to check yet. {exercise.task}"


@pytest.mark.parametrize("count", [0, 2, 4])
def test_an_exercise_has_three_hints(count: int) -> None:
    with pytest.raises(ValueError, match=f"hints of 'the loss': three are wanted, found {count}"):
        replace(introduction.loss, hints=("Think.",) * count)


@every_function
def test_what_is_revealed_is_what_a_learner_would_write(exercise: FunctionExercise) -> None:
    source = exercise.reveal()
    assert source.startswith(f"def {exercise.answer_name}(")
    assert repr(source) == str(source)
    for plumbing in ("Tensor", "->", ": float", ": Any", "_my_"):
        assert plumbing not in source


def test_the_other_solutions_are_revealed_in_words() -> None:
    assert introduction.confused_pair.reveal() == introduction.confused_pair.explanation
    told = planted.gradients.logp_signs.reveal()
    assert told.startswith("A: chosen up, rejected down. ")
    assert "B: both down. " in told
    assert "C: both up. " in told
    assert introduction.confused_pair.solution_cell() == "confused = 3"
    assert planted.gradients.logp_signs.solution_cell().splitlines()[:2] == [
        "signs = {",
        '    "A": "chosen up, rejected down",',
    ]


def test_words_become_html_and_nothing_of_them_is_taken_for_it() -> None:
    shown = Help(("Use `a < b`, *only* 2 * 3 * 4.",), "x < y", is_code=True)._repr_html_()
    assert "<p>Use <code>a &lt; b</code>, <em>only</em> 2 * 3 * 4.</p>" in shown
    assert "<pre><code>x &lt; y</code></pre>" in shown


# The teacher's switch


@every_exercise
@pytest.mark.parametrize("value", ["off", "OFF", "0", "no", " false "])
def test_a_teacher_can_keep_solutions_back(exercise: Exercise, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, cell = exercise.reveal(), exercise.solution_cell()
    monkeypatch.setenv("DPO_TEACH_REVEAL", value)
    assert not solutions_are_shown()
    assert exercise.reveal() == OFF
    assert repr(exercise.help()) == f"3 hints, folded: open them one at a time. {OFF}"
    html = exercise.help()._repr_html_()
    assert html.count("<details>") == 3
    assert html.endswith(f"<p>{OFF}</p>")
    assert "A solution" not in html
    assert shown not in html
    assert exercise.solution_cell() == cell, "tests need it in every room"


@pytest.mark.parametrize("value", ["on", "", "1", "yes", "whatever"])
def test_any_other_value_means_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_REVEAL", value)
    assert solutions_are_shown()
    assert introduction.loss.reveal().startswith("def my_dpo_loss(")


def test_a_file_says_it_for_a_whole_room_and_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "reveal"
    monkeypatch.setenv("DPO_TEACH_REVEAL", str(file))
    assert not solutions_are_shown(), "the file is not there"
    for said, shown in [("", False), ("on\n", True), (" off\n", False), ("yes", True)]:
        file.write_text(said)
        assert solutions_are_shown() is shown
    file.write_bytes(b"\xff\xfe")
    assert not solutions_are_shown(), "nobody can read that"
    monkeypatch.setenv("DPO_TEACH_REVEAL", str(tmp_path))
    assert not solutions_are_shown(), "a folder says nothing"

"""The exercises in their notebooks: none is solved as shipped, and all are solved when every stub is filled in."""

import ast
import json
import os
import re
from pathlib import Path

import pytest

from dpo_teach.exercises import EXERCISES
from tools.notebooks.form import read
from tools.notebooks.run import execute

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {path.stem[:2]: path for path in sorted(FOLDER.glob("*.ipynb"))}
TRAINING = {"02", "04", "05"}  # train for minutes before the exercises; WHOLE_NOTEBOOKS=1 runs that too
BY_ANSWER = {exercise.answer_name: exercise for exercises in EXERCISES.values() for exercise in exercises}


def tagged(notebook, tag):
    return [cell for cell in notebook["cells"] if tag in cell["metadata"].get("tags", [])]


def answer_name(cell):
    """The name that a stub cell defines."""
    return re.search(r"^(?:def )?(\w+)\b", re.sub(r"^#.*\n", "", cell["source"]))[1]


def printed(cell):
    return "".join(output["data"]["text/plain"] for output in cell["outputs"] if "data" in output)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_a_notebooks_stubs_match_its_exercises_in_order(number):
    stubs = [answer_name(cell) for cell in tagged(read(NOTEBOOKS[number]), "exercise")]
    assert stubs == [exercise.answer_name for exercise in EXERCISES[number]]


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_as_shipped_every_check_reports_an_unattempted_exercise(number):
    checks = tagged(read(NOTEBOOKS[number]), "check")
    assert len(checks) == len(EXERCISES[number])
    for check, exercise in zip(checks, EXERCISES[number], strict=True):
        assert printed(check) == f"✏️ Nothing to check yet. {exercise.task}"


def without_training(notebook):
    """The notebook with the cells before its exercises reduced to imports, which is all that the exercises need."""
    (start,) = (place for place, cell in enumerate(notebook["cells"]) if cell["id"] == "exercises")
    for cell in notebook["cells"][:start]:
        if cell["cell_type"] == "code":
            nodes = ast.parse(cell["source"]).body
            imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
            cell["source"] = "\n".join(map(ast.unparse, imports))
    return notebook


@pytest.mark.slow
@pytest.mark.parametrize("number", NOTEBOOKS)
def test_with_every_stub_filled_in_every_check_passes(number, tmp_path, monkeypatch):
    card = tmp_path / "progress.json"
    monkeypatch.setenv("DPO_TEACH_PROGRESS", str(card))
    notebook = read(NOTEBOOKS[number])
    if number in TRAINING and "WHOLE_NOTEBOOKS" not in os.environ:
        notebook = without_training(notebook)
    for cell in tagged(notebook, "exercise"):
        cell["source"] = BY_ANSWER[answer_name(cell)].solution_cell()
    solved = execute(notebook, FOLDER)
    for check, exercise in zip(tagged(solved, "check"), EXERCISES[number], strict=True):
        assert printed(check) == f"✅ Right. {exercise.praise}"
    (progress,) = (cell for cell in solved["cells"] if cell["id"] == "progress")
    assert printed(progress).splitlines() == [f"✅ {exercise.name}" for exercise in EXERCISES[number]]
    assert all(exercise.answer_name in json.loads(card.read_text())["exercises"] for exercise in EXERCISES[number])

"""The check of asserts: constant sentences and uncompared values must be backed by one."""

from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from strictness.checks import NOTEBOOKS
from strictness.claims import ASSERTED_IN, TO_BE_READ, unasserted_sentences, unasserted_values

from tools.notebooks.form import UNSTABLE, code_cells, normalise, read, serialise


def notebook(folder: Path, *sources: str, unstable: int = -1) -> Path:
    cells = [
        new_code_cell(source, metadata={"tags": [UNSTABLE] if place == unstable else []})
        for place, source in enumerate(sources)
    ]
    path = folder / "lesson.ipynb"
    path.write_text(serialise(normalise(new_notebook(cells=cells))))
    return path


@pytest.mark.parametrize(
    ("sources", "faults"),
    [
        (["print('they agree to four digits')"], 1),
        (["assert a == b\nprint('they agree to four digits')"], 0),
        (["assert a == b\nprint('they agree at last')\nprint('and no curve crosses it')"], 1),
        (["assert a == b\nprint('they agree at last')\nassert c\nprint('and no curve crosses it')"], 0),
        (["print(f'they agree to {digits} digits')"], 0),  # the output is compared with the saved one
        (["print('they agree to', digits, 'of the digits')"], 0),
        (["print('β      loss of a pair')"], 0),  # a table header
        (["print('loss')"], 0),
        (["if a == b:\n    print('they agree to four digits')"], 0),  # printed only if the condition holds
        (["plot_runs(x, 'The loss falls.')"], 1),
        (["assert x\nplot_runs(x, 'The loss falls.')"], 0),
        (["assert x", "plot_runs(x, 'The loss falls.')"], 1),
        (["plot_runs(x, 'The loss')"], 0),  # a label
    ],
)
def test_a_sentence_that_is_always_said_needs_an_assert(tmp_path, sources, faults) -> None:
    assert len(list(unasserted_sentences(notebook(tmp_path, *sources)))) == faults


@pytest.mark.parametrize(
    ("sources", "faults"),
    [
        (["x = train()\nprint(x)"], 1),
        (["x = train()\nassert x > 1\nprint(x)"], 0),
        (["x = train()\nprint(x)", "assert x > 1"], 0),
        (["x = train()\nprint(x)", "y = mean(x)\nassert y > 1"], 0),
        (["model = load_model()\nfor text in write(model):\n    print(text)", "assert model"], 1),  # no result
        (["x = train()\nprint(x)", "x = 3\nassert x"], 1),  # another x
        (["rows = []\nfor x in train():\n    rows.append(x)\nTable(rows)", "assert rows"], 0),
    ],
)
def test_a_value_that_is_not_compared_needs_an_assert(tmp_path, sources, faults) -> None:
    assert len(list(unasserted_values(notebook(tmp_path, *sources, unstable=0)))) == faults


def test_every_exception_refers_to_an_existing_cell() -> None:
    existing = {(path.stem, cell["id"]) for path in NOTEBOOKS for cell in code_cells(read(path))}
    elsewhere = {(notebook, other) for (notebook, _), other in ASSERTED_IN.items()}
    assert TO_BE_READ | set(ASSERTED_IN) | elsewhere <= existing

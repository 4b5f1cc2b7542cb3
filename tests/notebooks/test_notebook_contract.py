"""Every static check of the committed notebooks, and the contract check on planted violations."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from strictness.checks import CHECKS, NOTEBOOKS
from strictness.contract import CLOSING, LINES, OPENING, violations

from tools.notebooks.form import UNSTABLE, normalise

BYTES = 1_000_000


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_passes_every_check(path, name):
    assert list(CHECKS[name](path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_small_enough_for_a_repository(path):
    assert path.stat().st_size < BYTES


# The checks themselves

TITLE = new_markdown_cell(
    "# A lesson\n\n**You will be able to** do it. **You need** nothing. 3 minutes to read, 2 seconds to run."
)
END = new_markdown_cell("## What you now know\n\nIt.\n\n## Where to go on\n\nThere.")


def lesson(*cells, opening=TITLE, closing=END) -> dict:
    return normalise(new_notebook(cells=[opening, *cells, closing]))


def test_a_notebook_that_keeps_the_contract_has_no_violations():
    source = "\n".join(["for x in range(3):"] + ["    y = x"] * (LINES - 1))
    cells = [
        new_code_cell(source, metadata={"tags": [UNSTABLE]}, outputs=[new_output("stream", name="stderr", text="10%")]),
        new_markdown_cell("On a slide.", metadata={"slideshow": {"slide_type": "-"}}),
        new_code_cell("s = 'a;b'  # no interaction, no output, Outputs(1)\nOutputs = print"),
    ]
    assert list(violations(lesson(*cells))) == []


@pytest.mark.parametrize(
    ("cell", "breach"),
    [
        (new_code_cell("plt.plot(x);"), "ends in a semicolon"),
        (new_code_cell("plt.plot(x); \nplt.show()"), "ends in a semicolon"),
        (new_code_cell("interact(f, beta=(0, 1))"), "interact"),
        (new_code_cell("out = widgets.Output()"), "Output widget"),
        (new_code_cell("# NBVAL_IGNORE_OUTPUT\nf()"), "use a tag"),
        (new_code_cell("%config InlineBackend.figure_format = 'svg'"), "SVG"),
        (new_code_cell("\n".join("abcdefghijklmnopq")), "17 lines"),
        (new_code_cell("f()", metadata={"tags": ["nbval-ignore-ouput"]}), "unknown tags ['nbval-ignore-ouput']"),
        (new_markdown_cell("In", metadata={"tags": ["aside"]}), "unknown tags ['aside']"),
        (new_markdown_cell("On", metadata={"slideshow": {"slide_type": "slid"}}), "unknown slide metadata"),
        (new_markdown_cell("On", metadata={"slideshow": {"start_slideshow": True}}), "unknown slide metadata"),
        (new_code_cell("open('/home/me/pairs.jsonl')"), "/home/me/pairs.jsonl"),
        (new_markdown_cell("Look in `/tmp/runs`."), "/tmp/runs"),
        (new_code_cell("f()", outputs=[new_output("stream", name="stderr", text="UserWarning")]), "stderr"),
        (new_code_cell("f()", outputs=[new_output("display_data", data={"image/svg+xml": "<svg/>"})]), "shows SVG"),
        (new_code_cell("f()", outputs=[new_output("display_data", data={"image/png": ""})]), "without alt text"),
        (
            new_code_cell(
                "f()", outputs=[new_output("display_data", data={"image/png": "", "text/plain": "<Figure>"})]
            ),
            "without alt text",
        ),
        (new_code_cell("f()", metadata={"tags": [UNSTABLE]}), "shows nothing"),
        (new_code_cell("try:\n    f()\nexcept ValueError:\n    pass"), "line 3 swallows an error"),
        (new_code_cell("try:\n    f()\nexcept BaseException as error:\n    print(error)"), "line 3 swallows an error"),
        (new_code_cell("with contextlib.suppress(OSError):\n    f()"), "line 1 swallows an error"),
        (new_code_cell("assert True"), "an assert that cannot fail"),
        (new_code_cell("assert (x == 1, 'x is 1')"), "an assert that cannot fail"),
        (new_code_cell("!ls"), "starts a program"),
        (new_code_cell("import subprocess"), "starts a program"),
        (new_code_cell("slider.observe(f)"), "registers a callback"),
    ],
)
def test_a_violation_is_found(cell, breach):
    (found,) = violations(lesson(cell))
    assert breach in found


PREDICT = new_markdown_cell("Predict.", metadata={"tags": ["predict"]})


@pytest.mark.parametrize(
    ("source", "breach"),
    [
        ("assert total == 98", "move its asserts"),
        ('plot_curves(x, y, "The loss falls.")', "its figure's title is shown"),
    ],
)
def test_the_source_of_an_answer_does_not_give_it_away(source, breach):
    (found,) = violations(lesson(PREDICT, new_code_cell(source)))
    assert breach in found
    hidden = {"tags": ["hide-input"]}
    (found,) = violations(lesson(PREDICT, new_code_cell(source, metadata=hidden)))
    assert "shows its first line" in found
    assert list(violations(lesson(PREDICT, new_code_cell(f"# The check.\n{source}", metadata=hidden)))) == []


@pytest.mark.parametrize("words", [*OPENING, *CLOSING])
def test_a_missing_phrase_of_opening_or_closing_is_found(words):
    missing = {
        "opening": new_markdown_cell(re.sub(words, "-", TITLE.source, flags=re.IGNORECASE)),
        "closing": new_markdown_cell(re.sub(words, "-", END.source, flags=re.IGNORECASE)),
    }
    (found,) = violations(lesson(**missing))
    assert repr(words) in found

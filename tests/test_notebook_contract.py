"""The notebook contract of DESIGN.md, over the committed notebooks and, so that it can fail, over planted faults."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from dpo_teach.notebooks.form import MACHINE_PATH, UNSTABLE, code_cells, normalise, problems, read

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))

LINES = 16
BYTES = 1_000_000
TAGS = {UNSTABLE, "exercise", "check", "hint", "solution", "predict", "hide-input"}
OPENING = ["you will be able to", "you need", "minutes to read", "seconds to run"]
CLOSING = ["you now know", "where to go on"]
FORBIDDEN = {
    r";\s*$": "ends in a semicolon",
    r"\b(?:interact|interactive|interactive_output)\(": "uses interact, which nbval cannot follow: write a named panel",
    r"\bOutput\(": "uses an Output widget, which leaks what it shows: write a named panel",
    r"(?i)#\s*(?:nbval_|pytest_validate_)": "is steered by a comment: use a tag",
    r"(?i)\bsvg\b": "draws SVG, whose ids differ from run to run",
}


def violations(notebook: dict) -> Iterator[str]:
    """Each breach of the contract, beginning with the id of its cell."""
    texts = [cell["source"].lower() for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for place, wanted, found in [("opening", OPENING, texts[:2]), ("closing", CLOSING, texts[-2:])]:
        for words in wanted:
            if not any(words in text for text in found):
                yield f"the {place} does not say {words!r}"
    for cell in notebook["cells"]:
        unknown = set(cell["metadata"].get("tags", [])) - TAGS
        if unknown:
            yield f"{cell['id']}: unknown tags {sorted(unknown)}"
        path = MACHINE_PATH.search(cell["source"])
        if path:
            yield f"{cell['id']}: names a path of one machine, {path.group()}"
    for cell in code_cells(notebook):
        yield from (f"{cell['id']}: {breach}" for breach in code_violations(cell))


def code_violations(cell: dict) -> Iterator[str]:
    """Each breach within one code cell."""
    lines = cell["source"].splitlines()
    if len(lines) > LINES:
        yield f"{len(lines)} lines, at most {LINES} are wanted: more belongs in the package"
    for pattern, breach in FORBIDDEN.items():
        if re.search(pattern, cell["source"], re.MULTILINE):
            yield breach
    for output in cell["outputs"]:
        if "image/svg+xml" in output.get("data", {}):
            yield "shows SVG, whose ids differ from run to run"
        if output.get("name") == "stderr" and UNSTABLE not in cell["metadata"].get("tags", []):
            yield f"writes to stderr in a strict cell: {output['text'][:80]!r}"


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_executed_normalised_and_free_of_errors(path):
    assert list(problems(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_keeps_the_contract(path):
    assert list(violations(read(path))) == []


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


def test_a_lesson_that_keeps_the_contract():
    source = "\n".join(["for x in range(3):"] + ["    y = x"] * (LINES - 1))
    cells = [
        new_code_cell(source, metadata={"tags": [UNSTABLE]}, outputs=[new_output("stream", name="stderr", text="10%")]),
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
        (new_code_cell("open('/home/me/pairs.jsonl')"), "/home/me/pairs.jsonl"),
        (new_markdown_cell("Look in `/tmp/runs`."), "/tmp/runs"),
        (new_code_cell("f()", outputs=[new_output("stream", name="stderr", text="UserWarning")]), "stderr"),
        (new_code_cell("f()", outputs=[new_output("display_data", data={"image/svg+xml": "<svg/>"})]), "shows SVG"),
    ],
)
def test_a_planted_fault_is_found(cell, breach):
    (found,) = violations(lesson(cell))
    assert breach in found


@pytest.mark.parametrize("words", [*OPENING, *CLOSING])
def test_a_missing_part_of_the_opening_or_the_closing_is_found(words):
    missing = {
        "opening": new_markdown_cell(re.sub(words, "-", TITLE.source, flags=re.IGNORECASE)),
        "closing": new_markdown_cell(re.sub(words, "-", END.source, flags=re.IGNORECASE)),
    }
    (found,) = violations(lesson(**missing))
    assert repr(words) in found

"""Which cells are on slides, and how a slide shortens a text."""

import doctest
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from load_module import load_module

from tools.notebooks.form import read

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
MOST_WORDS = 130
MOST_LINES = 16

Cell = dict[str, Any]


def load(name: str) -> ModuleType:
    """Import a module from docs/slides, which is not a package."""
    return load_module(ROOT / "docs" / "slides" / f"{name}.py")


DIGEST = load("digest")


def boxed(kind: str, text: str) -> str:
    return f'<div class="{kind}">\n\n{text}\n\n</div>'


def slides(path: Path) -> list[tuple[str, Cell]]:
    """The cells that are on slides, each with its slide type."""
    typed = [(cell["metadata"].get("slideshow", {}).get("slide_type", "skip"), cell) for cell in read(path)["cells"]]
    return [(kind, cell) for kind, cell in typed if kind not in {"skip", "notes"}]


# The notebooks' metadata


@EACH
def test_a_deck_begins_with_the_title_and_ends_with_the_summary(path: Path) -> None:
    (first, title), *_, (last, closing) = slides(path)
    assert (first, title["id"], last) == ("slide", "title", "slide")
    assert "What you now know" in closing["source"]


@EACH
def test_an_answer_never_appears_together_with_its_question(path: Path) -> None:
    cells = slides(path)
    asked = [place for place, (_, cell) in enumerate(cells) if "predict" in cell["metadata"].get("tags", [])]
    assert len(asked) >= 3
    for place in asked:
        assert cells[place][0] in {"slide", "subslide", "-"}  # "-": below the text that introduces it
        assert cells[place + 1][0] in {"slide", "subslide", "fragment"}, cells[place][1]["id"]


@EACH
def test_no_slide_is_a_wall_of_text(path: Path) -> None:
    for _, cell in slides(path):
        if cell["cell_type"] == "markdown":
            shown = re.sub(r"```mermaid.*?```|\$\$.*?\$\$", "", DIGEST.digest(cell["source"]), flags=re.DOTALL)
            assert len(shown.split()) <= MOST_WORDS, cell["id"]
        elif not cell["outputs"]:
            assert len(cell["source"].splitlines()) <= MOST_LINES, cell["id"]


@EACH
def test_a_deck_has_pictures_and_no_checks_hints_or_solutions(path: Path) -> None:
    cells = [cell for _, cell in slides(path)]
    pictures = [cell for cell in cells if any("image/png" in out.get("data", {}) for out in cell.get("outputs", []))]
    assert len(pictures) >= 2
    for cell in cells:
        assert not {"check", "hint", "solution"} & set(cell["metadata"].get("tags", []))


# How a slide shortens a text


def test_the_doctests_of_digest() -> None:
    failed, tried = doctest.testmod(DIGEST)
    assert (failed, tried >= 3) == (0, True)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("# T\n\nWords.\n\n**You can**\n- do;\n- be.\n\n**You need** it.", "# T\n\n- do;\n- be."),
        ("## A\n\n$$x$$\n\n### B\n\n$$y$$\n\n## C\n\n$$z$$", "## A\n\n$$x$$\n\n### B\n\n$$y$$"),
        ("## A\n\nWords.\n\n```mermaid\na\n\nb\n```\n\nMore.", "## A\n\n```mermaid\na\n\nb\n```"),
        ("## A\n\n| a |\n|---|\n| 1 |", "## A\n\n| a |\n|---|\n| 1 |"),
        ("## A\n\n$$x$$\n\n| a |\n|---|\n| 1 |", "## A\n\n$$x$$"),
        ("## A\n\nWords.", "## A"),
        ("Only words.", "Only words."),
        ("**A lead.** And words.\n\n**None** here.", "**A lead.**"),
        ("**A lead.** And words, for a slide of their own.", "**A lead.** And words, for a slide of their own."),
        (f"- **A lead** and {'words ' * 30}\n- **Short** it is.", "- **A lead**\n- **Short** it is."),
        (f"- **A lead**, whole. And {'words ' * 30}", "- **A lead**, whole."),
        (f"- **Short**, by [A](https://{'a' * 150}), it is.", f"- **Short**, by [A](https://{'a' * 150}), it is."),
        (
            "## A\n\nTwo models. Same seed: which is which?",
            f"## A\n\n{boxed('question', 'Same seed: which is which?')}",
        ),
    ],
)
def test_digest_keeps(text: str, kept: str) -> None:
    assert DIGEST.digest(text) == kept


@pytest.mark.parametrize("between", [" ", "\n\n"])
def test_a_question_is_kept_with_the_paragraph_that_introduces_it(between: str) -> None:
    kept = DIGEST.digest(f"## A\n\nWords.\n\nHere are both.{between}**Predict first:** up, or down?")
    assert kept == "\n\n".join(
        ["## A", boxed("about", "Here are both."), boxed("question", "**Predict first:** up, or down?")]
    )


def test_a_formula_before_a_question_is_not_repeated() -> None:
    kept = DIGEST.digest("Words.\n\n$$x$$\n\n**Predict first:** up, or down?")
    assert kept == "$$x$$\n\n" + boxed("question", "**Predict first:** up, or down?")


def test_bold_words_that_introduce_a_list_are_kept_with_it() -> None:
    assert DIGEST.digest("Many words.\n\n**You will be able to**\n\n- add") == "**You will be able to**\n\n- add"
    assert DIGEST.digest("# One\n\n**Many** words.\n\n- add") == "# One\n\n- add"

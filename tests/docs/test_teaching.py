"""TEACHING.md: its sections are in the notebooks, its minutes add up, its quotes are what is really said."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from exercises.wrong_answers import WRONG_ANSWERS
from jupyterhub_helper import write_handout
from makefile import SETTINGS, TARGETS

from dpo_teach.exercises import EXERCISES
from dpo_teach.exercises.choice import ChoiceExercise, MatchExercise
from dpo_teach.exercises.exercise import SOLUTIONS_OFF

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
PATHS = (45, 90, 180)
ROW = re.compile(r"^\| (\d\d|–) \| (.+?) \| (\d+|–) \| (\d+|–) \| (\d+|–) \|$", re.MULTILINE)
BLOCK = re.compile(r"^### (\d\d) · (.+?)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"“([^”]+)”")
BLOCKS = {(number, title): body for number, title, body in BLOCK.findall(TEXT)}
NOT_QUOTED_FROM_CHECKS = {"it knows me!"}  # what a learner says


def plain(text: str) -> str:
    """One line, without Markdown's stars."""
    return " ".join(text.replace("*", "").split())


@cache
def sections(number: str) -> dict[str, str]:
    """By its heading without a number in front, all that a section of a notebook says and shows."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    told: dict[str, str] = {}
    title = ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for part in re.split(r"^(?=#)", "".join(cell["source"]), flags=re.MULTILINE):
            heading = re.match(r"#{1,3} (?:\d+\. )?(.+)", part)
            if heading and cell["cell_type"] == "markdown" and not part.startswith("### "):
                title = heading[1].strip()
            told[title] = told.get(title, "") + "\n" + part if title else ""
        for output in cell.get("outputs", []):
            told[title] += "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
    return told


def answers_to(quote: str) -> Iterator[str]:
    """What the checks answer to the wrong answers and wrong choices whose diagnosis has these words."""
    for exercise, kinds in WRONG_ANSWERS.items():
        for answer, words in kinds.values():
            if any(quote in plain(one.diagnosis) and words in one.diagnosis for one in exercise.mistakes):
                yield exercise.check(answer).message
    for one in (one for several in EXERCISES.values() for one in several):
        if isinstance(one, ChoiceExercise):
            yield from (one.check(choice).message for choice in one.diagnoses)
        if isinstance(one, MatchExercise):
            yield from (one.check({label: wrong}).message for label, question in one.questions.items()
                        for wrong in question.diagnoses)  # fmt: skip


def part(body: str, name: str) -> str:
    """The bullet of a block that begins with this word; nothing if there is none."""
    found = re.search(rf"^- \*\*{name}:\*\*(.*?)(?=^- \*\*|\Z)", body, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


# The paths


def test_the_minutes_add_up() -> None:
    rows = ROW.findall(TEXT)
    assert len(rows) > 15
    sums = tuple(sum(int(row[column]) for row in rows if row[column] != "–") for column in (2, 3, 4))
    assert sums == PATHS
    assert "| | together | 45 | 90 | 180 |" in TEXT


@pytest.mark.parametrize(("number", "title"), [row[:2] for row in ROW.findall(TEXT) if row[0] != "–"])
def test_each_section_of_a_path_is_in_its_notebook_and_described(number: str, title: str) -> None:
    assert title in sections(number)
    assert (number, title) in BLOCKS


def test_what_is_described_is_on_a_path() -> None:
    assert set(BLOCKS) == {row[:2] for row in ROW.findall(TEXT) if row[0] != "–"}


def test_the_middle_of_the_ninety_minutes() -> None:
    before = 0
    for _, title, _, minutes, _ in ROW.findall(TEXT):
        if title == "Both fall":
            break
        before += int(minutes) if minutes != "–" else 0
    assert f"After {before + 1} minutes" in TEXT or f"After {before} minutes" in TEXT


def test_what_is_left_out_exists() -> None:
    for title in ("Three letters", "The big picture", "When to use which"):
        assert f"*{title}*" in TEXT
        assert title in sections("01")


def test_the_seconds_are_those_of_the_notebooks() -> None:
    told = dict(re.findall(r"(\d\d) (?:takes )?about (\d+) seconds", plain(TEXT)))
    assert set(told) == {row[0] for row in ROW.findall(TEXT)} - {"–"}
    for number, seconds in told.items():
        assert [seconds] == re.findall(r"about (\d+) seconds to run", "".join(sections(number).values()))


# What is asked, heard and said


def questions() -> Iterator[tuple[str, str, str]]:
    for (number, title), body in BLOCKS.items():
        yield from ((number, title, quote) for quote in QUOTE.findall(part(body, "Ask")))


@pytest.mark.parametrize(("number", "title", "question"), list(questions()))
def test_a_question_is_asked_in_its_section(number: str, title: str, question: str) -> None:
    assert plain(question) in plain(sections(number)[title])


def numbers() -> Iterator[tuple[str, str, str]]:
    for (number, title), body in BLOCKS.items():
        said = "".join(part(body, name) for name in ("Ask", "Say", "Time"))
        yield from ((number, title, code) for code in re.findall(r"`([^`]+)`", said))


@pytest.mark.parametrize(("number", "title", "value"), list(numbers()))
def test_a_number_is_shown_in_its_section(number: str, title: str, value: str) -> None:
    shown = sections(number)[title].replace("−", "-")
    assert re.search(rf"(?<![\d.]){re.escape(value)}(?!\d)", shown)


def heard() -> list[str]:
    quotes = QUOTE.findall(TEXT[TEXT.index("## Section by section") : TEXT.index("## Hiding the solutions")])
    asked = {question for _, _, question in questions()}
    shown = {quote for (number, title), body in BLOCKS.items() for quote in QUOTE.findall(part(body, "Say"))
             if plain(quote) in plain(sections(number)[title])}  # fmt: skip
    return [quote for quote in quotes if quote not in asked | shown | NOT_QUOTED_FROM_CHECKS]


def test_there_is_something_to_hear() -> None:
    assert len(heard()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("quote", heard())
def test_a_quote_is_what_a_check_says(quote: str) -> None:
    assert any(plain(quote) in plain(message) for message in answers_to(plain(quote)))


def test_the_sentence_of_a_kept_back_solution() -> None:
    assert SOLUTIONS_OFF in plain(TEXT)


LEFT_OUT = {
    "What it changes in practice": ("01", "differences"),
    "Turned round": ("01", "the-constant-cancels"),
    "The implicit reward": ("01", "preference-accuracy"),
    "The frontier": ("02", "frontier-walker"),
    "Be the annotator": ("04", "annotate-by-hand"),
}


def test_what_the_slides_leave_out_is_listed() -> None:
    told = re.search(r"also leave out (.*?)\n\n", TEXT, re.DOTALL)
    assert told is not None
    assert set(re.findall(r"\*([^*]+)\*", told[1].replace("\n", " "))) == set(LEFT_OUT)
    for number, name in LEFT_OUT.values():
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        (cell,) = (cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["id"] == name)
        assert "slideshow" not in cell["metadata"], f"{name} is on a slide now"


def test_an_answer_to_another_exercise_than_the_first_says_so() -> None:
    rows = re.findall(r"^\| (.+?) \| “([^”]+)” \|$", BLOCKS["01", "Your turn"], re.MULTILINE)
    assert len(rows) == 4
    for answer, words in rows:
        first = any(plain(words) in plain(one.diagnosis) for one in EXERCISES["01"][0].mistakes)
        assert first == ("exercise" not in answer), answer


# What is to be typed


def test_every_command_is_in_the_makefile() -> None:
    asked = re.findall(r"`make ([a-z-]+)((?: [A-Z]+=\S+)*)`", TEXT)
    named = {target for target, _ in asked}
    assert {"install", "lab", "slides", "playground", "handout", "notebooks"} <= named <= TARGETS
    for _, settings in asked:
        for name in re.findall(r"([A-Z]+)=", settings):
            assert name in SETTINGS


def test_every_file_and_folder_is_one_that_is_written() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "Makefile", *ROOT.glob("docs/**/*.py")])
    for folder in ("build/slides", "build/handout"):
        assert f"`{folder}`" in TEXT
        assert folder in sources
    assert "runs/my_labels.jsonl" in TEXT
    assert re.search(r'Path\("runs"\) / "my_labels\.jsonl"', sections("04")["Be the annotator"])


def test_code_in_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_PROJECTOR", "off")
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(code, {})


# Handouts


@pytest.mark.slow
def test_handouts_have_no_outputs_and_are_otherwise_the_same(tmp_path: Path) -> None:
    write_handout(tmp_path)
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in paths]
    for path in paths:
        assert "A solution" in path.read_text(encoding="utf-8")
        committed = json.loads(path.read_text(encoding="utf-8"))
        for cell in committed["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        assert json.loads((tmp_path / path.name).read_text(encoding="utf-8")) == committed
        assert "A solution" not in (tmp_path / path.name).read_text(encoding="utf-8")

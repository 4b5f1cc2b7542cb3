"""TEACHING.md names sections that exist, its minutes add up, and its quotations are in notebooks and checks."""

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
PLANS = (45, 90, 180)
ROW = re.compile(r"^\| (\d\d|–) \| (.+?) \| (\d+|–) \| (\d+|–) \| (\d+|–) \|$", re.MULTILINE)
BLOCK = re.compile(r"^### (\d\d) · (.+?)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"“([^”]+)”")
BLOCKS = {(number, title): body for number, title, body in BLOCK.findall(TEXT)}
NOT_QUOTED_FROM_CHECKS = {"it knows me!"}  # a learner's words


def plain(text: str) -> str:
    """One line, without Markdown's stars."""
    return " ".join(text.replace("*", "").split())


@cache
def sections(number: str) -> dict[str, str]:
    """The text and outputs of each section of a notebook, keyed by its heading without the number."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    found: dict[str, str] = {}
    title = ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for part in re.split(r"^(?=#)", "".join(cell["source"]), flags=re.MULTILINE):
            heading = re.match(r"#{1,3} (?:\d+\. )?(.+)", part)
            if heading and cell["cell_type"] == "markdown" and not part.startswith("### "):
                title = heading[1].strip()
            found[title] = found.get(title, "") + "\n" + part if title else ""
        for output in cell.get("outputs", []):
            found[title] += "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
    return found


def answers_to(quote: str) -> Iterator[str]:
    """The checks' messages for wrong answers and choices whose diagnosis contains this quotation."""
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
    """The bullet of a block that begins with this word; empty if there is none."""
    found = re.search(rf"^- \*\*{name}:\*\*(.*?)(?=^- \*\*|\Z)", body, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


# The lesson plans


def test_the_minutes_add_up() -> None:
    rows = ROW.findall(TEXT)
    assert len(rows) > 15
    sums = tuple(sum(int(row[column]) for row in rows if row[column] != "–") for column in (2, 3, 4))
    assert sums == PLANS
    assert "| | together | 45 | 90 | 180 |" in TEXT


@pytest.mark.parametrize(("number", "title"), [row[:2] for row in ROW.findall(TEXT) if row[0] != "–"])
def test_each_section_of_a_plan_exists_and_is_described(number: str, title: str) -> None:
    assert title in sections(number)
    assert (number, title) in BLOCKS


def test_each_described_section_is_in_a_plan() -> None:
    assert set(BLOCKS) == {row[:2] for row in ROW.findall(TEXT) if row[0] != "–"}


def test_the_minute_at_which_the_90_minute_plan_moves_on() -> None:
    before = 0
    for _, title, _, minutes, _ in ROW.findall(TEXT):
        if title == "Both fall":
            break
        before += int(minutes) if minutes != "–" else 0
    assert f"After {before + 1} minutes" in TEXT or f"After {before} minutes" in TEXT


def test_sections_left_out_exist() -> None:
    for title in ("Three letters", "The big picture", "When to use which"):
        assert f"*{title}*" in TEXT
        assert title in sections("01")


def test_the_seconds_match_the_notebooks() -> None:
    found = dict(re.findall(r"(\d\d) (?:takes )?about (\d+) seconds", plain(TEXT)))
    assert set(found) == {row[0] for row in ROW.findall(TEXT)} - {"–"}
    for number, seconds in found.items():
        assert [seconds] == re.findall(r"about (\d+) seconds to run", "".join(sections(number).values()))


# Questions, numbers and quotations


def questions() -> Iterator[tuple[str, str, str]]:
    for (number, title), body in BLOCKS.items():
        yield from ((number, title, quote) for quote in QUOTE.findall(part(body, "Ask")))


@pytest.mark.parametrize(("number", "title", "question"), list(questions()))
def test_a_question_is_in_its_section(number: str, title: str, question: str) -> None:
    assert plain(question) in plain(sections(number)[title])


def numbers() -> Iterator[tuple[str, str, str]]:
    for (number, title), body in BLOCKS.items():
        said = "".join(part(body, name) for name in ("Ask", "Say", "Time"))
        yield from ((number, title, code) for code in re.findall(r"`([^`]+)`", said))


@pytest.mark.parametrize(("number", "title", "value"), list(numbers()))
def test_a_number_is_in_its_section(number: str, title: str, value: str) -> None:
    shown = sections(number)[title].replace("−", "-")
    assert re.search(rf"(?<![\d.]){re.escape(value)}(?!\d)", shown)


def quotations() -> list[str]:
    quotes = QUOTE.findall(TEXT[TEXT.index("## Section by section") : TEXT.index("## Hiding the solutions")])
    asked = {question for _, _, question in questions()}
    shown = {quote for (number, title), body in BLOCKS.items() for quote in QUOTE.findall(part(body, "Say"))
             if plain(quote) in plain(sections(number)[title])}  # fmt: skip
    return [quote for quote in quotes if quote not in asked | shown | NOT_QUOTED_FROM_CHECKS]


def test_there_are_quotations() -> None:
    assert len(quotations()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("quote", quotations())
def test_a_quotation_is_a_checks_message(quote: str) -> None:
    assert any(plain(quote) in plain(message) for message in answers_to(plain(quote)))


def test_the_message_for_hidden_solutions_is_quoted() -> None:
    assert SOLUTIONS_OFF in plain(TEXT)


LEFT_OUT = {
    "What it changes in practice": ("01", "differences"),
    "A reward from two policies": ("01", "the-constant-cancels"),
    "The implicit reward": ("01", "preference-accuracy"),
    "The frontier": ("02", "frontier-walker"),
    "Be the annotator": ("04", "annotate-by-hand"),
}


def test_everything_that_slides_leave_out_is_listed() -> None:
    found = re.search(r"also leave out (.*?)\n\n", TEXT, re.DOTALL)
    assert found is not None
    assert set(re.findall(r"\*([^*]+)\*", found[1].replace("\n", " "))) == set(LEFT_OUT)
    for number, name in LEFT_OUT.values():
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        (cell,) = (cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["id"] == name)
        assert "slideshow" not in cell["metadata"], f"{name}: expected no slide metadata"


def test_answers_to_exercises_other_than_the_first_name_the_exercise() -> None:
    rows = re.findall(r"^\| (.+?) \| “([^”]+)” \|$", BLOCKS["01", "Your turn"], re.MULTILINE)
    assert len(rows) == 4
    for answer, words in rows:
        first = any(plain(words) in plain(one.diagnosis) for one in EXERCISES["01"][0].mistakes)
        assert first == ("exercise" not in answer), answer


# Commands, files and code


def test_every_command_exists_in_the_makefile() -> None:
    asked = re.findall(r"`make ([a-z-]+)((?: [A-Z]+=\S+)*)`", TEXT)
    named = {target for target, _ in asked}
    assert {"install", "lab", "slides", "playground", "handout", "notebooks"} <= named <= TARGETS
    for _, settings in asked:
        for name in re.findall(r"([A-Z]+)=", settings):
            assert name in SETTINGS


def test_every_file_and_folder_is_written_by_the_code() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "Makefile", *ROOT.glob("docs/**/*.py")])
    for folder in ("build/slides", "build/handout"):
        assert f"`{folder}`" in TEXT
        assert folder in sources
    assert "runs/my_labels.jsonl" in TEXT
    assert re.search(r'Path\("runs"\) / "my_labels\.jsonl"', sections("04")["Be the annotator"])


def test_code_blocks_run(monkeypatch: pytest.MonkeyPatch) -> None:
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

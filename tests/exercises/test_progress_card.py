"""The progress card and its file, whose errors never affect a check."""

import json
import os
import re
from pathlib import Path

import pytest

from dpo_teach.exercises import EXERCISES, introduction, progress
from dpo_teach.exercises.exercise import Verdict
from dpo_teach.exercises.gradients import logp_signs

SOLVED = Verdict("solved", introduction.confused_pair.praise)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The progress file during one test; it does not exist yet."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("DPO_TEACH_PROGRESS", str(path))
    return path


def entry(solved: bool, tries: int) -> dict[str, object]:
    return {"solved": solved, "tries": tries}


def recorded(file: Path) -> dict[str, object]:
    return json.loads(file.read_text())["exercises"]


def test_a_card_has_a_line_for_each_exercise(file: Path) -> None:
    introduction.loss.check(introduction.loss.solution)
    for _ in range(3):
        introduction.implicit_reward.check(lambda p, r, b: p)
    assert repr(progress("01")) == ("✅ the loss\n✏️ the implicit reward: tried 3 times\n· the confused pair: not yet")
    assert recorded(file) == {"my_dpo_loss": entry(True, 1), "my_implicit_reward": entry(False, 3)}


def test_one_and_two_tries_are_written_as_words(file: Path) -> None:
    introduction.confused_pair.check(1)
    assert repr(progress("01")).endswith("✏️ the confused pair: tried once")
    introduction.confused_pair.check(2)
    assert repr(progress("01")).endswith("✏️ the confused pair: tried twice")


def test_without_a_number_the_card_shows_every_notebook(file: Path) -> None:
    introduction.confused_pair.check(3)
    lines = repr(progress()).splitlines()
    assert len(lines) == sum(map(len, EXERCISES.values()))
    assert lines[:8] == [
        "· 01 the loss: not yet",
        "· 01 the implicit reward: not yet",
        "✅ 01 the confused pair",
        "· 02 the Bradley-Terry loss: not yet",
        "· 02 the KL-penalised reward: not yet",
        "· 02 the models in memory: not yet",
        "· 02 what keeps PPO near the reference: not yet",
        "· 03 the gradient weight: not yet",
    ]
    with pytest.raises(ValueError, match=f"notebook must be one of {', '.join(EXERCISES)}, found '07'"):
        progress("07")


def test_the_html_card_has_words_for_signs_and_no_fixed_colours(file: Path) -> None:
    introduction.confused_pair.check(3)
    introduction.loss.check(0.5)
    html = progress("01")._repr_html_()
    words = re.sub(r"<span aria-hidden=.*?</span>|<[^>]+>", " ", html)
    assert " ".join(words.split()) == (
        "1 of 3 solved the loss: tried once the implicit reward: not yet the confused pair: solved"
    )
    assert not re.search(r"#[0-9a-fA-F]{3}|rgb|(?<!-)color:|background", html)
    assert html.count("<li>") == html.count("</li>") == 3


def test_an_unattempted_exercise_is_not_recorded(file: Path) -> None:
    for exercise in EXERCISES["01"]:
        exercise.check(None)
    logp_signs.check({"A": ...})
    assert not file.exists()
    logp_signs.check({"A": "chosen up, rejected down"})  # right so far, but not finished
    assert recorded(file) == {"signs": entry(False, 1)}


def test_a_solved_exercise_stays_solved(file: Path) -> None:
    introduction.confused_pair.check(1)
    introduction.confused_pair.check(3)
    introduction.confused_pair.check(1)
    assert recorded(file) == {"confused": entry(True, 2)}


def test_entries_of_other_exercises_are_kept(file: Path) -> None:
    file.write_text(json.dumps({"exercises": {"of_another_notebook": entry(True, 4)}}))
    introduction.confused_pair.check(3)
    assert recorded(file) == {"of_another_notebook": entry(True, 4), "confused": entry(True, 1)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"null",
        b'{"other": 1}',
        b'{"exercises": [1]}',
        b'{"exercises": {"confused": true}}',
        b'{"exercises": {"confused": {"solved": "yes", "tries": 1}}}',
        b'{"exercises": {"confused": {"solved": true, "tries": null}}}',
        b"\xff\xfe\x00 not text",
        b"[" * 100_000,
    ],
)
def test_an_invalid_file_is_renamed_and_never_breaks_a_check(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert "✅" not in repr(progress("01"))
    assert file.read_bytes() == content, "a card only reads"
    assert introduction.confused_pair.check(3) == SOLVED
    assert recorded(file) == {"confused": entry(True, 1)}
    assert file.with_name("progress.broken-1.json").read_bytes() == content
    file.write_bytes(b"again")
    introduction.confused_pair.check(1)
    assert file.with_name("progress.broken-2.json").read_bytes() == b"again"
    assert file.with_name("progress.broken-1.json").read_bytes() == content


def test_a_path_that_cannot_be_written_never_breaks_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "progress.json", Path("/proc/version"), Path("/proc/1/x.json")):
        monkeypatch.setenv("DPO_TEACH_PROGRESS", str(path))
        assert introduction.confused_pair.check(3) == SOLVED
        assert "✅" not in repr(progress("01"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_never_breaks_a_check(file: Path) -> None:
    file.parent.chmod(0o500)
    assert introduction.confused_pair.check(3) == SOLVED
    file.parent.chmod(0o700)
    assert not list(file.parent.iterdir())


def test_a_write_that_fails_leaves_the_old_file_unchanged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    introduction.confused_pair.check(1)
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert introduction.confused_pair.check(3) == SOLVED
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file], "no partly written file is left behind"


def test_with_progress_off_nothing_is_read_or_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    introduction.confused_pair.check(3)
    monkeypatch.chdir(file.parent)
    before = file.read_bytes()
    for value in ("off", "OFF"):
        monkeypatch.setenv("DPO_TEACH_PROGRESS", value)
        introduction.loss.check(0.5)
        assert "✅" not in repr(progress("01"))
    assert list(Path.cwd().iterdir()) == [file]
    assert file.read_bytes() == before


def test_the_file_is_next_to_the_notebook_and_ignored_by_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPO_TEACH_PROGRESS")
    monkeypatch.chdir(tmp_path)
    introduction.confused_pair.check(3)
    assert [path.name for path in tmp_path.iterdir()] == [".dpo_teach_progress.json"]
    assert ".dpo_teach_progress*" in (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()


def test_a_missing_folder_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_PROGRESS", str(tmp_path / "class" / "ada.json"))
    introduction.confused_pair.check(3)
    assert "✅ the confused pair" in repr(progress("01"))

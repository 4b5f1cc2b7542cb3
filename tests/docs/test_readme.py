"""README.md: what it tells people to type exists, and the messages that it quotes are said."""

import re
from pathlib import Path

import pytest
from makefile import SETTINGS, TARGETS

from dpo_teach.cli import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TYPED = re.findall(r"`([^`\n]+)`|^(make [^#\n]+|\.venv/bin/dpo-teach .+)", TEXT, re.MULTILINE)
SAID_BY_OTHERS = {"Error displaying widget": "ipywidgets' JavaScript"}


def test_every_target_and_setting_is_in_the_makefile() -> None:
    asked = [words for pair in TYPED if (words := "".join(pair).split())[0] == "make"]
    assert len(asked) > 10
    for _, *words in asked:
        names = [word for word in words if re.fullmatch("[a-z-]+", word)]
        assert set(names) <= TARGETS, names
        for setting in re.findall(r"\b([A-Z_]+)=", " ".join(words)):
            assert setting in SETTINGS


def flags_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """What a command of dpo-teach takes, by its help."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_every_flag_is_one_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.sub(r"\\\n", "", TEXT)
    data = re.search(r"^DATA=\((.+)\)$", lines, re.MULTILINE)
    assert data
    calls = re.findall(r"^\.venv/bin/dpo-teach (\w+)(.+)$", lines.replace('"${DATA[@]}"', data[1]), re.MULTILINE)
    assert {command for command, _ in calls} == {"inspect", "sft", "train", "evaluate"}
    for command, rest in calls:
        assert set(re.findall(r"--[a-z-]+", rest)) <= flags_of(command, capsys), command
    alone = set(re.findall(r"`(--[a-z-]+)`", TEXT))
    assert alone <= flags_of("train", capsys)


@pytest.mark.parametrize("quote", re.findall(r"“([^”]+)”", TEXT))
def test_a_quoted_message_is_really_said(quote: str) -> None:
    if quote in SAID_BY_OTHERS:
        return
    sources = [*(ROOT / "dpo_teach").rglob("*.py"), ROOT / "tools" / "setup_venv.py"]
    said = "".join(path.read_text(encoding="utf-8") for path in sources)
    joined = re.sub(r'"\s*f?"', "", said).replace("{hub}", "is not reachable from here")
    assert quote in joined


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []

"""In README.md and other pages, commands, settings, links and files exist, and quoted messages are in the source."""

import re
from pathlib import Path

import pytest
from makefile import SETTINGS, TARGETS

from dpo_teach.cli import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "tools/README.md", "dpo_teach/assets/README.md")
TYPED = re.compile(r"`([^`\n]+)`|^(make [^#\n]+)", re.MULTILINE)
FROM_OTHER_SOFTWARE = {"Error displaying widget": "ipywidgets' JavaScript"}


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_target_and_setting_exists_in_the_makefile(page: str) -> None:
    commands = [words for pair in TYPED.findall(read(page)) if (words := "".join(pair).split())[0] == "make"]
    assert len(commands) >= 3
    for _, *words in commands:
        names = [word for word in words if re.fullmatch("[a-z-]+", word)]
        assert set(names) <= TARGETS, names
        for setting in re.findall(r"\b([A-Z_]+)=", " ".join(words)):
            assert setting in SETTINGS


@pytest.mark.parametrize("page", PAGES)
def test_every_link_resolves(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", read(page)) if "://" not in link]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "tools/README.md"])
def test_every_named_file_and_folder_exists(page: str) -> None:
    """Relative to the repository, the page or a folder of the package; placeholders have `name` in their name."""
    names = re.findall(r"`([\w./-]+(?:/|\.(?:py|md|json|yml|toml|txt)))`", read(page))
    names = [name for name in names if "name" not in name and not name.startswith("build/")]
    assert len(names) > 4
    folders = [ROOT, (ROOT / page).parent, *(ROOT / "dpo_teach").glob("*/")]
    assert [name for name in names if not any((folder / name).exists() for folder in folders)] == []


def test_contributing_fits_on_one_page() -> None:
    assert len(read("CONTRIBUTING.md").splitlines()) <= 75


def flags_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The flags in the help text of a dpo-teach command."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_every_flag_exists_in_its_command(capsys: pytest.CaptureFixture[str]) -> None:
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
def test_a_quoted_message_is_in_the_source(quote: str) -> None:
    if quote in FROM_OTHER_SOFTWARE:
        return
    sources = [*(ROOT / "dpo_teach").rglob("*.py"), ROOT / "tools" / "setup_venv.py"]
    said = "".join(path.read_text(encoding="utf-8") for path in sources)
    joined = re.sub(r'"\s*f?"', "", said).replace("{hub}", "is not reachable from here")
    assert quote in joined

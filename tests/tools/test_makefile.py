"""The Makefile's set-up: a learner gets what a notebook needs, a command the rest when it is first called."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A folder with the real Makefile and the files that it watches."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def dry_run(course: Path, *arguments: str) -> str:
    """What `make` would do there."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "EXTRAS"))}
    made = subprocess.run(["make", "-n", *arguments], cwd=course, env=env, capture_output=True, text=True, check=True)
    return made.stdout


def installed_by(course: Path, *arguments: str) -> list[str]:
    """What pip would be asked for."""
    return re.findall(r"pip install .* -e '([^']+)'", dry_run(course, *arguments))


def count_as_done(course: Path, *arguments: str) -> None:
    """Note that these have been installed, as the recipe does."""
    (note,) = re.findall(r"^echo (.+) > .venv/.installed$", dry_run(course, *arguments), re.MULTILINE)
    (course / ".venv").mkdir(exist_ok=True)
    (course / ".venv" / ".installed").write_text(note + "\n", encoding="utf-8")


@pytest.mark.parametrize("target", ["lab", "install", "handout", "playground", "frontier"])
def test_a_learner_fetches_no_tools(course: Path, target: str) -> None:
    assert installed_by(course, target) == ["."]


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("test", ".[dev,hub,site]"), ("test-fast", ".[dev]"), ("lint", ".[dev]"), ("slides", ".[site]"),
     ("bench", ".[bench,dev]"), ("bench-classroom", ".[dev,hub]")],
)  # fmt: skip
def test_a_command_brings_what_it_needs_in_one_call(course: Path, target: str, wanted: str) -> None:
    assert installed_by(course, target) == [wanted]


def test_what_is_there_is_not_installed_again_and_what_is_missing_is(course: Path) -> None:
    count_as_done(course, "lab")
    assert installed_by(course, "lab") == []
    assert installed_by(course, "test-fast") == [".[dev]"]
    count_as_done(course, "test-fast")
    assert installed_by(course, "lab") == installed_by(course, "test-fast") == []
    assert installed_by(course, "site") == [".[dev,site]"]


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_what_is_wanted_renews_all_that_is_there(course: Path, file: str) -> None:
    count_as_done(course, "slides")
    with (course / file).open("a", encoding="utf-8") as end:
        end.write("# a change\n")
    assert installed_by(course, "lab") == [".[site]"]


def test_a_folder_that_was_moved_is_set_up_again(course: Path, tmp_path: Path) -> None:
    count_as_done(course, "lab")
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    assert installed_by(moved, "lab") == ["."]


def test_more_can_be_asked_for(course: Path) -> None:
    assert installed_by(course, "install", "EXTRAS=hub,site") == [".[hub,site]"]


def test_every_extra_is_known(course: Path) -> None:
    """One that the Makefile does not know would be installed again at every call."""
    everything = ",".join(EXTRAS)
    count_as_done(course, "install", f"EXTRAS={everything}")
    assert installed_by(course, "install", f"EXTRAS={everything}") == []


def test_what_fetches_in_a_clone_is_let_out_and_what_tests_is_not(course: Path) -> None:
    """`make bench-start` calls pip in a clone: behind the tests' guard of the network it would end there."""
    assert "tests/offline" not in dry_run(course, "bench-start")
    for sealed in ("test", "test-fast", "test-random-order", "prove-strict", "bench-widgets", "site"):
        assert "tests/offline" in dry_run(course, sealed), sealed


@pytest.mark.parametrize("how", [(), ("PROJECTOR=1",)], ids=["as usual", "on a projector"])
def test_jupyterlab_begins_with_the_settings_of_the_course(course: Path, how: tuple[str, ...]) -> None:
    """Or it would ask on every fresh machine whether it may fetch its news."""
    started = next(line for line in dry_run(course, "lab", *how).splitlines() if "-m jupyterlab" in line)
    assert f'JUPYTER_CONFIG_PATH="{course}/deploy/jupyterlab"' in started


def test_on_a_projector_jupyterlab_has_a_style_of_its_own(course: Path) -> None:
    usual, large = (
        next(line for line in dry_run(course, "lab", *how).splitlines() if "-m jupyterlab" in line)
        for how in ((), ("PROJECTOR=1",))
    )
    assert f'JUPYTER_CONFIG_DIR="{course}/build/projector"' in large
    assert "--custom-css" in large
    assert "JUPYTER_CONFIG_DIR" not in usual
    assert "--custom-css" not in usual


def test_an_extra_that_does_not_exist_is_named(course: Path) -> None:
    made = subprocess.run(
        ["make", "-n", "install", "EXTRAS=foo"], cwd=course, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "EXTRAS: there is no foo, wanted dev, site, hub or bench" in made.stderr


def test_a_python_may_lie_in_a_folder_with_a_space(course: Path, tmp_path: Path) -> None:
    """It is found, and then it is what makes the environment."""
    python = tmp_path / "my programs" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\ncase "$1 $2" in "-m venv") echo "made by me"; exit 1;; esac\nexit 0\n')
    python.chmod(0o755)
    command = ["make", "install", f"PYTHON={python}"]
    made = subprocess.run(command, cwd=course, capture_output=True, text=True, check=False)
    assert "made by me" in made.stdout, made.stderr
    assert made.returncode != 0


def test_jupyterlab_and_its_kernels_have_threads_that_wait_without_spinning(course: Path) -> None:
    assert re.search(r"OMP_WAIT_POLICY=passive .* -m jupyterlab", dry_run(course, "lab"))

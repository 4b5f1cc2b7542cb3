"""The workflow that others copy: it runs what the Makefile has, on the Pythons of pyproject.toml, on every notebook."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "deploy" / "ci" / "github-workflow.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]


def commands() -> list[str]:
    return [step["run"] for _, step in STEPS if "run" in step]


def test_it_runs_when_something_changes_and_once_a_week() -> None:
    assert set(WORKFLOW[True]) == {"push", "pull_request", "workflow_dispatch", "schedule"}  # YAML 1.1 reads `on` so


def test_it_may_read_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_every_python_is_one_of_pyprojects_and_none_is_left_out() -> None:
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert JOBS["fast"]["strategy"]["matrix"]["python"] == named
    assert JOBS["notebook"]["env"]["PYTHON_VERSION"] in named
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in named)


def test_every_make_target_is_there() -> None:
    wanted = [target for command in commands() for target in re.findall(r"^make ([\w-]+)", command)]
    assert wanted == ["test-fast", "test-notebook"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in wanted:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_every_action_has_a_version() -> None:
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert {action.partition("@")[0] for action in used} == {
        "actions/checkout", "actions/setup-python", "actions/cache",
    }  # fmt: skip
    assert all(re.fullmatch(r"[\w/-]+@v\d+", action) for action in used)


@pytest.mark.parametrize("name", ["fast", "notebook"])
def test_what_is_kept_hangs_on_all_that_decides_what_is_installed(name: str) -> None:
    (cache,) = (step["with"] for _, step in STEPS if _ == name and step.get("uses", "").startswith("actions/cache"))
    (hashed,) = re.findall(r"hashFiles\((.*)\)", cache["key"])
    files = re.findall(r"'([^']+)'", hashed)
    assert set(files) == set(re.findall(r"[\w.]+\.(?:toml|txt)", _state_of_makefile()))
    assert cache["path"] == ".venv"
    assert cache["key"].endswith("-${{ vars.PIP_FLAGS }}")
    assert "-${{ steps.python.outputs.python-version }}-" in cache["key"]  # to the patch: .venv is a link to it
    (python,) = (step["uses"] for _, step in STEPS if _ == name and step.get("id") == "python")
    assert python.startswith("actions/setup-python@")
    assert all((ROOT / file).is_file() for file in files)


def _state_of_makefile() -> str:
    """The line of the Makefile that says when the environment is set up again."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return next(line for line in makefile.splitlines() if re.match(r"STATE\s*:=", line))


def test_the_list_of_notebooks_is_that_of_the_folder(tmp_path: Path) -> None:
    (script,) = (step["run"] for _, step in STEPS if step.get("id") == "list")
    output = tmp_path / "output"
    subprocess.run(["bash", "-e", "-c", script], check=True, cwd=ROOT, env={"GITHUB_OUTPUT": str(output)})
    found = json.loads(output.read_text(encoding="utf-8").removeprefix("notebooks="))
    assert found == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_whoever_adds_a_notebook_needs_none_of_this_courses_texts() -> None:
    """The notebooks wait for no test, and the tests that hold this course's own notebooks are left out."""
    assert JOBS["notebook"]["needs"] == "list"
    assert "needs" not in JOBS["fast"]
    assert next(command for command in commands() if "test-fast" in command).endswith("and not course'\"")
    for name in ("notebook_contract", "teaching", "faults", "claims", "solved_notebooks", "readme", "slides"):
        assert "pytestmark = pytest.mark.course\n" in (ROOT / "tests" / f"test_{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("03", "03_loss_and_gradients.ipynb"),
        ("03_loss_and_gradients.ipynb", "03_loss_and_gradients.ipynb"),
        ("03_loss_and_gradients", "03_loss_and_gradients.ipynb"),
        ("notebooks/03_loss_and_gradients.ipynb", "03_loss_and_gradients.ipynb"),
    ],
)
def test_a_notebook_is_named_by_its_number_or_by_its_file(name: str, file: str) -> None:
    made = _dry_run(f"NB={name}")
    assert made.returncode == 0, made.stderr
    assert f"notebooks/{file}" in made.stdout
    assert "notebooks/01_" not in made.stdout


@pytest.mark.parametrize("name", ["", "NB=", "NB=99", "NB=0", "NB=docs"])
def test_a_notebook_that_is_not_there_is_named(name: str) -> None:
    made = _dry_run(*name.split())
    assert made.returncode != 0
    assert "NB=03" in made.stderr
    assert "pip install" not in made.stdout  # it is said before anything is installed


def _dry_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `make test-notebook` would do."""
    command = ["make", "-n", "-o", "install", "-o", ".venv/.installed", "test-notebook", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

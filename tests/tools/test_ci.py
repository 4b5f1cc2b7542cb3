"""The CI workflow runs `make test` on every supported Python; `make test-notebook` finds the named notebook."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from makefile import SETTINGS, dry_run

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
JOB: dict[str, Any] = WORKFLOW["jobs"]["test"]
STEPS: list[dict[str, Any]] = JOB["steps"]


def test_workflow_runs_on_push_and_pull_request_with_read_permission() -> None:
    assert {"push", "pull_request"} <= set(WORKFLOW[True])  # YAML 1.1 reads the key `on` as true
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_workflow_runs_make_test_and_fails_without_a_browser() -> None:
    (command,) = (step["run"] for step in STEPS if "run" in step)
    assert command.split()[:2] == ["make", "test"]
    assert JOB["env"]["DPO_TEACH_BROWSER"] == "required"


def test_matrix_has_every_supported_python() -> None:
    classifiers = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert JOB["strategy"]["matrix"]["python"] == classifiers
    assert not JOB["strategy"]["fail-fast"]


def test_actions_are_the_official_ones_at_a_major_version() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert [action.partition("@")[0] for action in used] == ["actions/checkout", "actions/setup-python"]
    assert all(re.fullmatch(r"[\w/-]+@v\d+", action) for action in used)


def test_pip_cache_depends_on_requirements_and_constraints() -> None:
    (python,) = (step["with"] for step in STEPS if step.get("uses", "").startswith("actions/setup-python"))
    assert python["python-version"] == "${{ matrix.python }}"
    assert python["cache"] == "pip"
    assert python["cache-dependency-path"].split() == ["pyproject.toml", "constraints.txt"]


def test_settings_of_another_course_are_passed_to_make() -> None:
    for name in ("PIP_FLAGS", "TEST_FLAGS"):
        assert JOB["env"][name] == f"${{{{ vars.{name} }}}}"
        assert name in SETTINGS


@pytest.mark.parametrize(
    "name",
    ["03", "03_loss_and_gradients.ipynb", "03_loss_and_gradients", "notebooks/03_loss_and_gradients.ipynb"],
)
def test_a_notebook_can_be_named_by_number_or_file(name: str) -> None:
    made = dry_run("test-notebook", f"NB={name}")
    assert made.returncode == 0, made.stderr
    assert "notebooks/03_loss_and_gradients.ipynb" in made.stdout
    assert "notebooks/01_" not in made.stdout


@pytest.mark.parametrize("name", ["", "NB=", "NB=99", "NB=0", "NB=docs"])
def test_an_unknown_notebook_is_an_error_before_anything_is_installed(name: str) -> None:
    made = dry_run("test-notebook", *name.split())
    assert made.returncode != 0
    assert "NB=03" in made.stderr
    assert not made.stdout

"""The configurations of Binder (repo2docker) and of the dev container."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from makefile import SETTINGS, TARGETS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

BINDER = ROOT / ".binder"
CONDA = yaml.safe_load((BINDER / "environment.yml").read_text(encoding="utf-8"))
DEV: dict[str, Any] = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))

# A stand-in for Python that logs its arguments and the contents of the constraints file.
STAND_IN = """#!/usr/bin/env bash
echo "$@" >> calls
while [ $# -gt 0 ]; do [ "$1" = -c ] && [ -e "$2" ] && cat "$2" > constraints; shift; done
exit 0
"""


# Binder


def test_binder_pins_a_python_that_pyproject_supports() -> None:
    """An exact version: repo2docker ignores ranges and would choose a Python itself."""
    (python,) = (line.removeprefix("python=") for line in CONDA["dependencies"] if line.startswith("python"))
    assert python in PYTHONS
    assert python in SpecifierSet(PROJECT["requires-python"])


def test_binder_installs_torch_in_pyprojects_range_without_cuda() -> None:
    (expected,) = (Requirement(line) for line in PROJECT["dependencies"] if line.startswith("torch"))
    (found,) = (Requirement(line) for line in CONDA["dependencies"] if "torch" in line)
    assert found.name == "pytorch-cpu"
    assert found.specifier == expected.specifier


def test_binder_installs_nothing_else_from_conda() -> None:
    assert [re.split(r"[=<>]", line)[0] for line in CONDA["dependencies"]] == ["python", "pip", "pytorch-cpu"]
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert sorted(path.name for path in BINDER.iterdir()) == ["environment.yml", "postBuild"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which postBuild has run, with a stand-in for Python that logs its calls."""
    folder = tmp_path_factory.mktemp("binder")
    (folder / "constraints.txt").write_text("\n".join(CONSTRAINTS) + "\n", encoding="utf-8")
    stand_in = folder / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN, encoding="utf-8")
    stand_in.chmod(0o755)
    shutil.copytree(ROOT / "deploy" / "jupyterlab", folder / "deploy" / "jupyterlab")
    path = os.pathsep.join([str(stand_in.parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "NB_PYTHON_PREFIX": str(folder / "prefix")}
    subprocess.run([BINDER / "postBuild"], check=True, cwd=folder, env=env)
    return folder


def test_post_build_disables_news(built: Path) -> None:
    settings = json.loads((built / "prefix/share/jupyter/lab/settings/overrides.json").read_text(encoding="utf-8"))
    assert settings["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_post_build_pins_everything_except_torch_to_the_tested_versions(built: Path) -> None:
    held = (built / "constraints").read_text(encoding="utf-8").splitlines()
    left_out = [line for line in CONSTRAINTS if line not in held]
    assert [line.partition("==")[0] for line in left_out] == ["torch"]
    assert held == [line for line in CONSTRAINTS if line not in left_out]


def test_post_build_installs_this_checkout_and_imports_it(built: Path) -> None:
    install, look = (built / "calls").read_text(encoding="utf-8").splitlines()
    assert install.startswith("-m pip install ")
    assert install.endswith(" -e . notebook")
    assert look == "-c import dpo_teach"


# The dev container


def test_the_image_has_a_python_that_pyproject_supports() -> None:
    name, _, tag = DEV["image"].partition(":")
    version = tag.partition("-")[0]
    assert name == "python"
    assert version in PYTHONS
    assert Version(version) in SpecifierSet(PROJECT["requires-python"])


def test_commands_and_settings_exist_in_the_makefile() -> None:
    assert DEV["postCreateCommand"] == "make install"
    assert "install" in TARGETS
    assert set(DEV["containerEnv"]) == {"LAB_FLAGS", "PIP_FLAGS"}
    assert set(DEV["containerEnv"]) <= SETTINGS


def test_its_virtual_environment_is_the_makefiles_and_separate_from_the_hosts() -> None:
    python = re.search(r"^PY +:= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert python
    settings = DEV["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"] == f"${{containerWorkspaceFolder}}/{python[1]}"
    (mount,) = (dict(part.split("=") for part in mount.split(",")) for mount in DEV["mounts"])
    assert mount["target"] == f"${{containerWorkspaceFolder}}/{Path(python[1]).parts[0]}"
    assert mount["type"] == "volume"


def test_the_forwarded_port_is_jupyterlabs_default() -> None:
    from jupyter_server.serverapp import DEFAULT_JUPYTER_SERVER_PORT as PORT

    assert DEV["forwardPorts"] == [PORT]
    assert DEV["portsAttributes"] == {str(PORT): {"label": "JupyterLab", "onAutoForward": "notify"}}


def test_vs_code_gets_the_extensions_that_notebooks_need() -> None:
    assert set(DEV["customizations"]["vscode"]["extensions"]) == {"ms-python.python", "ms-toolsai.jupyter"}

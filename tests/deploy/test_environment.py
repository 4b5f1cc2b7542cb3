"""environment.yml has the version ranges of pyproject.toml, and constraints.txt pins versions within them."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    Requirement(line) for line in [*PROJECT["dependencies"], *(line for e in EXTRAS.values() for line in e)]
]

CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
VALIDATORS = ("nbval", "pytest")  # `pytest --nbval notebooks`
PYPI_NAMES = {"pytorch": "torch"}  # conda-forge's names, where they differ

CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PINS = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", CONSTRAINTS, re.MULTILINE))
VERSIONS = {canonicalize_name(name): Version(version) for name, version in PINS.items()}

# Dependencies of other builds of torch; torch pins each of them itself.
FROM_TORCH = re.compile(r"nvidia-.*|cuda-.*|triton")


def conda_requirements() -> dict[str, SpecifierSet]:
    expected = [Requirement(line) for line in CONDA["dependencies"] if isinstance(line, str)]
    return {PYPI_NAMES.get(requirement.name, requirement.name): requirement.specifier for requirement in expected}


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Every installed distribution that the requirements depend on, with its version."""
    found: dict[str, str] = {}
    seen, todo = set(), list(requirements)
    while todo:
        requirement = todo.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # belongs to an extra that is not installed here
        found[canonicalize_name(requirement.name)] = distribution.version
        extras = requirement.extras or {""}
        for line in distribution.requires or []:
            below = Requirement(line)
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(below)
    return found


# environment.yml


def test_conda_has_pyprojects_ranges_and_the_notebook_validators():
    lines = [*PROJECT["dependencies"], *(line for line in EXTRAS["dev"] if Requirement(line).name in VALIDATORS)]
    expected = {Requirement(line).name: Requirement(line).specifier for line in lines}
    assert set(VALIDATORS) <= set(expected)
    found = conda_requirements()
    assert {name: specifier for name, specifier in found.items() if name not in ("python", "pip")} == expected


def test_conda_allows_the_same_pythons_as_pyproject():
    python, allowed = conda_requirements()["python"], SpecifierSet(PROJECT["requires-python"])
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert named
    assert all(version in python and version in allowed for version in named)
    older = [f"3.{minor}" for minor in range(20) if f"3.{minor}" not in allowed]
    assert "3.10" in older
    assert not any(version in python for version in older)


def test_conda_uses_pip_only_for_this_checkout():
    assert "pip" in conda_requirements()  # otherwise conda warns and adds pip itself
    assert [line for line in CONDA["dependencies"] if not isinstance(line, str)] == [{"pip": ["-e ."]}]


def test_conda_uses_only_conda_forge():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]


# constraints.txt


def test_every_line_pins_an_exact_version_from_pypi():
    lines = [line for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert len(VERSIONS) == len(lines)
    assert lines == sorted(lines, key=str.upper)
    assert not [name for name in VERSIONS if FROM_TORCH.fullmatch(name) or name in ("dpo-teach", "pip")]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_the_pinned_version_is_in_pyprojects_range(requirement):
    assert requirement.specifier.contains(VERSIONS[canonicalize_name(requirement.name)])


@pytest.mark.slow
def test_every_indirect_dependency_is_pinned():
    names = {name for name in closure(REQUIREMENTS) if not FROM_TORCH.fullmatch(name)}
    assert len(names) > len(REQUIREMENTS)
    assert names - set(VERSIONS) == set()


@pytest.mark.slow
def test_only_dependencies_are_pinned():
    installed = {canonicalize_name(distribution.name) for distribution in metadata.distributions()}
    assert (set(VERSIONS) & installed) - set(closure(REQUIREMENTS)) == set()

"""tools/setup_venv.py sets up .venv once, installs what a command needs, and works offline from collected wheels.

The tests run make and the script in a separate folder, with a stand-in for pip. Two tests take minutes and run only on
request: one with pip itself and a tiny course, and one with the wheels of `make wheelhouse` and JupyterLab in a network
namespace without external access.

    DPO_TEACH_PROVE_OFFLINE=1 .venv/bin/python -m pytest -s tests/tools/test_setup_venv.py
"""

import ast
import inspect
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from makefile import clean_environment

from tools import setup_venv

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLATFORM = f"{sysconfig.get_platform()} with Python {sysconfig.get_python_version()}"
WHEEL = "small_dev-1.30-py3-none-any.whl"
FILES = ("Makefile", "pyproject.toml", "constraints.txt", "tools/setup_venv.py")
OTHER_PLATFORM = "py3-none-win32" if sys.platform != "win32" else "py3-none-manylinux1_i686"


on_request = pytest.mark.skipif(
    not os.environ.get("DPO_TEACH_PROVE_OFFLINE"), reason="takes minutes: set DPO_TEACH_PROVE_OFFLINE=1"
)


def write_wheel(folder: str | Path, name: str, *, tag: str = "py3-none-any", code: str = "", needs: str = "") -> str:
    """A wheel of one module, version 1.30."""
    info, file = f"{name}-1.30.dist-info", f"{name}-1.30-{tag}.whl"
    with ZipFile(Path(folder) / file, "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.30\n{needs}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return file


# The build backend of the small course: a stand-in for hatchling that, like hatchling, requires editables.
NEEDS = "".join(
    f'Provides-Extra: {extra}\nRequires-Dist: small_{extra}==1.30 ; extra == "{extra}"\n'
    for extra in ("dev", "site", "hub")
)
BACKEND = f"""
from pathlib import Path
from zipfile import ZipFile

{inspect.getsource(write_wheel)}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return write_wheel(folder, "dpo_teach", needs={NEEDS!r})

def build_editable(folder, config_settings=None, metadata_directory=None):
    import editables
    return build_wheel(folder)

def get_requires_for_build_editable(config_settings=None):
    return ["editables"]
"""
PYPROJECT = """
[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling"
"""


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `make` in the folder; pip's settings name another folder, which may also contain the packages."""
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(folder / "tempting")}
    env = clean_environment() | settings | variables
    return subprocess.run(["make", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)


def error_of(made: subprocess.CompletedProcess[str]) -> str:
    """The one line that a recipe prints before it fails."""
    assert made.returncode != 0
    (line,) = (line for line in made.stderr.splitlines() if not line.startswith("make: ***"))
    return line


# A stand-in for Python with pip: logs calls of pip and makes one of its commands fail. Its wheels are empty files.
STAND_IN = """#!/usr/bin/env bash
case "$1 $2 $3" in
    "-m pip $fails") exit 1 ;;
    "-m pip wheel") mkdir -p "my stick/wheels" && touch "my stick/wheels/"{$wheel,dpo_teach-0.1.0-py3-none-any.whl} ;;
    "-m pip "*) ;;
    "-m venv "*) folder="${@: -1}"; mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python" ;;
    *) exec "$python" "$@" ;;
esac
IFS="|"
echo "$PIP_CONFIG_FILE|$PIP_FIND_LINKS|$*" >> calls
"""


def stand_in(path: Path, fails: str = "-", text: str = STAND_IN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, value in {"$fails": fails, "$wheel": WHEEL, "$python": sys.executable}.items():
        text = text.replace(name, value)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def add_wheel(folder: Path) -> Path:
    folder.mkdir()
    (folder / WHEEL).touch()
    return folder / WHEEL


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real Makefile and set-up script, a tiny course, and in `index` the packages of an index."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "index").mkdir()
    write_wheel(folder / "index", "hatchling", code=BACKEND)
    for name in ("editables", "small_dev", "small_site", "small_hub"):
        write_wheel(folder / "index", name)
    (folder / "tools").mkdir()
    for name in ("Makefile", "tools/setup_venv.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "constraints.txt").write_text("small_dev==1.30\n", encoding="utf-8")
    return folder


@pytest.fixture
def course(original: Path, tmp_path: Path) -> Path:
    """A copy of the course without the index, as on another laptop."""
    (tmp_path / "tools").mkdir()
    for name in FILES:
        shutil.copy(original / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def installed(course: Path) -> Path:
    """The course with a .venv that contains the stand-in for Python and pip."""
    stand_in(course / ".venv" / "bin" / "python")
    return course


def pip_calls(course: Path, *arguments: str, check: bool = True) -> list[str]:
    """The calls of pip that one `make` command makes."""
    (course / "calls").unlink(missing_ok=True)
    made = make(course, "-s", *arguments)
    assert not check or made.returncode == 0, made.stderr
    return (course / "calls").read_text(encoding="utf-8").splitlines() if (course / "calls").exists() else []


def installs(course: Path, *arguments: str) -> list[str]:
    """The last argument of each call of pip: what it must install."""
    return [call.rpartition("|")[2] for call in pip_calls(course, "install", *arguments)]


# What is installed, and when

NEW_PIP = setup_venv.NEW_PIP


def test_installs_only_what_is_missing(installed: Path) -> None:
    assert installs(installed) == [NEW_PIP, "."]
    assert installs(installed) == []
    assert installs(installed, "EXTRAS=dev") == [NEW_PIP, ".[dev]"]
    assert installs(installed) == installs(installed, "EXTRAS=dev") == []
    assert installs(installed, "EXTRAS=hub,site") == [NEW_PIP, ".[dev,hub,site]"]


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_reinstall_all_installed_extras(installed: Path, file: str) -> None:
    installs(installed, "EXTRAS=site")
    with (installed / file).open("a", encoding="utf-8") as end:
        end.write("# a change\n")
    assert installs(installed) == [NEW_PIP, ".[site]"]


def test_a_moved_folder_is_set_up_again(installed: Path) -> None:
    installs(installed)
    moved = installed.rename(installed.with_name(f"{installed.name}-moved"))
    assert installs(moved) == [NEW_PIP, "."]


def test_extras_and_build_requirements_match_pyproject() -> None:
    assert set(setup_venv.EXTRAS) == set(PROJECT["project"]["optional-dependencies"])
    assert [*PROJECT["build-system"]["requires"], "editables"] == setup_venv.BUILD_NEEDS  # hatchling needs it for `-e`


def test_an_unknown_extra_is_named_in_the_error(course: Path) -> None:
    line = error_of(make(course, "-s", "install", "EXTRAS=foo"))
    assert "EXTRAS: unknown foo, expected dev, site, hub, bench" in line


@pytest.mark.parametrize("settings", [[], ["OFFLINE=1"]], ids=["network", "offline"])
def test_a_failure_of_pip_gives_one_line_of_advice_and_can_be_retried(installed: Path, settings: list[str]) -> None:
    add_wheel(installed / "wheelhouse")
    stand_in(installed / ".venv" / "bin" / "python", fails="install")
    line = error_of(make(installed, "-s", "install", *settings))
    assert line.startswith("pip failed")
    assert (f"The wheels must be for {PLATFORM}: run 'make wheelhouse'" in line) == bool(settings)
    stand_in(installed / ".venv" / "bin" / "python")
    assert installs(installed) == [NEW_PIP, "."]


# Which Python

TOO_OLD = STAND_IN.replace('case "$1', 'case "$*" in *version_info*) exit 1 ;; esac\ncase "$1')
NO_VENV = STAND_IN.replace('case "$1', 'case "$*" in *ensurepip*) exit 1 ;; esac\ncase "$1')


def with_pythons(course: Path, **texts: str) -> dict[str, str]:
    """A PATH on which the only Pythons are these stand-ins, keyed by name."""
    folder = course / "my programs"
    for name in ("python3", "python3.13", "python3.12", "python3.11"):
        stand_in(folder / name, text=texts.get(name.replace(".", "_"), "#!/bin/sh\nexit 127\n"))
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_a_newer_python_is_found_if_the_first_is_too_old(course: Path) -> None:
    path = with_pythons(course, python3=TOO_OLD, python3_12=STAND_IN)
    made = make(course, "-s", "install", **path)
    assert made.returncode == 0, made.stderr
    assert (course / ".venv" / "bin" / "python").read_text() == (course / "my programs" / "python3.12").read_text()


@pytest.mark.parametrize("pythons", [{}, {"python3": TOO_OLD}], ids=["no Python", "old Python"])
def test_without_a_recent_python_one_line_says_what_to_do(course: Path, pythons: dict[str, str]) -> None:
    line = error_of(make(course, "-s", "install", **with_pythons(course, **pythons)))
    assert line.startswith("Python 3.11 or newer is required but was not found. Tried: python3")
    assert "make PYTHON=" in line


def test_a_python_without_venv_is_named_with_the_command_to_install_venv(course: Path) -> None:
    line = error_of(make(course, "-s", "install", **with_pythons(course, python3=NO_VENV)))
    assert line.startswith("python3 cannot create a virtual environment")
    assert "apt install python3-venv" in line


def test_python_may_be_in_a_folder_with_a_space(course: Path) -> None:
    python = stand_in(course / "my programs" / "python")
    assert make(course, "-s", "install", f"PYTHON={python}").returncode == 0
    assert (course / ".venv" / "bin" / "python").read_text() == python.read_text()


def test_a_failed_venv_leaves_nothing_behind(course: Path) -> None:
    python = stand_in(course / "python", text=STAND_IN.replace('"-m venv "*)', '"-m venv "*) mkdir .venv; exit 1;'))
    assert "could not create" in error_of(make(course, "-s", "install", f"PYTHON={python}"))
    assert not (course / ".venv").exists()


def test_the_script_parses_on_pythons_too_old_for_the_course() -> None:
    ast.parse(inspect.getsource(setup_venv), feature_version=(3, 7))  # the oldest version that ast.parse supports


# Without a network


def test_offline_installs_use_only_the_wheels(installed: Path) -> None:
    add_wheel(installed / "wheelhouse")
    calls = pip_calls(installed, "install", "EXTRAS=dev", "OFFLINE=1")
    assert len(calls) == 2
    for call in calls:
        assert call.startswith(f"{os.devnull}||-m|pip|install|")  # neither the user's settings nor another source
        assert "|--no-index|--find-links|wheelhouse|-c|constraints.txt|" in call


def test_online_installs_use_the_users_settings_and_flags(installed: Path) -> None:
    calls = pip_calls(installed, "install", "EXTRAS=dev", "PIP_FLAGS=--some-flag")
    assert len(calls) == 2
    for call in calls:
        assert "tempting|-m|pip|" in call
        assert "|--some-flag|-c|constraints.txt|" in call
        assert "--no-index" not in call


@pytest.mark.parametrize("wheelhouse", ["wheelhouse", "/nowhere/wheels"])
def test_missing_wheels_give_one_line_with_the_folder_and_the_command(course: Path, wheelhouse: str) -> None:
    line = error_of(make(course, "-s", "lab", "OFFLINE=1", f"WHEELHOUSE={wheelhouse}"))
    assert line.startswith("WHEELHOUSE: ")
    assert f"found none in {course / wheelhouse}. Run 'make wheelhouse'" in line
    assert not (course / ".venv").exists()


def test_clean_keeps_the_wheels_and_git_ignores_them(course: Path) -> None:
    wheel = add_wheel(course / "wheelhouse")
    assert make(course, "clean").returncode == 0
    assert wheel.exists()
    assert "/wheelhouse/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


# Collecting wheels


def collect(course: Path, fails: str = "-") -> subprocess.CompletedProcess[str]:
    """`make wheelhouse`, with a stand-in for pip, into a folder with a space in its name."""
    stand_in(course / "python", fails=fails)
    settings = ["PYTHON=./python", "PIP_FLAGS=--f", "WHEELHOUSE=my stick/wheels"]
    return make(course, "-s", "-o", "install", "wheelhouse", *settings)


def test_collects_and_counts_every_wheel_except_our_own(course: Path) -> None:
    made = collect(course)
    assert made.returncode == 0, made.stderr
    _, newer_pip, wheel, trial = (course / "calls").read_text(encoding="utf-8").splitlines()
    assert newer_pip.endswith(f"|--f|-w|my stick/wheels|{NEW_PIP}")
    assert wheel.endswith("|--f|-c|constraints.txt|-w|my stick/wheels|hatchling>=1.25|editables|.[dev,site,hub]")
    assert trial.startswith(f"{os.devnull}||-m|pip|install|")
    assert trial.endswith("|--dry-run|--no-index|--find-links|my stick/wheels|-c|constraints.txt|-e|.[dev,site,hub]")
    assert [path.name for path in (course / "my stick" / "wheels").iterdir()] == [WHEEL]
    assert f"Complete for {PLATFORM}: 1 files" in made.stdout
    assert f"in {course}/my stick/wheels." in made.stdout
    assert made.stdout.endswith("make lab OFFLINE=1\n")
    assert not (course / "build" / "gather").exists()


@pytest.mark.parametrize("fails", ["wheel", "install"])
def test_incomplete_wheels_are_reported(course: Path, fails: str) -> None:
    made = collect(course, fails=fails)
    assert f"The wheels in {course}/my stick/wheels are not complete" in error_of(made)
    assert "Complete" not in made.stdout


# With pip itself


@on_request
@pytest.mark.slow
def test_collected_wheels_install_and_unsuitable_ones_are_reported(original: Path, course: Path) -> None:
    """Collect the wheels of a tiny course in one folder and install them in another, as with a USB stick."""
    wheels = course / "wheels"
    settings = [f"WHEELHOUSE={wheels}", f"PYTHON={sys.executable}"]
    collected = make(original, "-o", "install", "wheelhouse", *settings, "PIP_FLAGS=--no-index --find-links index")
    assert collected.returncode == 0, collected.stderr
    names = sorted(path.name.partition("-")[0] for path in wheels.iterdir())
    assert names == ["editables", "hatchling", "small_dev", "small_hub", "small_site"]

    strange = shutil.copytree(wheels, course / "strange")
    (strange / "small_dev-1.30-py3-none-any.whl").unlink()
    write_wheel(strange, "small_dev", tag=OTHER_PLATFORM)
    shutil.copytree(wheels, course / "tempting")  # named in pip's settings; must not be used
    refused = make(course, "-s", "install", "EXTRAS=dev", "OFFLINE=1", settings[1], "WHEELHOUSE=strange")
    assert "small_dev==1.30" in refused.stdout + refused.stderr
    assert f"The wheels must be for {PLATFORM}" in refused.stderr

    made = make(course, "-s", "install", "EXTRAS=dev", "OFFLINE=1", *settings)
    assert made.returncode == 0, made.stderr
    assert f"from {wheels}" in made.stdout
    look = [course / ".venv" / "bin" / "python", "-c", "import dpo_teach, small_dev"]
    subprocess.run(look, check=True, cwd=course)


@on_request
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_course_installs_and_opens_without_a_network() -> None:
    wheels = ROOT / os.environ.get("WHEELHOUSE", "wheelhouse")
    if not any(wheels.glob("*.whl")):
        pytest.skip(f"no wheels in {wheels}: run `make wheelhouse`")
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("users of this machine cannot create network namespaces (unshare -rn)")
    proof = [sys.executable, str(ROOT / "tests" / "prove_offline.py"), str(wheels)]
    subprocess.run(["unshare", "-rn", *proof], check=True, timeout=1700, env=clean_environment())

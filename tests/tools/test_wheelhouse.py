"""A room without a network: `make wheelhouse` gathers what OFFLINE=1 installs, and OFFLINE=1 asks nobody else.

The Makefile is run in a folder of its own, with a stand-in for pip. Two tests take longer, and are asked for: the same
with pip itself and a course of next to nothing; and the real thing, from the wheels of `make wheelhouse`, with
JupyterLab, in a network namespace that has no way out.

    DPO_TEACH_PROVE_OFFLINE=1 .venv/bin/python -m pytest -s tests/tools/test_wheelhouse.py
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
KIND = f"{sysconfig.get_platform()} with Python {sysconfig.get_python_version()}"
WHEEL = "small_dev-1.30-py3-none-any.whl"
NO_INSTALL = ["-o", "install", "-o", ".venv/.installed"]  # of `make`: .venv counts as made
OTHER_PLATFORM = "py3-none-win32" if sys.platform != "win32" else "py3-none-manylinux1_i686"


asked_for = pytest.mark.skipif(
    not os.environ.get("DPO_TEACH_PROVE_OFFLINE"), reason="takes minutes: DPO_TEACH_PROVE_OFFLINE=1 asks for it"
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


# What builds the small course: it stands in for hatchling, and asks for editables as that does.
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


def as_on_another_machine() -> dict[str, str]:
    """The environment, without what this machine tells pip and what `make` tells the tests."""
    ours = ("PIP_", "MAKE", "MFLAGS", "OFFLINE", "WHEELHOUSE", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` in the folder, with a place in pip's settings that may have what is wanted."""
    env = as_on_another_machine() | {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(folder / "tempting")}
    return subprocess.run(["make", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)


def complaint(made: subprocess.CompletedProcess[str]) -> str:
    """The one line that a recipe says before it fails."""
    assert made.returncode != 0
    (line,) = (line for line in made.stderr.splitlines() if not line.startswith("make: ***"))
    return line


# Instead of Python and pip: notes what pip is asked for, and refuses one of its commands. Its wheels are empty files.
STAND_IN = """#!/usr/bin/env bash
case "$1 $2 $3" in
    "-m pip $refuses") exit 1 ;;
    "-m pip wheel") mkdir -p "my stick/wheels" && touch "my stick/wheels/"{$wheel,dpo_teach-0.1.0-py3-none-any.whl} ;;
    "-m pip "*) ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *) exec "$python" "$@" ;;
esac
IFS="|"
echo "PIP_FIND_LINKS=$PIP_FIND_LINKS|$*" >> calls
"""


def stand_in(path: Path, refuses: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    filled = {"$refuses": refuses, "$wheel": WHEEL, "$python": sys.executable}
    text = STAND_IN
    for name, value in filled.items():
        text = text.replace(name, value)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def a_wheel(folder: Path) -> Path:
    folder.mkdir()
    (folder / WHEEL).touch()
    return folder / WHEEL


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real Makefile, a course of next to nothing, and what an index would have, in `index`."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "index").mkdir()
    write_wheel(folder / "index", "hatchling", code=BACKEND)
    for name in ("editables", "small_dev", "small_site", "small_hub"):
        write_wheel(folder / "index", name)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "constraints.txt").write_text("small_dev==1.30\n", encoding="utf-8")
    return folder


def copied(course: Path, folder: Path) -> Path:
    """The course as on a stick, without what an index has."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(course / name, folder)
    return folder


# What pip is told


def pip_lines(course: Path, *arguments: str) -> list[str]:
    shown = make(course, "-n", *arguments)
    assert shown.returncode == 0, shown.stderr
    return [line for line in shown.stdout.replace("\\\n", "").splitlines() if "-m pip install" in line]


@pytest.mark.parametrize("target", ["install", "lab", "test-fast", "test", "slides"])
def test_offline_every_install_is_from_the_wheels_alone(course: Path, target: str) -> None:
    lines = pip_lines(course, target, "OFFLINE=1")
    assert lines
    for line in lines:
        assert ' --no-index --find-links "wheelhouse" -c constraints.txt ' in " ".join(line.split())
        assert "PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= .venv/bin/python" in line


def test_with_a_network_nothing_is_said_of_wheels(course: Path) -> None:
    lines = pip_lines(course, "test", "PIP_FLAGS=--some-flag")
    assert lines
    for line in lines:
        assert "--some-flag" in line
        assert "--no-index" not in line
        assert "PIP_CONFIG_FILE" not in line


def test_the_users_offline_does_not_take_the_tests_settings_away(course: Path) -> None:
    """Were it the name of those settings too, OFFLINE=1 would let the tests out of this machine."""
    (line,) = (line for line in make(course, "-n", "test-fast", "OFFLINE=1").stdout.splitlines() if "-m pytest" in line)
    assert "HF_HUB_OFFLINE=1" in line
    assert 'tests/offline"' in line


def test_the_build_requirements_gathered_are_those_of_pyproject() -> None:
    """And hatchling's own need for an editable install, which stands in no file of ours."""
    (needs,) = re.findall(r"^BUILD_NEEDS = ([^#\n]+)", MAKEFILE, re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert needs.replace("'", "").split() == [*wanted, "editables"]


# Where the wheels are


@pytest.mark.parametrize("kept", ["wheelhouse", "/nowhere/wheels"])
def test_no_wheels_is_one_line_that_says_where_it_looked_and_what_to_run(
    course: Path, tmp_path: Path, kept: str
) -> None:
    folder = copied(course, tmp_path)
    line = complaint(make(folder, "-s", "lab", "OFFLINE=1", f"WHEELHOUSE={kept}"))
    assert line.startswith(f"No wheels in {folder / kept}. Run 'make wheelhouse'")
    assert "WHEELHOUSE=" in line
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("settings", [[], ["OFFLINE=1"]], ids=["with a network", "without"])
def test_what_pip_cannot_install_is_one_line_of_what_to_do(course: Path, tmp_path: Path, settings: list[str]) -> None:
    folder = copied(course, tmp_path)
    a_wheel(folder / "wheelhouse")
    stand_in(folder / ".venv" / "bin" / "python", refuses="install")
    line = complaint(make(folder, "-s", "install", *settings))
    assert line.startswith("pip could not install: its reason is above. ")
    assert (f"The wheels must be for {KIND}: 'make wheelhouse'" in line) == bool(settings)


def test_clean_leaves_the_wheels_and_git_does_not_see_them(course: Path, tmp_path: Path) -> None:
    folder = copied(course, tmp_path)
    wheel = a_wheel(folder / "wheelhouse")
    assert make(folder, "clean").returncode == 0
    assert wheel.exists()
    assert "/wheelhouse/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


# What is gathered


def gather(course: Path, folder: Path, refuses: str = "-") -> subprocess.CompletedProcess[str]:
    """`make wheelhouse` in the folder, by a stand-in for pip, into a place with a space in its name."""
    copied(course, folder)
    stand_in(folder / "python", refuses=refuses)
    return make(
        folder, "-s", *NO_INSTALL, "wheelhouse", "PYTHON=./python", "PIP_FLAGS=--f", "WHEELHOUSE=my stick/wheels"
    )


def test_every_wheel_is_asked_for_and_counted_and_our_own_is_not_kept(course: Path, tmp_path: Path) -> None:
    made = gather(course, tmp_path)
    assert made.returncode == 0, made.stderr
    _, newer_pip, wheel, trial = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert newer_pip.endswith("|--f|-w|my stick/wheels|pip>=25")
    assert wheel.endswith("|--f|-c|constraints.txt|-w|my stick/wheels|hatchling>=1.25|editables|.[dev,site,hub]")
    assert trial.startswith("PIP_FIND_LINKS=|-m|pip|install|")
    assert trial.endswith("|--dry-run|--no-index|--find-links|my stick/wheels|-c|constraints.txt|-e|.[dev,site,hub]")
    assert [path.name for path in (tmp_path / "my stick" / "wheels").iterdir()] == [WHEEL]
    where = re.escape(f"{tmp_path}/my stick/wheels")
    assert re.search(rf"^All there, for {re.escape(KIND)}: 1 files, \S+ in {where}\.$", made.stdout, re.MULTILINE)
    assert made.stdout.endswith("make lab OFFLINE=1\n")
    assert not (tmp_path / "build" / "gather").exists()


@pytest.mark.parametrize("refuses", ["wheel", "install"])
def test_wheels_that_are_not_all_there_are_told(course: Path, tmp_path: Path, refuses: str) -> None:
    made = gather(course, tmp_path, refuses=refuses)
    assert complaint(made).startswith(f"Not all wheels are in {tmp_path}/my stick/wheels: pip's reason is above.")
    assert "All there" not in made.stdout


# With pip itself, in small


@asked_for
@pytest.mark.slow
def test_what_is_gathered_installs_and_what_does_not_fit_is_told(course: Path, tmp_path: Path) -> None:
    """The way of a stick, with a course of next to nothing: gathered in one folder, installed in another."""
    wheels, folder = tmp_path / "wheels", copied(course, tmp_path)
    settings = [f"WHEELHOUSE={wheels}", f"PYTHON={sys.executable}"]
    gathered = make(course, *NO_INSTALL, "wheelhouse", *settings, "PIP_FLAGS=--no-index --find-links index")
    assert gathered.returncode == 0, gathered.stderr
    names = sorted(path.name.partition("-")[0] for path in wheels.iterdir())
    assert names == ["editables", "hatchling", "small_dev", "small_hub", "small_site"]

    strange = shutil.copytree(wheels, tmp_path / "strange")
    (strange / "small_dev-1.30-py3-none-any.whl").unlink()
    write_wheel(strange, "small_dev", tag=OTHER_PLATFORM)
    shutil.copytree(wheels, folder / "tempting")  # named in pip's settings, and not to be taken
    refused = make(folder, "-s", "install", "EXTRAS=dev", "OFFLINE=1", settings[1], "WHEELHOUSE=strange")
    assert "small_dev==1.30" in refused.stdout + refused.stderr
    assert f"The wheels must be for {KIND}" in refused.stderr

    installed = make(folder, "-s", "install", "EXTRAS=dev", "OFFLINE=1", *settings)
    assert installed.returncode == 0, installed.stderr
    assert f"from {wheels}" in installed.stdout
    look = [folder / ".venv" / "bin" / "python", "-c", "import dpo_teach, small_dev"]
    subprocess.run(look, check=True, cwd=folder)


# The real thing


@asked_for
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_course_is_set_up_and_opens_with_no_way_out() -> None:
    wheels = ROOT / os.environ.get("WHEELHOUSE", "wheelhouse")
    if not any(wheels.glob("*.whl")):
        pytest.skip(f"no wheels in {wheels}: make wheelhouse")
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("this machine gives no network namespace to its user (unshare -rn)")
    proof = [sys.executable, str(ROOT / "tests" / "prove_offline.py"), str(wheels)]
    subprocess.run(["unshare", "-rn", *proof], check=True, timeout=1700, env=as_on_another_machine())

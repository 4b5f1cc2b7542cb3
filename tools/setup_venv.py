"""Set up .venv, for make: find Python, create the environment, install the course and what a command needs.

    python3 tools/setup_venv.py install [EXTRA ...]  # .venv with these extras, unless it is up to date
    python3 tools/setup_venv.py wheelhouse           # collect the wheels that OFFLINE=1 installs
    python3 tools/setup_venv.py constraints          # renew constraints.txt: the newest versions that are allowed

Reads PYTHON, EXTRAS, OFFLINE, WHEELHOUSE and PIP_FLAGS, which make passes on (`make help` explains them). It runs
before anything is installed, on any `python3`, even one too old for the course: standard library and Python 3.6 syntax.

`.venv/.installed` records a checksum (of pyproject.toml, constraints.txt and this folder's path) and the installed
extras. While both fit, `install` does nothing; extras that were installed once are kept.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("dev", "site", "hub", "bench")
STAMP = Path(".venv/.installed")
PYTHON = os.environ.get("PYTHON", "")
CANDIDATES = [PYTHON] if PYTHON else ["python3", "python3.13", "python3.12", "python3.11"]
VENV_PYTHON = ".venv/bin/python"
NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
PLATFORM = "import sysconfig as s; print(s.get_platform(), 'with Python', s.get_python_version())"
NEW_PIP = "pip>=25"  # a third faster than the pip of Python 3.11, which also works
BUILD_NEEDS = ["hatchling>=1.25", "editables"]  # the first is pyproject.toml's, the second its need for `-e`
CONSTRAINED = ["-c", "constraints.txt"]
OFFLINE = bool(os.environ.get("OFFLINE"))
WHEELHOUSE = os.environ.get("WHEELHOUSE") or "wheelhouse"
PIP_FLAGS = shlex.split(os.environ.get("PIP_FLAGS", ""))
ONLY_WHEELS = ["--no-index", "--find-links", WHEELHOUSE]
NO_SETTINGS = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}


def main() -> None:
    """Run one of the three commands."""
    os.chdir(str(ROOT))
    command, extras = sys.argv[1], sys.argv[2:]
    if command == "install":
        install({*extras, *os.environ.get("EXTRAS", "").replace(",", " ").split()})
    else:
        {"wheelhouse": collect_wheels, "constraints": renew_constraints}[command]()


def install(extras: set) -> None:
    """Install the course with these extras, and those that are already installed, unless nothing has changed."""
    if extras - set(EXTRAS):
        sys.exit(f"EXTRAS: unknown {' '.join(sorted(extras - set(EXTRAS)))}, expected {', '.join(EXTRAS)}")
    checksum, *installed = STAMP.read_text().split() if STAMP.exists() else ["none"]
    extras = {*extras, *installed} & set(EXTRAS)
    if checksum == current_checksum() and extras == set(installed):
        return
    where = (ROOT / WHEELHOUSE).resolve()
    if OFFLINE and not list(where.glob("*.whl")):
        sys.exit(
            f"WHEELHOUSE: expected wheels, found none in {where}. Run 'make wheelhouse' on a machine with a network "
            "and copy the folder here, or name it: make WHEELHOUSE=/path/to/wheelhouse"
        )
    if not succeeds([VENV_PYTHON, "-c", NEW_ENOUGH]):
        create_venv(".venv")
    say(f"Installing dpo_teach into .venv {f'from {where}' if OFFLINE else 'from the network'}. Takes minutes, once.")
    course = ".[" + ",".join(sorted(extras)) + "]" if extras else "."
    flags = ["--no-compile", *PIP_FLAGS, *(ONLY_WHEELS if OFFLINE else []), *CONSTRAINED]  # Python compiles on import
    pip(VENV_PYTHON, "install", *flags, "--quiet", "--retries", "0", NEW_PIP, quiet=True)
    if not pip(VENV_PYTHON, "install", *flags, "-e", course):
        advice = f"The wheels must be for {platform_of(VENV_PYTHON)}: run 'make wheelhouse' on such a machine."
        sys.exit(f"pip failed: see its message above. {advice if OFFLINE else 'Then run the same command again.'}")
    STAMP.write_text(" ".join([current_checksum(), *sorted(extras)]) + "\n")
    say("Installed. Later commands skip this step.")


def current_checksum() -> str:
    """Changes when the requirements change or this folder moves: the scripts in .venv contain its path."""
    text = str(ROOT).encode() + b"".join(Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(text).hexdigest()[:16]


def find_python() -> str:
    """The first Python that is new enough and can create a virtual environment."""
    new_enough = [name for name in CANDIDATES if succeeds([name, "-c", NEW_ENOUGH])]
    able = [name for name in new_enough if succeeds([name, "-c", "import ensurepip, venv"])]
    if not new_enough:
        sys.exit(
            f"Python 3.11 or newer is required but was not found. Tried: {', '.join(CANDIDATES)}. "
            "Install one, or name it: make PYTHON=/path/to/python3"
        )
    if not able:
        sys.exit(
            f"{new_enough[0]} cannot create a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv"
        )
    return able[0]


def create_venv(folder: str, python: str = "") -> None:
    """Create a virtual environment with this Python or, by default, the first that can, in place of an older one."""
    python = python or find_python()
    say(f"Creating a virtual environment in {folder}.")
    if subprocess.call([python, "-m", "venv", "--clear", folder]):
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"{python} could not create a virtual environment in {folder}: see its message above.")


def collect_wheels() -> None:
    """Collect the wheels of everything but benchmarks, and check with pip that they are complete."""
    where = (ROOT / WHEELHOUSE).resolve()
    say(f"Collecting wheels in {where}.")
    course = ".[dev,site,hub]"
    create_venv("build/gather", PYTHON or VENV_PYTHON)
    python = "build/gather/bin/python"
    to_folder = ["-w", WHEELHOUSE]
    pip(python, "wheel", "--quiet", *PIP_FLAGS, *to_folder, NEW_PIP, quiet=True)
    collected = pip(python, "wheel", *PIP_FLAGS, *CONSTRAINED, *to_folder, *BUILD_NEEDS, course)
    for wheel in where.glob("dpo_teach-*.whl"):
        wheel.unlink()  # the package is installed from its folder, so that it can be edited
    trial = ["--quiet", "--dry-run", *ONLY_WHEELS, *CONSTRAINED, "-e", course]
    if not collected or not pip(python, "install", *trial):
        sys.exit(f"The wheels in {where} are not complete: see pip's message above. Then run the same command again.")
    files = [path for path in where.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    say(f"Complete for {platform_of(python)}: {len(files)} files, {size:.0f} MB in {where}.")
    say("On laptops of that kind, with this folder and these wheels, run: make lab OFFLINE=1")
    shutil.rmtree("build/gather")


def renew_constraints() -> None:
    """Write the newest versions that pyproject.toml allows to constraints.txt, without machine-dependent packages."""
    create_venv("build/constraints")
    python = "build/constraints/bin/python"
    if not pip(python, "install", *PIP_FLAGS, ".[dev,bench,site,hub]"):
        sys.exit("pip failed: see its message above.")
    freeze = [python, "-m", "pip", "freeze", "--all", "--exclude", "pip", "--exclude", "dpo_teach"]
    pins = [re.sub(r"\+.*", "", line) for line in subprocess.check_output(freeze, universal_newlines=True).splitlines()]
    pins = [pin for pin in pins if not re.match(r"(?i)nvidia|cuda|triton|.*@", pin)]
    comments = [line for line in Path("constraints.txt").read_text().splitlines() if line.startswith("#")]
    Path("constraints.txt").write_text("\n".join([*comments, *sorted(pins, key=str.upper)]) + "\n")
    shutil.rmtree("build/constraints")


def pip(python: str, command: str, *arguments: str, quiet: bool = False) -> bool:
    """Run pip and return whether it succeeded. With `--no-index` it ignores settings, which could add other sources."""
    line = [python, "-m", "pip", command, "--disable-pip-version-check", *arguments]
    env = {**os.environ, **NO_SETTINGS} if command == "install" and "--no-index" in arguments else None
    return subprocess.call(line, env=env, stderr=subprocess.DEVNULL if quiet else None) == 0


def succeeds(command: list) -> bool:
    """Whether a command exists and exits with 0."""
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def platform_of(python: str) -> str:
    """The platform and Python version that the wheels must fit."""
    return subprocess.check_output([python, "-c", PLATFORM], universal_newlines=True).strip()


def say(text: str) -> None:
    """Print immediately, because pip writes to the same terminal."""
    print(text, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""The Makefile's targets and documented settings, and a dry run of it."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
RULES = re.findall(r"^([a-z][a-z -]*):(.*)", TEXT, re.MULTILINE)
TARGETS = {target for targets, _ in RULES for target in targets.split()}
SETTINGS = set(re.findall(r"\b([A-Z_]+)=", "\n".join(re.findall(r"^#:.*|## .*", TEXT, re.MULTILINE))))


def clean_environment() -> dict[str, str]:
    """The environment without the settings for make and pip of a surrounding `make` or the user."""
    ours = ("MAKE", "MFLAGS", "PIP_", "EXTRAS", "OFFLINE", "WHEELHOUSE", "PYTHONPATH", "NB")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def dry_run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What `make` would run in the folder, with continued lines joined."""
    made = subprocess.run(
        ["make", "-n", *arguments], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    made.stdout = re.sub(r"\s*\\\n\s*", " ", made.stdout)
    return made

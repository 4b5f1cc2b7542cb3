"""`make lab` prints an address that opens notebook 01, also with --no-browser."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from makefile import clean_environment

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"https?://\S+token=\S+")


def printed_address(folder: Path, *arguments: str) -> str:
    """The first address with a token that `make lab` prints; the server is stopped as soon as it has."""
    environment = clean_environment() | {"JUPYTER_RUNTIME_DIR": str(folder), "JUPYTER_CONFIG_DIR": str(folder)}
    flags = "LAB_FLAGS=--no-browser --ServerApp.port_retries=50"
    process = subprocess.Popen(["make", "lab", flags, *arguments], cwd=ROOT, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    timer = threading.Timer(120, os.killpg, [process.pid, signal.SIGTERM])
    timer.start()
    try:
        assert process.stdout is not None
        return next(found.group() for line in process.stdout if (found := ADDRESS.search(line)))
    finally:
        timer.cancel()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_the_address_opens_notebook_01(tmp_path: Path) -> None:
    assert "/lab/tree/01_introduction.ipynb?token=" in printed_address(tmp_path)


@pytest.mark.slow
def test_the_address_opens_the_notebook_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine.ipynb").write_text((ROOT / "notebooks" / "01_introduction.ipynb").read_text())
    assert "/lab/tree/mine.ipynb?token=" in printed_address(tmp_path, f"START={tmp_path / 'mine.ipynb'}")
    assert "/lab/tree/?token=" in printed_address(tmp_path, f"START={tmp_path}")

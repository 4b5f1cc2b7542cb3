"""A pytest plugin for nbval: fail cells that try to reach another machine, and report each notebook's seconds.

Use `pytest -p notebook_guard --nbval notebooks` with this folder on PYTHONPATH. An attempt fails its cell even if the
error is swallowed or raised in a thread or child process. The seconds depend on the machine, so they are not asserted.
"""

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for this process only: kernels must not see the test helpers

seconds: dict[Path, float] = defaultdict(float)


def pytest_configure() -> None:
    """Create the file in which this process and all its children record attempts."""
    handle, name = tempfile.mkstemp(prefix="attempts-")
    os.close(handle)
    os.environ["DPO_TEACH_ATTEMPTS"] = name


def pytest_unconfigure() -> None:
    """Remove the file of attempts."""
    Path(os.environ.pop("DPO_TEACH_ATTEMPTS")).unlink()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Fail a cell that adds an attempt to the file."""
    notes = Path(os.environ["DPO_TEACH_ATTEMPTS"])
    before = notes.read_text(encoding="utf-8")
    try:
        return (yield)
    finally:
        tried = notes.read_text(encoding="utf-8").removeprefix(before)
        assert not tried, f"tried to reach another machine: {tried}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the seconds of a notebook's cells, including the start of its kernel."""
    name = report.nodeid.partition("::")[0]
    if name.endswith(".ipynb"):
        seconds[Path(name)] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds of each notebook next to the seconds stated in its opening."""
    from strictness.costs import costs_stated  # jaxtyping's import hook must be installed first

    terminalreporter.section("seconds per notebook")
    for name, took in seconds.items():
        costs = costs_stated(terminalreporter.config.rootpath / name)
        stated = f"{costs.seconds:4d} s stated" if costs else "none stated"
        verdict = "" if not costs else "within budget" if took <= costs.seconds else "OVER BUDGET"
        terminalreporter.write_line(f"{name.name:32}{took:7.1f} s  {stated}  {verdict}".rstrip())

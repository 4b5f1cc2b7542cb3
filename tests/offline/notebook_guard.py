"""A plugin for the run of nbval: no cell has tried to leave this machine, and what each notebook took.

`pytest -p notebook_guard --nbval notebooks`, with this folder on PYTHONPATH. An attempt fails its cell even where the
error was swallowed, in a thread or in a process of its own. The seconds are reported and not asserted: they are this
machine's.
"""

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for this process alone: no kernel sees the helpers of the tests

seconds: dict[Path, float] = defaultdict(float)


def pytest_configure() -> None:
    """Name the file in which every process below this one notes its attempts."""
    handle, name = tempfile.mkstemp(prefix="attempts-")
    os.close(handle)
    os.environ["DPO_TEACH_ATTEMPTS"] = name


def pytest_unconfigure() -> None:
    """Remove that file."""
    Path(os.environ.pop("DPO_TEACH_ATTEMPTS")).unlink()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Fail the cell after which there is a new attempt."""
    notes = Path(os.environ["DPO_TEACH_ATTEMPTS"])
    before = notes.read_text(encoding="utf-8")
    try:
        return (yield)
    finally:
        tried = notes.read_text(encoding="utf-8").removeprefix(before)
        assert not tried, f"tried to leave this machine: {tried}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what the cells of a notebook took, the start of its kernel with them."""
    name = report.nodeid.partition("::")[0]
    if name.endswith(".ipynb"):
        seconds[Path(name)] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each notebook: what it took, and what its opening promises."""
    from strictness.costs import costs_stated  # late: jaxtyping wants to be there before the package is

    terminalreporter.section("seconds per notebook")
    for name, took in seconds.items():
        costs = costs_stated(terminalreporter.config.rootpath / name)
        promised = f"{costs.seconds:4d} s promised" if costs else "nothing promised"
        verdict = "" if not costs else "within budget" if took <= costs.seconds else "OVER BUDGET"
        terminalreporter.write_line(f"{name.name:32}{took:7.1f} s  {promised}  {verdict}".rstrip())

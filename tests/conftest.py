"""Settings for all tests: no Hub, no network, checked tensor shapes, and no progress file."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

OFFLINE = str(Path(__file__).parent / "offline")
BROWSER = Path(__file__).parent / "browser"
COURSE = [Path(__file__).parent / name for name in ("docs", "notebooks")]

# Set before anything imports huggingface_hub, which reads them once. Processes that a test starts inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DPO_TEACH_PROGRESS"] = "off"  # no learner's progress file is read or written
for setting in ("DPO_TEACH_REVEAL", "DPO_TEACH_PROJECTOR"):
    os.environ.pop(setting, None)  # a teacher's settings must not affect tests
paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in [OFFLINE, *paths] if path))

# Debian's Python has its own sitecustomize; load ours instead, once.
if not hasattr(sys.modules.get("sitecustomize"), "NetworkAttemptError"):
    sys.modules.pop("sitecustomize", None)
    sys.path.insert(0, OFFLINE)

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import sitecustomize as offline  # noqa: E402
from jaxtyping import config as jaxtyping_config  # noqa: E402

# With --doctest-modules pytest would import both conftests under one name and fail; kernel_side.py changes the package.
collect_ignore = ["conftest.py", "browser/conftest.py", "notebooks/kernel_side.py"]

# The same examples on every machine, and no failures on slow machines.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the browser tests, and the tests of this course's own notebooks and texts, by their folder."""
    for item in items:
        if BROWSER in item.path.parents or "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if any(folder in item.path.parents for folder in COURSE):
            item.add_marker("course")


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fail a test that tried to reach another machine, even if the code under test swallowed the error."""
    before = len(offline.attempts)
    yield
    tried = offline.attempts[before:]
    assert not tried, f"tried to reach another machine: {tried}"


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Disable jaxtyping's checks, as for users, so that a wrong shape or type reaches the ValueError."""
    before = jaxtyping_config.jaxtyping_disable
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", before)

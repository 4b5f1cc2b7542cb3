"""What the Makefile passes to tools/setup_venv.py, to the tests, and to JupyterLab."""

import re
from pathlib import Path

import pytest
from makefile import SETTINGS, TARGETS, TEXT, dry_run

SET_UP = (Path(__file__).parents[2] / "tools" / "setup_venv.py").read_text(encoding="utf-8")


def recipe(*arguments: str) -> str:
    made = dry_run(*arguments)
    assert made.returncode == 0, made.stderr
    return made.stdout


def extras_for(*arguments: str) -> list[str]:
    """The extras in the only call of the set-up script."""
    (extras,) = re.findall(r"setup_venv\.py install ([^;]*);", recipe(*arguments))
    return extras.split()


def jupyterlab(*arguments: str) -> str:
    return next(line for line in recipe("lab", *arguments).splitlines() if "-m jupyterlab" in line)


def test_the_makefile_fits_on_two_screens() -> None:
    assert len(TEXT.splitlines()) <= 120


@pytest.mark.parametrize("target", ["lab", "install", "handout", "playground", "sweeps"])
def test_learner_commands_install_no_extras(target: str) -> None:
    assert extras_for(target) == []


@pytest.mark.parametrize(
    ("target", "extras"),
    [("test", ["dev", "site", "hub"]), ("test-fast", ["dev"]), ("lint", ["dev"]), ("slides", ["site"]),
     ("bench", ["dev", "bench"]), ("bench-classroom", ["dev", "hub"]), ("record", ["dev"])],
)  # fmt: skip
def test_a_command_installs_what_it_needs_in_one_call(target: str, extras: list[str]) -> None:
    assert extras_for(target) == extras


def test_every_target_is_listed_and_every_setting_is_read() -> None:
    listed = dry_run("help")
    assert listed.returncode == 0
    assert {"lab", "test", "prove-strict", "screenshots", "base-model", "example-runs"} <= TARGETS
    assert {"PYTHON", "EXTRAS", "OFFLINE", "WHEELHOUSE", "PIP_FLAGS", "NB", "FRESH", "WORKERS"} <= SETTINGS
    for name in SETTINGS:
        assert f"$({name})" in TEXT or f'environ.get("{name}"' in SET_UP, name


def test_only_commands_that_need_the_network_run_without_the_guard() -> None:
    """`make bench-start` runs pip in a clone, which the guard of tests/offline would block."""
    assert "tests/offline" not in recipe("bench-start")
    for sealed in ("test", "test-fast", "test-random-order", "prove-strict", "bench-widgets", "site"):
        assert "tests/offline" in recipe(sealed), sealed


def test_offline_set_up_does_not_change_the_tests_settings() -> None:
    (line,) = (line for line in recipe("test-fast", "OFFLINE=1").splitlines() if "-m pytest" in line)
    assert "HF_HUB_OFFLINE=1" in line
    assert 'tests/offline"' in line


@pytest.mark.parametrize("settings", [(), ("PROJECTOR=1",)], ids=["usual", "projector"])
def test_jupyterlab_starts_with_the_settings_of_the_course(settings: tuple[str, ...]) -> None:
    """Without them JupyterLab asks on every new machine whether it may fetch news."""
    assert re.search(r'JUPYTER_CONFIG_PATH="[^"]*/deploy/jupyterlab"', jupyterlab(*settings))


def test_jupyterlab_has_its_own_style_on_a_projector() -> None:
    usual, large = jupyterlab(), jupyterlab("PROJECTOR=1")
    assert re.search(r'JUPYTER_CONFIG_DIR="[^"]*/build/projector"', large)
    assert "--custom-css" in large
    assert "JUPYTER_CONFIG_DIR" not in usual
    assert "--custom-css" not in usual


def test_threads_of_jupyterlab_and_its_kernels_wait_without_spinning() -> None:
    assert re.search(r"OMP_WAIT_POLICY=passive .* -m jupyterlab", jupyterlab())


def test_a_single_notebook_can_be_renewed() -> None:
    (line,) = (line for line in recipe("notebooks", "NB=03").splitlines() if "-m tools.notebooks" in line)
    assert line.endswith(" notebooks/03_loss_and_gradients.ipynb")

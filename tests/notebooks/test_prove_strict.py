"""Every planted fault is found, by the static checks or by running a copy."""

from pathlib import Path

import pytest
from prove_strict import found_by_reading, found_by_running, raising_callback_is_found
from strictness.checks import NOTEBOOKS
from strictness.planted_faults import FAULTS, Fault, dump, load

READ = [fault for fault in FAULTS if not fault.needs]
RUN = [fault for fault in FAULTS if fault.needs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_loading_and_dumping_a_notebook_reproduces_its_file(path: Path) -> None:
    assert dump(load(path.name[:2])) == path.read_text(encoding="utf-8")


def test_there_are_at_least_twenty_distinct_faults() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20


@pytest.mark.parametrize("fault", READ, ids=lambda fault: fault.name)
def test_static_checks_find_the_fault(fault: Fault, tmp_path: Path) -> None:
    assert found_by_reading(fault, tmp_path)


@pytest.mark.slow
def test_running_finds_the_other_faults(tmp_path: Path) -> None:
    found = found_by_running(RUN, tmp_path)
    assert [fault.name for fault in RUN if fault.name not in found] == []


@pytest.mark.slow
def test_a_widget_callback_that_raises_is_found(tmp_path: Path) -> None:
    assert raising_callback_is_found(tmp_path)

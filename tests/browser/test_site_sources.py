"""How the site reads its sources: the cells of the notebooks, and the package's docstrings."""

import base64
import doctest
from types import ModuleType
from typing import Any

import pytest
from pages import KINDS
from sites import load_extension, need_tools


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    need_tools()
    return load_extension("explorers")


def cell_of(source: str, reading: str) -> dict[str, Any]:
    data = {"image/png": base64.b64encode(b"png").decode(), "text/plain": reading}
    return {"source": source, "metadata": {}, "outputs": [{"output_type": "execute_result", "data": data}]}


def test_a_picture_of_other_settings_is_refused(extension: ModuleType) -> None:
    cell = cell_of("MemoryCalculator(billions=8.0)", repr(KINDS["memoryCalculator"]()))
    with pytest.raises(ValueError, match=r"8 billion parameters.*`make notebooks`"):
        extension.enliven(cell)


@pytest.mark.parametrize("source", ["calculator", "MemoryCalculator(billions=size)", "MemoryCalculator(7)", "f()"])
def test_a_cell_that_cannot_be_read_is_refused(extension: ModuleType, source: str) -> None:
    with pytest.raises(ValueError, match=r"plain values|malformed"):
        extension.enliven(cell_of(source, repr(KINDS["memoryCalculator"]())))


def test_a_panel_that_needs_a_kernel_says_so(extension: ModuleType) -> None:
    cell = cell_of("BetaRoles()", "BetaRoles: beta 1")
    extension.enliven(cell)
    assert "JupyterLab" in cell["outputs"][1]["data"]["text/html"]


def test_the_examples_of_the_docstring_reader() -> None:
    need_tools()
    result = doctest.testmod(load_extension("docstrings"))
    assert result.attempted > 0
    assert result.failed == 0

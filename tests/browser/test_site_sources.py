"""How the site processes its sources: notebook cells and the package's docstrings."""

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


def test_a_picture_of_different_settings_is_an_error(extension: ModuleType) -> None:
    cell = cell_of("MemoryCalculator(billions=8.0)", repr(KINDS["memoryCalculator"]()))
    with pytest.raises(ValueError, match=r"billion.*`make notebooks`"):
        extension.make_interactive(cell)


@pytest.mark.parametrize("source", ["calculator", "MemoryCalculator(billions=size)", "MemoryCalculator(7)", "f()"])
def test_a_cell_that_cannot_be_parsed_is_an_error(extension: ModuleType, source: str) -> None:
    with pytest.raises(ValueError, match=r"plain values|malformed"):
        extension.make_interactive(cell_of(source, repr(KINDS["memoryCalculator"]())))


def test_a_panel_has_a_note_that_it_needs_a_kernel(extension: ModuleType) -> None:
    cell = cell_of("BetaRoles()", "BetaRoles: beta 1")
    extension.make_interactive(cell)
    assert "needs a kernel" in cell["outputs"][1]["data"]["text/html"]


def test_a_panel_without_a_picture_becomes_a_box_with_the_note(extension: ModuleType) -> None:
    cell = cell_of("TokenRewards()", "TokenRewards: pair 10 of 40")
    del cell["outputs"][0]["data"]["image/png"]
    extension.make_interactive(cell)
    (output,) = cell["outputs"]
    box = output["data"]["text/html"]
    assert "admonition" in box
    assert "needs a kernel" in box
    assert "pair 10 of 40" in box


@pytest.mark.parametrize("name", ["diagrams", "docstrings", "papers"])
def test_the_doctests_of_an_extension(name: str) -> None:
    need_tools()
    result = doctest.testmod(load_extension(name))
    assert result.attempted > 0
    assert result.failed == 0

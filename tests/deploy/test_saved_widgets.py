"""The server of `make lab` and of the hub keeps the states of the widgets that a saved notebook shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from load_module import load_module
from traitlets.config import PyFileConfigLoader

SETTINGS = Path(__file__).parents[2] / "deploy" / "jupyterlab" / "jupyter_server_config.py"
server = load_module(SETTINGS)


class Contents:
    """The only method of Jupyter's contents manager that is used."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _get_os_path(self, path: str) -> str:
        return str(self.root / path)


def widget(*parts: str, **values: Any) -> dict[str, Any]:
    return {"model_name": "A", "state": {"children": [f"IPY_MODEL_{part}" for part in parts], **values}}


def shown(*ids: str, text: bool = True) -> dict[str, Any]:
    """A notebook with one cell that shows these widgets."""
    data = [{server.VIEW: {"model_id": name}} | ({"text/plain": name} if text else {}) for name in ids]
    outputs = [{"output_type": "display_data", "data": one, "metadata": {}} for one in data]
    cells = [{"cell_type": "markdown", "source": ""}, {"cell_type": "code", "outputs": outputs}]
    return {"cells": cells, "metadata": {}}


def with_states(notebook: dict[str, Any], **states: Any) -> dict[str, Any]:
    notebook["metadata"]["widgets"] = {server.STATE: {"version_major": 2, "version_minor": 0, "state": states}}
    return notebook


def saved(folder: Path, notebook: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The notebook as it is saved over the one before."""
    if before is not None:
        (folder / "a.ipynb").write_text(json.dumps(before))
    server.keep_widgets(model={"type": "notebook", "content": notebook}, path="/a.ipynb",
                        contents_manager=Contents(folder))  # fmt: skip
    return notebook


def views(notebook: dict[str, Any]) -> list[str]:
    return [data[server.VIEW]["model_id"] for data in server.outputs_with_widgets(notebook)]


def test_states_that_the_page_has_lost_are_taken_from_the_file(tmp_path: Path) -> None:
    before = with_states(shown("panel"), panel=widget("image", beta=1), image=widget("layout"), layout=widget())
    notebook = saved(tmp_path, with_states(shown("panel")), before)
    assert server.states_of(notebook) == server.states_of(before)
    assert views(notebook) == ["panel"]


def test_states_of_the_page_are_newer_than_those_of_the_file(tmp_path: Path) -> None:
    before = with_states(shown("a"), a=widget(beta=1))
    assert server.states_of(saved(tmp_path, with_states(shown("a"), a=widget(beta=2)), before)) == {"a": widget(beta=2)}


def test_only_the_states_of_shown_widgets_are_saved(tmp_path: Path) -> None:
    notebook = saved(tmp_path, with_states(shown("new"), old=widget("part"), part=widget(), new=widget()))
    assert list(server.states_of(notebook) or {}) == ["new"]


def test_an_output_without_its_state_shows_its_picture(tmp_path: Path) -> None:
    """Also if only a part is missing: the page would report an error instead of a widget."""
    notebook = saved(tmp_path, with_states(shown("gone", "broken", "here"), broken=widget("lost"), here=widget()))
    assert views(notebook) == ["here"]
    assert [output["data"]["text/plain"] for output in notebook["cells"][1]["outputs"]] == ["gone", "broken", "here"]
    assert "widgets" not in saved(tmp_path, with_states(shown("gone")))["metadata"]
    assert views(saved(tmp_path, with_states(shown("gone", text=False)))) == ["gone"]


def test_widgets_that_refer_to_each_other_are_kept(tmp_path: Path) -> None:
    states = {"a": widget("b"), "b": widget("a")}
    assert server.states_of(saved(tmp_path, with_states(shown("a"), **states))) == states


def test_a_page_that_saves_no_states_keeps_its_outputs(tmp_path: Path) -> None:
    assert views(saved(tmp_path, shown("a"))) == ["a"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"metadata": {"widgets": {}}}'])
def test_a_damaged_file_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ipynb").write_text(text)
    assert views(saved(tmp_path, with_states(shown("a"), a=widget()))) == ["a"]


def test_other_files_are_saved_as_they_are(tmp_path: Path) -> None:
    server.keep_widgets(model={"type": "file", "content": "text"}, path="a.txt", contents_manager=Contents(tmp_path))


def test_jupyterlab_saves_the_states() -> None:
    settings = json.loads((SETTINGS.parent / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyter-widgets/jupyterlab-manager:plugin"] == {"saveState": True}


def test_the_style_of_the_course_is_loaded_unless_the_user_has_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    settings = PyFileConfigLoader(SETTINGS.name, str(SETTINGS.parent)).load_config()
    assert settings.LabApp.custom_css
    folders = settings.ServerApp.tornado_settings["static_custom_path"]
    assert folders == [str(tmp_path / "custom"), str(SETTINGS.parent / "custom")]
    assert (SETTINGS.parent / "custom" / "custom.css").is_file()

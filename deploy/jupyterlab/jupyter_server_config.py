"""Settings of the server under JupyterLab: saved notebooks keep their widgets, and folded outputs stay folded.

JupyterLab saves the state of the widgets that its page knows (`saveState` in labconfig), so that explorers move again
after the notebook is reopened. But a page forgets widgets when the kernel restarts, and does not save those that it
read from the file. Without their state, the next page would show "Error displaying widget: model not found". So before
each save, `keep_widgets` adds the missing states from the file on disk. If a state is in neither, the
output shows its picture.

The style in `custom` hides the first line of a folded output. A style in the user's own configuration replaces it.
"""

import json
import re
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_dir

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
REFERENCE = re.compile(r'"IPY_MODEL_(\w+)"')  # how the state of a widget names another one
States = dict[str, Any]


def keep_widgets(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Keep the states of exactly the widgets that the outputs show; called by the server before it saves a file.

    Args:
        model: what will be saved, in the form of Jupyter's contents API; a notebook is changed in place.
        path: its path, relative to the server's root.
        contents_manager: the object that will save it, in a folder of this machine.
    """
    if model["type"] != "notebook":
        return
    notebook = model["content"]
    incoming = states_of(notebook)
    if incoming is None:  # the page saves no states, as its user decided
        return
    known = states_on_disk(Path(contents_manager._get_os_path(path.strip("/")))) | incoming
    kept: States = {}
    for data in outputs_with_widgets(notebook):
        found = with_references(data[VIEW]["model_id"], known)
        if found:
            kept |= found
        elif "text/plain" in data:
            del data[VIEW]
    widgets = notebook["metadata"]["widgets"]
    widgets[STATE]["state"] = kept
    if not kept:
        del notebook["metadata"]["widgets"]


def states_of(notebook: dict[str, Any]) -> States | None:
    """The states of a notebook's widgets by model id; None if it has none, not even an empty table."""
    table = notebook["metadata"].get("widgets", {}).get(STATE)
    return None if table is None else table["state"]


def states_on_disk(file: Path) -> States:
    """The states in the file that is going to be overwritten; empty if there is no such notebook."""
    try:
        return states_of(json.loads(file.read_text(encoding="utf-8"))) or {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def outputs_with_widgets(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The data of each output that shows a widget."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [output["data"] for output in outputs if VIEW in output.get("data", {})]


def with_references(model_id: str, known: States) -> States:
    """The state of a widget and of all widgets that it consists of; empty if one of them is missing."""
    found: States = {}
    pending = [model_id]
    while pending:
        name = pending.pop()
        if name not in known:
            return {}
        if name not in found:
            found[name] = known[name]
            pending += REFERENCE.findall(json.dumps(known[name]["state"]))
    return found


if "get_config" in globals():  # not in tests, which import this file
    c = get_config()  # type: ignore[name-defined]  # noqa: F821
    c.ContentsManager.pre_save_hook = keep_widgets
    folders = [Path(jupyter_config_dir()), Path(__file__).resolve().parent]
    c.ServerApp.tornado_settings = {"static_custom_path": [str(folder / "custom") for folder in folders]}
    c.LabApp.custom_css = True

"""Projector mode: larger lettering in figures, explorers and tables, by one switch for all of them.

The switch is the environment variable DPO_TEACH_PROJECTOR, which `make lab PROJECTOR=1` sets; `dpo_teach.projector`
sets it from a cell. What was made before stays as it is: run its cell again.
"""

import json
import math
import os
from pathlib import Path

__all__ = ["projector", "projector_scale", "room", "write_lab_settings"]

_VARIABLE = "DPO_TEACH_PROJECTOR"
_OFF, _ON = {"", "off", "no", "false", "0"}, {"on", "yes", "true", "1"}
_USUAL, _LARGEST = 1.6, 2.0


def projector(scale: float | int = _USUAL) -> None:
    """Enlarge the lettering of all that is made from now on.

    Args:
        scale: how many times, 1 to 2; 1 is back to normal.

    Raises:
        ValueError: it is not between 1 and 2.

    >>> projector(1.8)
    >>> projector_scale()
    1.8
    >>> projector(1)
    >>> projector_scale()
    1.0
    """
    os.environ[_VARIABLE] = "off" if _checked(scale, "scale") == 1 else f"{scale:g}"


def projector_scale() -> float:
    """How many times as large lettering is at the moment: 1.0 where there is no projector.

    Raises:
        ValueError: the environment variable is neither a switch nor a number from 1 to 2.
    """
    said = os.environ.get(_VARIABLE, "").strip().lower()
    if said in _OFF:
        return 1.0
    return _USUAL if said in _ON else _checked(said, _VARIABLE)


def room() -> float:
    """What is left of the usual room for lettering: a card grows by less than what is on it, for a screen has an end.

    >>> projector(1.44)
    >>> round(room(), 3)
    0.833
    >>> projector(1)
    """
    return 1 / math.sqrt(projector_scale())


def write_lab_settings(folder: str | Path) -> None:
    """JupyterLab's own text and code, enlarged alike; lines wider than the screen go on below, between two words.

    Args:
        folder: for JUPYTERLAB_SETTINGS_DIR, and for JUPYTER_CONFIG_DIR with `--custom-css`, since tables, diagrams and
            printed lines have no setting; made if it is not there. Other settings in it stay.
    """
    scale = projector_scale()
    sizes = {"code-font-size": 13, "content-font-size1": 14}  # what JupyterLab begins with, pixels
    overrides = {name: f"{round(size * scale)}px" for name, size in sizes.items()}
    texts = {
        "@jupyterlab/apputils-extension/themes.jupyterlab-settings": json.dumps({"overrides": overrides}),
        "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"codeCellConfig": {"lineWrap": true}}',
        # `body` outranks JupyterLab's own rules. Printed lines are long: they grow by less.
        "custom/custom.css": f"""\
body .jp-RenderedHTMLCommon table {{ font-size: {13 * scale:.1f}px; }}
body .jp-RenderedMermaid img {{ zoom: {scale:g}; }}
body .jp-OutputArea-output pre {{ font-size: {13 * scale**0.6:.1f}px; word-break: normal; overflow-wrap: anywhere; }}
""",
    }
    for name, text in texts.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _checked(scale: float | int | str, name: str) -> float:
    try:
        number = float(scale)
    except ValueError:
        number = math.nan
    if not 1 <= number <= _LARGEST:
        raise ValueError(f"{name} must be on, off or a number from 1 to {_LARGEST:g}, found {scale}")
    return number

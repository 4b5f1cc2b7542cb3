"""Projector mode: larger text in figures, explorers and tables, by one switch for all of them.

The switch is the environment variable DPO_TEACH_PROJECTOR, which `make lab PROJECTOR=1` sets; `set_projector_scale`
sets it from a cell. Output that exists already stays as it is: run its cell again.
"""

import json
import math
import os
from pathlib import Path

__all__ = ["figure_scale", "projector_scale", "set_projector_scale", "write_lab_settings"]

_VARIABLE = "DPO_TEACH_PROJECTOR"
_OFF, _ON = {"", "off", "no", "false", "0"}, {"on", "yes", "true", "1"}
_DEFAULT, _LARGEST = 1.6, 2.0


def set_projector_scale(scale: float | int = _DEFAULT) -> None:
    """Enlarge the text of all output from now on.

    Args:
        scale: the factor, 1 to 2; 1 is the normal size.

    Raises:
        ValueError: it is not between 1 and 2.

    >>> set_projector_scale(1.8)
    >>> projector_scale()
    1.8
    >>> set_projector_scale(1)
    >>> projector_scale()
    1.0
    """
    os.environ[_VARIABLE] = "off" if _checked(scale, "scale") == 1 else f"{scale:g}"


def projector_scale() -> float:
    """The factor by which text is enlarged at the moment: 1.0 without a projector.

    Raises:
        ValueError: the environment variable is neither on, off nor a number from 1 to 2.
    """
    value = os.environ.get(_VARIABLE, "").strip().lower()
    if value in _OFF:
        return 1.0
    return _DEFAULT if value in _ON else _checked(value, _VARIABLE)


def figure_scale() -> float:
    """The size of a figure relative to its text: a figure is enlarged by less than its text, to fit the screen.

    >>> set_projector_scale(1.44)
    >>> round(figure_scale(), 3)
    0.833
    >>> set_projector_scale(1)
    """
    return 1 / math.sqrt(projector_scale())


def write_lab_settings(folder: str | Path) -> None:
    """Write settings that enlarge JupyterLab's own text and code, and wrap long lines between words.

    Args:
        folder: for JUPYTERLAB_SETTINGS_DIR, and for JUPYTER_CONFIG_DIR with `--custom-css`, since tables, diagrams and
            printed lines have no setting; created if missing. Other settings in it stay.
    """
    scale = projector_scale()
    sizes = {"code-font-size": 13, "content-font-size1": 14}  # JupyterLab's defaults, pixels
    overrides = {name: f"{round(size * scale)}px" for name, size in sizes.items()}
    texts = {
        "@jupyterlab/apputils-extension/themes.jupyterlab-settings": json.dumps({"overrides": overrides}),
        "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"codeCellConfig": {"lineWrap": true}}',
        # `body` overrides JupyterLab's own rules. Printed lines are long: they are enlarged by less.
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

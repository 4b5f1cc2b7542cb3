"""Projector mode: one switch enlarges the text in all figures, explorers and tables.

The switch is the environment variable DPO_TEACH_PROJECTOR. `make lab PROJECTOR=1` sets it, and so does
`set_projector_scale` in a cell. Existing output does not change; run its cell again.
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
    """Set the text size of all output created from now on.

    Args:
        scale: factor by which text is enlarged, 1 to 2; 1 is the normal size.

    Raises:
        ValueError: scale is not between 1 and 2.

    >>> set_projector_scale(1.8)
    >>> projector_scale()
    1.8
    >>> set_projector_scale(1)
    >>> projector_scale()
    1.0
    """
    os.environ[_VARIABLE] = "off" if _checked(scale, "scale") == 1 else f"{scale:g}"


def projector_scale() -> float:
    """Return the factor by which text is currently enlarged: 1.0 without a projector.

    Raises:
        ValueError: the environment variable is not on, off or a number from 1 to 2.
    """
    value = os.environ.get(_VARIABLE, "").strip().lower()
    if value in _OFF:
        return 1.0
    return _DEFAULT if value in _ON else _checked(value, _VARIABLE)


def figure_scale() -> float:
    """Return the size of a figure relative to its text: figures are enlarged less than text, to fit the screen.

    >>> set_projector_scale(1.44)
    >>> round(figure_scale(), 3)
    0.833
    >>> set_projector_scale(1)
    """
    return 1 / math.sqrt(projector_scale())


def write_lab_settings(folder: str | Path) -> None:
    """Write JupyterLab settings that enlarge its text and code and wrap long lines between words.

    Args:
        folder: the folder that JUPYTERLAB_SETTINGS_DIR and JUPYTER_CONFIG_DIR point to; created if missing. Other
            settings in it are kept. `--custom-css` is needed, because tables, diagrams and printed lines have no
            setting.
    """
    scale = projector_scale()
    sizes = {"code-font-size": 13, "content-font-size1": 14}  # JupyterLab's defaults, pixels
    overrides = {name: f"{round(size * scale)}px" for name, size in sizes.items()}
    texts = {
        "@jupyterlab/apputils-extension/themes.jupyterlab-settings": json.dumps({"overrides": overrides}),
        "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": '{"codeCellConfig": {"lineWrap": true}}',
        # The selector `body` overrides JupyterLab's own rules. Printed lines are long, so they are enlarged less.
        "custom/custom.css": f"""\
body .jp-RenderedHTMLCommon table {{ font-size: {13 * scale:.1f}px; }}
body .jp-RenderedMermaid img {{ zoom: {scale:g}; }}
body .jp-OutputPlaceholder .jp-PlaceholderText {{ display: none; }} /* as in deploy/jupyterlab/custom */
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

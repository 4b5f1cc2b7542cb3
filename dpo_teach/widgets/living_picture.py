"""A picture that the kernel draws anew at every move, with a description for who cannot see it."""

from typing import Any

import anywidget
import traitlets

from dpo_teach.widgets.bundles import projector_style, widget_module

__all__ = ["LivingPicture"]

_STYLE = """
.dt-living .dt-picture { display: block; width: 100%; max-width: 920px; height: auto; margin-top: 8px; }
.dt-living .dt-reading { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""


class LivingPicture(anywidget.AnyWidget):
    """One `<img>`, whose bytes change; ipywidgets' own `Image` has no alternative text.

    Args:
        value: the bytes of a PNG.
        words: what it shows; set it before the value.
    """

    _esm = widget_module("living_picture", "livingPicture")
    _css = _STYLE

    value = traitlets.Bytes(b"").tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **values: Any) -> None:
        self._css = _STYLE + projector_style()
        super().__init__(**values)

"""A canvas that letters a line at a time: matplotlib goes glyph by glyph, and a moving panel waits for that."""

from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.font_manager import FontProperties, findfont
from PIL import ImageFont

__all__ = ["SwiftCanvas"]

_POINTS_PER_INCH = 72.0


class SwiftCanvas(FigureCanvasAgg):
    """An Agg canvas; plain, level text on it costs about a twentieth. Making one gives it to its figure.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> figure.canvas is SwiftCanvas(figure)
    False
    >>> type(figure.canvas).__name__
    'SwiftCanvas'
    """

    _form: tuple[int, int, float] | None = None

    def get_renderer(self) -> RendererAgg:
        """The renderer, a new one if the figure has changed its size or its dots per inch."""
        width, height = self.get_width_height(physical=True)
        form = (width, height, self.figure.dpi)
        if form != self._form:
            self.renderer = _SwiftRenderer(*form)
            self._form = form
        return self.renderer


class _SwiftRenderer(RendererAgg):
    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: FontProperties, angle: float, ismath: Any = False,
        mtext: Any = None,
    ) -> None:  # fmt: skip
        """Text from its baseline's left end, `y` counted from the top; formulas and slopes are left to matplotlib."""
        if ismath or angle:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        font = _font(findfont(prop), prop.get_size_in_points() * self.dpi / _POINTS_PER_INCH)
        mask, (left, top) = font.getmask2(s, mode="L", anchor="ls")
        width, height = mask.size
        if not width or not height:
            return
        picture = np.empty((height, width, 4), dtype=np.uint8)
        picture[..., :3] = np.round(np.array(gc.get_rgb()[:3]) * 255)
        opacity = np.asarray(mask, dtype=float).reshape(height, width) * gc.get_alpha()
        picture[..., 3] = np.round(opacity[::-1])  # Agg counts rows upwards
        self.draw_image(gc, round(x) + left, self.height - (round(y) + top + height), picture)


@lru_cache(maxsize=64)
def _font(path: str, pixels: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, pixels, layout_engine=ImageFont.Layout.BASIC)

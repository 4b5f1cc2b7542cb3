"""Colours and style of all figures, and figures with alternative text.

A figure has its own light background, so that it looks the same on light and dark pages.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dpo_teach.projector import figure_scale, projector_scale

# From Okabe and Ito's palette, which works with every kind of colour vision; the reference is grey.
CHOSEN = "#0072B2"
REJECTED = "#D55E00"
POLICY = "#009E73"
REFERENCE = "#8C8C8C"
SERIES = ("#CC79A7", "#56B4E9", "#E69F00")  # for all other lines

BACKGROUND = "#FAF9F5"
INK = "#23262B"
MUTED = "#5F646D"
FAINT = "#DCDAD2"
DPI = 100

_STYLE: dict[Any, Any] = {
    "figure.facecolor": BACKGROUND,
    "axes.facecolor": BACKGROUND,
    "savefig.facecolor": BACKGROUND,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2.0,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.12,
}


@dataclass(frozen=True, repr=False)
class FigureWithAlt:
    """A figure as PNG with alternative text; as the last line of a cell, it is displayed.

    Args:
        png: the bytes of the image.
        alt: a description of the image; also the plain-text output, which tests compare with the saved notebook.
        width: width of the image on a page, CSS pixels; 0 for its natural width.

    >>> FigureWithAlt(b"", "Two bars, one taller.")
    Two bars, one taller.
    """

    png: bytes
    alt: str
    width: int = 0

    def save(self, path: str | Path) -> None:
        """Write the PNG to a file."""
        Path(path).write_bytes(self.png)

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
        data = {"text/plain": self.alt, "image/png": base64.b64encode(self.png).decode("ascii")}
        return data, {"image/png": {"width": self.width}} if self.width else {}


@contextmanager
def plot_style() -> Iterator[None]:
    """Use the colours and sizes of this package's figures within a `with` block.

    >>> with plot_style():
    ...     mpl.rcParams["axes.spines.top"]
    False
    """
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float, *, crowded: bool = False) -> Figure:
    """Create an empty figure in the style of the package. It is not registered with pyplot, so no cell shows it twice.

    On a projector, everything measured in points (text and lines) is enlarged by the projector's scale, and the figure
    by less.

    Args:
        width: inches; 9 fill the column of a notebook.
        height: inches.
        crowded: whether the figure has no space to spare and must be enlarged as much as its text.

    Returns:
        A figure with an Agg canvas.

    >>> new_figure(9.0, 3.0).get_size_inches().tolist()
    [9.0, 3.0]
    """
    with plot_style():
        scale = 1.0 if crowded else figure_scale()
        figure = Figure(figsize=(width * scale, height * scale), dpi=DPI * projector_scale(), layout="constrained")
        FigureCanvasAgg(figure)
        return figure


def render_png(figure: Figure) -> bytes:
    """Render a figure as PNG bytes; equal figures give equal bytes.

    >>> render_png(new_figure(1.0, 1.0))[1:4]
    b'PNG'
    """
    with plot_style():
        figure.canvas.draw()
    return encode_png(figure)


def encode_png(figure: Figure) -> bytes:
    """Encode the canvas of a figure as PNG bytes, without drawing the figure first as `render_png` does."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        raise TypeError(f"figure: expected an Agg canvas, as created by `new_figure`, found {type(canvas).__name__}")
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    # A palette is enough for flat colours and needs a third of the bytes; notebooks store every image.
    image.quantize(128, method=Image.Quantize.FASTOCTREE).save(buffer, format="png")
    return buffer.getvalue()


def render_with_alt(figure: Figure, alt: str) -> FigureWithAlt:
    """Render a figure, at 1.5 times its size on the page, for screens with more than one dot per CSS pixel.

    >>> render_with_alt(new_figure(2.0, 1.0), "Nothing yet.").width
    200
    """
    width = round(figure.get_size_inches()[0] * figure.dpi)
    figure.set_dpi(1.5 * figure.dpi)
    return FigureWithAlt(render_png(figure), alt, width)

"""The colours, the card that figures are drawn on, and the picture that they become.

A figure is drawn on a light card of its own, so that it reads the same on a light and on a dark page.
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

from dpo_teach.projection import projector_scale, room

# From Okabe and Ito's palette, told apart by readers of every colour vision; grey is the reference, the thing at rest.
CHOSEN = "#0072B2"
REJECTED = "#D55E00"
POLICY = "#009E73"
REFERENCE = "#8C8C8C"
SERIES = ("#CC79A7", "#56B4E9", "#E69F00")  # for lines that are none of the four

CARD = "#FAF9F5"
INK = "#23262B"
MUTED = "#5F646D"
FAINT = "#DCDAD2"
DPI = 100

_STYLE: dict[Any, Any] = {
    "figure.facecolor": CARD,
    "axes.facecolor": CARD,
    "savefig.facecolor": CARD,
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
class Picture:
    """A PNG with its description; the last line of a cell shows it.

    Args:
        png: the bytes of the image.
        alt: what the image shows, in words; also the plain-text form, so a saved notebook can be compared.
        width: how wide to show it, in the pixels of a web page; 0 for as wide as it is.

    >>> Picture(b"", "Two bars, one taller.")
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
def house_style() -> Iterator[None]:
    """Draw in the colours and sizes of the house for as long as the `with` block lasts.

    >>> with house_style():
    ...     mpl.rcParams["axes.spines.top"]
    False
    """
    with mpl.rc_context(_STYLE):
        yield


def card(width: float, height: float, *, crowded: bool = False) -> Figure:
    """An empty figure in the house style, that pyplot does not know of and so cannot leak into a cell.

    On a projector all that is measured in points, lettering and lines, grows by its scale, and the card by less.

    Args:
        width: inches; 9 fill a notebook's column.
        height: inches.
        crowded: whether it has no room to spare, and grows as much as its lettering.

    Returns:
        A figure with an Agg canvas.

    >>> card(9.0, 3.0).get_size_inches().tolist()
    [9.0, 3.0]
    """
    with house_style():
        inch = 1.0 if crowded else room()
        figure = Figure(figsize=(width * inch, height * inch), dpi=DPI * projector_scale(), layout="constrained")
        FigureCanvasAgg(figure)
        return figure


def render_png(figure: Figure) -> bytes:
    """The figure as PNG bytes, the same for the same figure.

    >>> render_png(card(1.0, 1.0))[1:4]
    b'PNG'
    """
    with house_style():
        figure.canvas.draw()
    return encode_png(figure)


def encode_png(figure: Figure) -> bytes:
    """What is already on the figure's canvas, as PNG bytes; `render_png` draws it first."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        raise TypeError(f"figure must have an Agg canvas, as `card` gives it, found {type(canvas).__name__}")
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    # A palette is all that flat colours need, and a third of the bytes: the notebooks carry every picture.
    image.quantize(128, method=Image.Quantize.FASTOCTREE).save(buffer, format="png")
    return buffer.getvalue()


def picture_of(figure: Figure, alt: str) -> Picture:
    """The figure as a picture, rendered finer than it is shown, for screens with more than one dot per pixel.

    >>> picture_of(card(2.0, 1.0), "Nothing yet.").width
    200
    """
    width = round(figure.get_size_inches()[0] * figure.dpi)
    figure.set_dpi(1.5 * figure.dpi)
    return Picture(render_png(figure), alt, width)

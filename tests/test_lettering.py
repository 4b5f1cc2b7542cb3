"""The swift canvas draws the text that matplotlib draws: the same place, size, colour and way up."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dpo_teach.plots import SwiftCanvas, card, house_style

TEXTS = {
    "a headline": {"s": "A large β: −0.25 nats, jumping", "fontsize": 12, "fontweight": "bold"},
    "centred lines": {"s": "two lines\nof unequal length", "ha": "center", "va": "top", "linespacing": 1.5},
    "a colour, seen through": {"s": "LLLL", "color": "#c00000", "alpha": 0.5},
    "a formula": {"s": "$x^2$"},
    "a slope": {"s": "upwards", "rotation": 90},
}


def drawn(swift: bool, **text: object) -> np.ndarray:
    """The figure with one text, as rows of red, green and blue."""
    figure = card(3.0, 1.5)
    canvas = SwiftCanvas(figure) if swift else figure.canvas
    with house_style():
        figure.text(0.4, 0.5, **text)  # type: ignore[arg-type]
        canvas.draw()
    assert isinstance(canvas, FigureCanvasAgg)
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_swift_text_lies_where_matplotlib_puts_it(text: dict[str, object]) -> None:
    swift, slow = drawn(True, **text), drawn(False, **text)
    ink = [np.abs(picture - picture[0, 0]).sum(axis=2) for picture in (swift, slow)]
    edges = [[places.min() for places in np.nonzero(some > 60)] + [places.max() for places in np.nonzero(some > 60)]
             for some in ink]  # fmt: skip
    np.testing.assert_allclose(edges[0], edges[1], atol=3)
    rows = [some.sum(axis=1) for some in ink]
    assert np.corrcoef(rows[0], rows[1])[0, 1] > 0.9, "line by line the same ink: not upside down"
    np.testing.assert_allclose(swift.min(axis=(0, 1)), slow.min(axis=(0, 1)), atol=25)
    assert ink[0].sum() == pytest.approx(ink[1].sum(), rel=0.12)


def test_the_canvas_follows_its_figure() -> None:
    figure = card(3.0, 1.5)
    canvas = SwiftCanvas(figure)
    before = canvas.get_renderer()
    assert canvas.get_renderer() is before
    figure.set_dpi(2 * figure.dpi)
    assert canvas.get_renderer().width == 2 * before.width

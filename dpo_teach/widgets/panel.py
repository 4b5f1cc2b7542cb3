"""The base class of the panels: controls above one matplotlib figure, which the kernel redraws after a change."""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpo_teach.plots import encode_png, plot_style
from dpo_teach.projector import figure_scale
from dpo_teach.widgets.js_bundle import projector_style, widget_module

__all__ = ["Control", "ImageWithAlt", "Panel", "slider_style"]

_WIDTH = "920px"
_IMAGE_STYLE = """
.dt-image-with-alt .dt-picture { display: block; width: 100%; max-width: 920px; height: auto; margin-top: 8px; }
.dt-image-with-alt .dt-visually-hidden {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
"""


class ImageWithAlt(anywidget.AnyWidget):
    """An image whose bytes change, with alternative text, which ipywidgets' own `Image` lacks.

    Args:
        value: the bytes of a PNG.
        alt: the alternative text; set it before the value.
    """

    _esm = widget_module("image_with_alt", "imageWithAlt")
    _css = _IMAGE_STYLE

    value = traitlets.Bytes(b"").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **values: Any) -> None:
        self._css = _IMAGE_STYLE + projector_style()
        super().__init__(**values)


class Control:
    """A panel's attribute that reads and sets the control of the same name.

    Setting it from code raises an error that the panel would only show after a change in the browser.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, panel: "Panel | None", owner: type) -> Any:
        return self if panel is None else panel.inputs[self.name].value

    def __set__(self, panel: "Panel", value: Any) -> None:
        panel.set(**{self.name: value})


class Panel(ipw.VBox):
    """Controls above one matplotlib figure, whose artists are created once and then updated.

    A subclass implements `build`, which draws the figure once, `update`, which sets its artists, and `describe`, which
    puts in words what is shown. An error in one of them is shown in the panel and kept in `error`; it is also
    raised if code has set the control.

    If a subclass lists every artist that ever changes in `moving`, the other artists are drawn only once.

    Args:
        inputs: the controls by name; a subclass has a `Control` of the same name for each.
        title: the heading above the controls.
    """

    def __init__(self, inputs: Mapping[str, Any], title: str) -> None:
        self.inputs = dict(inputs)
        self.error: Exception | None = None
        self.moving: list[Artist] = []
        self._background: Any = None
        self._redraw_suspended = False
        with plot_style():
            self.figure: Figure = self.build()
        # On a projector `new_figure` enlarges a figure less than its text. The layout of a panel is fixed, so both
        # must grow by the same factor.
        self.figure.set_size_inches(*(self.figure.get_size_inches() / figure_scale()))
        for artist in self.moving:
            artist.set_animated(True)
        self.image = ImageWithAlt(layout=ipw.Layout(width="100%"))
        self.status = ipw.HTML(layout=ipw.Layout(display="none"))
        grid = ipw.GridBox(
            list(self.inputs.values()),
            layout=ipw.Layout(
                width="100%", max_width=_WIDTH, grid_template_columns="repeat(2, minmax(0, 1fr))", grid_gap="2px 20px"
            ),
        )
        heading = ipw.HTML(f"<b>{escape(title)}</b>")
        children = [heading, grid, self.status, self.image]
        super().__init__(children, layout=ipw.Layout(width="100%", max_width=_WIDTH))
        self.add_class("dpo-teach-panel")  # image_with_alt.js and the projector's stylesheet look for it
        self._redraw()
        for control in self.inputs.values():
            control.observe(self._on_change, names="value")

    def build(self) -> Figure:
        """Draw the figure once, and keep the artists that `update` sets."""
        raise NotImplementedError

    def update(self) -> None:
        """Update the artists to match the controls."""
        raise NotImplementedError

    def describe(self) -> str:
        """Describe in one line what the panel currently shows; used as its repr and alternative text."""
        raise NotImplementedError

    def set(self, **values: Any) -> None:
        """Set several controls at once, with one redraw.

        Args:
            values: a value by the name of its control.

        Raises:
            AttributeError: there is no such control.
            ValueError: a value that its control does not accept.
            Exception: whatever the redraw raises.
        """
        for name, value in values.items():
            self._check(name, value)
        self._redraw_suspended = True
        try:
            for name, value in values.items():
                self.inputs[name].value = value
        finally:
            self._redraw_suspended = False
        self._refresh()
        if self.error is not None:
            raise self.error

    def _check(self, name: str, value: Any) -> None:
        if name not in self.inputs:
            raise AttributeError(f"{type(self).__name__} has no control {name!r}; it has {', '.join(self.inputs)}")
        control = self.inputs[name]
        if isinstance(control, ipw.Dropdown) and value not in _choices(control):
            raise ValueError(f"{name} must be one of {', '.join(map(str, _choices(control)))}, found {value!r}")
        low, high = getattr(control, "min", None), getattr(control, "max", None)
        if isinstance(control, ipw.FloatLogSlider):
            low, high = control.base**control.min, control.base**control.max
        if low is not None and high is not None and not low <= value <= high:
            raise ValueError(f"{name} must be between {low:g} and {high:g}, found {value}")

    def _on_change(self, _: Any) -> None:
        if not self._redraw_suspended:
            self._refresh()

    def _refresh(self) -> None:
        """Redraw, and show an error in the panel: ipywidgets would only log it."""
        try:
            self._redraw()
        except Exception as error:
            self.error = error
            self.status.value = (
                f'<span role="alert" style="color:#D55E00"><b>Error in this panel:</b> '
                f"{escape(type(error).__name__)}: {escape(str(error))}</span>"
            )
            self.status.layout.display = ""
        else:
            self.error = None
            self.status.value = ""
            self.status.layout.display = "none"

    def _redraw(self) -> None:
        with plot_style():
            self.update()
            self._draw()
        with self.image.hold_sync():
            self.image.alt = self.describe()
            self.image.value = encode_png(self.figure)

    def _draw(self) -> None:
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        if self._background is None or not self.moving:
            canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._background)
        for artist in self.moving:
            self.figure.draw_artist(artist)

    def __repr__(self) -> str:
        return self.describe()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any] | None:
        """The live widget and, for pages without a kernel, the image."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle["text/plain"] = repr(self)
            bundle["image/png"] = base64.b64encode(self.image.value).decode("ascii")
        return bundle


def _choices(control: ipw.Dropdown) -> tuple[Any, ...]:
    return tuple(option[1] if isinstance(option, tuple) else option for option in control.options)


def slider_style(label_width: int = 190) -> dict[str, Any]:
    """Arguments shared by all controls: a label that is not truncated, and the full width of the column.

    Args:
        label_width: pixels that the longest label needs.

    Returns:
        Keyword arguments for an ipywidgets control.

    >>> slider_style(120)["style"]
    {'description_width': '120px'}
    """
    return {"style": {"description_width": f"{label_width}px"}, "layout": ipw.Layout(width="100%")}

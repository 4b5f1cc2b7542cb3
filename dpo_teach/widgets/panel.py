"""The base of the widgets: sliders, and one figure that is redrawn when they move."""

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

import ipywidgets as ipw
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from dpo_teach.plots import SwiftCanvas, encode_png, house_style
from dpo_teach.projection import room
from dpo_teach.widgets.living_picture import LivingPicture

__all__ = ["Control", "Panel", "slider_style"]

_WIDTH = "920px"


class Control:
    """A panel's attribute that reads and sets the control of the same name.

    Setting it from code raises what the panel would only have shown.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, panel: "Panel | None", owner: type) -> Any:
        return self if panel is None else panel.inputs[self.name].value

    def __set__(self, panel: "Panel", value: Any) -> None:
        panel.set(**{self.name: value})


class Panel(ipw.VBox):
    """Controls above one picture of one matplotlib figure, whose artists are moved and never made anew.

    A subclass gives `build`, which draws the figure once, `update`, which moves its artists, and `reading`, which says
    in words what is to be seen. An error in either shows in the panel, is kept in `error`, and is raised where the
    change came from code.

    Lettering is what takes a figure its time. A subclass that lists in `moving` every artist that ever changes has the
    rest drawn once, and answers a slider in a third of the time.

    Args:
        inputs: the controls by name; each name is an attribute of the panel too.
        title: what the panel is for.
    """

    def __init__(self, inputs: Mapping[str, Any], title: str) -> None:
        self.inputs = dict(inputs)
        self.error: Exception | None = None
        self.moving: list[Artist] = []
        self._background: Any = None
        self._quiet = False
        with house_style():
            self.figure: Figure = self.build()
        self._canvas = SwiftCanvas(self.figure)
        self.figure.set_size_inches(*(self.figure.get_size_inches() / room()))  # laid out by hand: it grows as a whole
        for artist in self.moving:
            artist.set_animated(True)
        self.image = LivingPicture(layout=ipw.Layout(width="100%"))
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
        self.add_class("dpo-teach-panel")  # by which picture and projector find it
        self._redraw()
        for control in self.inputs.values():
            control.observe(self._on_change, names="value")

    def build(self) -> Figure:
        """Draw the figure once, and keep the artists that will move."""
        raise NotImplementedError

    def update(self) -> None:
        """Move the artists to where the controls say."""
        raise NotImplementedError

    def reading(self) -> str:
        """What the panel shows at the moment, in one line: its repr and its description."""
        raise NotImplementedError

    def set(self, **values: Any) -> None:
        """Set several controls at once, with one redraw.

        Args:
            values: a value by the name of its control.

        Raises:
            AttributeError: there is no such control.
            ValueError: a value that its control does not reach.
            Exception: whatever the redraw raises.
        """
        for name, value in values.items():
            self._check(name, value)
        self._quiet = True
        try:
            for name, value in values.items():
                self.inputs[name].value = value
        finally:
            self._quiet = False
        self._refresh("")
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
            raise ValueError(f"{name} must lie between {low:g} and {high:g}, found {value}")

    def changed(self, name: str) -> None:
        """Called with the name of a control that a hand has moved, before the redraw; a subclass may set others."""

    def _on_change(self, change: Any) -> None:
        if not self._quiet:
            self._refresh(next(name for name, control in self.inputs.items() if control is change["owner"]))

    def _refresh(self, name: str) -> None:
        """Redraw, and let no error vanish into a log that nobody reads."""
        self._quiet = True
        try:
            if name:
                self.changed(name)
            self._redraw()
        except Exception as error:
            self.error = error
            self.status.value = (
                f'<span role="alert" style="color:#D55E00"><b>This panel has a fault:</b> '
                f"{escape(type(error).__name__)}: {escape(str(error))}</span>"
            )
            self.status.layout.display = ""
        else:
            self.error = None
            self.status.value = ""
            self.status.layout.display = "none"
        finally:
            self._quiet = False

    def _redraw(self) -> None:
        with house_style():
            self.update()
            self._draw()
        with self.image.hold_sync():
            self.image.words = self.reading()
            self.image.value = encode_png(self.figure)

    def _draw(self) -> None:
        if self._background is None or not self.moving:
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._background)
        for artist in self.moving:
            self.figure.draw_artist(artist)

    def __repr__(self) -> str:
        return self.reading()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any] | None:
        """The live widget, and for a page without a kernel the picture and its description."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle["text/plain"] = repr(self)
            bundle["image/png"] = base64.b64encode(self.image.value).decode("ascii")
        return bundle


def _choices(control: ipw.Dropdown) -> tuple[Any, ...]:
    return tuple(option[1] if isinstance(option, tuple) else option for option in control.options)


def slider_style(label_width: int = 190) -> dict[str, Any]:
    """Arguments that every control shares: a label that is not cut off, and the whole width of its column.

    Args:
        label_width: pixels that the longest label needs.

    Returns:
        Keyword arguments for an ipywidgets control.

    >>> slider_style(120)["style"]
    {'description_width': '120px'}
    """
    return {"style": {"description_width": f"{label_width}px"}, "layout": ipw.Layout(width="100%")}

"""The base class of the panels: explorers with a matplotlib figure, which the kernel redraws after a change."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dpo_teach.plots import MUTED, encode_png, plot_style
from dpo_teach.projector import figure_scale
from dpo_teach.widgets.explorer import SAVED, Explorer, Number

__all__ = ["Panel"]


class Panel(Explorer, module="panel", render="panel"):
    """Controls above one matplotlib figure, whose artists are created once and then updated.

    A subclass has a trait for each control and implements `build`, which draws the figure once, `update`, which sets
    its artists, and `describe`, which puts in words what is shown. An error in one of them is shown in the panel, and
    raised if code has changed the setting.

    If a subclass lists every artist that ever changes in `moving`, the other artists are drawn only once.

    Args:
        title: the heading above the controls.
        labels: the label of each control, by the name of its setting.
        logarithmic: the names of the settings whose sliders are logarithmic.
        options: the texts of a menu's options, by setting and value; a setting without them has a slider or a checkbox.
        values: the initial values of the settings.
    """

    title = traitlets.Unicode("").tag(sync=True)
    controls = traitlets.List(traitlets.Dict()).tag(sync=True)
    picture = traitlets.Bytes(b"").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        title: str,
        labels: Mapping[str, str],
        *,
        logarithmic: Sequence[str] = (),
        options: Mapping[str, Mapping[str, str]] | None = None,
        **values: Any,
    ) -> None:
        self.moving: list[Artist] = []
        self._background: Any = None
        self._drawn_for: tuple[Any, ...] | None = None
        with plot_style():
            self.figure: Figure = self.build()
        # On a projector `new_figure` enlarges a figure less than its text. The layout of a panel is fixed, so both
        # must grow by the same factor.
        self.figure.set_size_inches(*(self.figure.get_size_inches() / figure_scale()))
        for artist in self.moving:
            artist.set_animated(True)
        super().__init__(
            title=title,
            controls=[self._control(name, label, name in logarithmic, options or {}) for name, label in labels.items()],
            **values,
        )
        self.redraw()
        self.observe(self._on_change, list(self.settings))

    def _control(
        self, name: str, label: str, logarithmic: bool, options: Mapping[str, Mapping[str, str]]
    ) -> dict[str, Any]:
        """What the browser needs to make a control: a checkbox, a menu or a slider, as the trait requires."""
        trait = self.traits()[name]
        control = {"name": name, "label": label}
        if name in options:
            return {"kind": "menu", "options": list(map(list, options[name].items())), **control}
        if isinstance(trait, traitlets.Bool):
            return {"kind": "checkbox", **control}
        assert isinstance(trait, Number)
        return {"kind": "slider", "low": trait.least, "high": trait.most, "log": logarithmic, **control}

    def build(self) -> Figure:
        """Draw the figure once, and keep the artists that `update` sets."""
        raise NotImplementedError

    def update(self) -> None:
        """Update the artists to match the settings."""
        raise NotImplementedError

    def _on_change(self, _: Any) -> None:
        if self._drawn_for != self._state():  # several settings at once need only one redraw
            self.redraw()

    def _state(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.settings)

    def redraw(self) -> None:
        """Draw the figure with the current settings and send it to the browser; an error is also shown there."""
        self._drawn_for = None
        with self._errors_shown():
            with plot_style():
                self.update()
                self._draw()
            with self.hold_sync():
                self.alt = self.describe()
                self.picture = encode_png(self.figure)
            self._drawn_for = self._state()

    def _draw(self) -> None:
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        if self._background is None or not self.moving:
            canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._background)
        for artist in self.moving:
            self.figure.draw_artist(artist)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget and, for pages without a kernel, the picture with a note that it does not move."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["image/png"] = base64.b64encode(self._saved_picture()).decode("ascii")
        return bundle

    def _saved_picture(self) -> bytes:
        if not self.settings:
            return self.picture
        with plot_style():
            note = self.figure.text(0.985, 0.985, SAVED, ha="right", va="top", color=MUTED, fontsize=8.5)
            note.set_animated(True)  # not part of the background
            self.figure.draw_artist(note)
            note.remove()
        return encode_png(self.figure)

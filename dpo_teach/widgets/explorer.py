"""The base of the explorers: widgets whose arithmetic and drawing happen in the browser, in the frame of the move."""

import base64
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import anywidget
import traitlets

from dpo_teach.widgets.bundles import projector_style, stylesheet, widget_module
from dpo_teach.widgets.photographs import photograph

__all__ = ["OWN", "Explorer", "Number", "Numbers"]

OWN = "your own"
"""The name of settings that are none of the presets."""


class Number(traitlets.Float[float, "float | int"]):
    """A trait that holds a finite number between two bounds, in step with the browser.

    Args:
        default: what it begins with.
        least, most: the bounds, both included.

    >>> class Point(traitlets.HasTraits):
    ...     height = Number(1.0, least=0.0, most=8.0)
    >>> Point(height=9.0)
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: height must lie between 0 and 8, found 9.0
    """

    def __init__(self, default: float, *, least: float, most: float) -> None:
        self.least, self.most = least, most
        super().__init__(default)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        """The value as a float, or a line that says what is wrong with it."""
        return _within(value, str(self.name), self.least, self.most)


class Numbers(traitlets.List[float]):
    """A trait that holds so many finite numbers, each between two bounds, in step with the browser.

    Args:
        count: how many there must be; any number of them if None.
        least, most: the bounds, both included.

    >>> class Line(traitlets.HasTraits):
    ...     heights = Numbers(2, least=0.0, most=8.0)
    >>> Line(heights=[1.0, 9.0])
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: heights[1] must lie between 0 and 8, found 9.0
    """

    def __init__(self, count: int | None, *, least: float, most: float) -> None:
        self.count, self.least, self.most = count, least, most
        super().__init__()
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> list[float]:
        """The values as a list of floats, or a line that names the one that is wrong."""
        numbers = list(value)
        if self.count is not None and len(numbers) != self.count:
            raise traitlets.TraitError(f"{self.name} must be {self.count} numbers, found {len(numbers)}")
        return [_within(number, f"{self.name}[{i}]", self.least, self.most) for i, number in enumerate(numbers)]


def _within(value: Any, name: str, least: float, most: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:
        raise traitlets.TraitError(f"{name} must lie between {least:g} and {most:g}, found {value!r}")
    return float(value)


class Explorer(anywidget.AnyWidget):
    """A widget that computes and draws in the browser, and whose settings Python reads and sets.

    A subclass names its JavaScript with `class Mine(Explorer, module="mine", render="mine")`, and with
    `styles=("mine",)` a stylesheet that only it needs; it has a trait for each setting, and gives `reading`. What it
    shows must be computed in Python too, by the functions of the package: the browser's arithmetic is held against
    those.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    """The traits that people set, in the order in which they are told."""

    asks: ClassVar[tuple[str, ...]] = ()
    """The methods that the browser may call, with `model.send({ask: name, ...arguments})`."""

    fault = traitlets.Unicode("").tag(sync=True)

    def __init_subclass__(cls, module: str = "", render: str = "", styles: Sequence[str] = (), **kwargs: Any) -> None:
        if module:
            cls._esm = widget_module(module, render)
            cls._css = stylesheet(*styles)
        super().__init_subclass__(**kwargs)

    def __init__(self, **values: Any) -> None:
        self.as_given = True
        self.error: Exception | None = None
        self._css = str(getattr(type(self), "_css", "")) + projector_style()
        super().__init__(**values)
        self.as_given = False
        self.on_msg(self._answer)

    def _answer(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Do what the browser asks for; an error is shown in the widget and kept in `error`, for nobody reads a log."""
        arguments = dict(content)
        name = arguments.pop("ask", "")
        try:
            if name not in self.asks:
                raise ValueError(f"ask must be one of {', '.join(self.asks)}, found {name!r}")
            getattr(self, name)(**arguments)
        except Exception as error:
            self.error = error
            self.fault = f"{type(error).__name__}: {error}"
        else:
            self.error, self.fault = None, ""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """What the browser sends: it has seen to it already that settings which hang together do so."""
        with self._taken_as_given():
            super().set_state(sync_data)

    @contextmanager
    def _taken_as_given(self) -> Iterator[None]:
        """While it lasts `as_given` is true, and no setting pulls another along."""
        before, self.as_given = self.as_given, True
        try:
            yield
        finally:
            self.as_given = before

    def set(self, **values: Any) -> None:
        """Set several settings at once.

        Args:
            values: a value by the name of its setting.

        Raises:
            AttributeError: there is no such setting.
            traitlets.TraitError: a value that the setting does not take; nothing is changed then.
        """
        for name in values:
            if name not in self.settings:
                raise AttributeError(
                    f"{type(self).__name__} has no setting {name!r}; it has {', '.join(self.settings)}"
                )
        with self._taken_as_given(), self.hold_sync(), self.hold_trait_notifications():
            for name, value in values.items():
                setattr(self, name, value)

    def reading(self) -> str:
        """What the explorer shows at the moment, in one line: its repr."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.reading()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget, and for a page without a kernel the photograph of these settings, if there is one."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data["text/plain"] = repr(self)
        png = photograph(repr(self))
        if png is not None:
            data["image/png"] = base64.b64encode(png).decode("ascii")
        return data, metadata

"""The base class of the explorers: widgets that compute and draw in the browser, without waiting for Python.

README.md in this folder follows one slider from the browser to Python.
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import anywidget
import traitlets

from dpo_teach.widgets.js_bundle import projector_style, stylesheet, widget_module

__all__ = ["CUSTOM", "SAVED", "Choice", "Explorer", "Number", "Numbers", "check_bounds", "check_choice", "preset_of",
           "screenshot_of"]  # fmt: skip

_PICTURES = files("dpo_teach.assets") / "pictures"

CUSTOM = "your own"
"""The preset name of values that match no preset."""

SAVED = "This is a picture. Run the cell to move it."
"""What the saved picture of an explorer says: without a kernel, the controls on it do not move."""


class Number(traitlets.Float[float, "float | int"]):
    """A trait that holds a finite number between two bounds, synchronised with the browser.

    Args:
        default: the initial value.
        least, most: the bounds, both included.

    >>> class Point(traitlets.HasTraits):
    ...     height = Number(1.0, least=0.0, most=8.0)
    >>> Point(height=9.0)
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: height must be between 0 and 8, found 9.0
    """

    def __init__(self, default: float, *, least: float, most: float) -> None:
        self.least, self.most = least, most
        super().__init__(default)
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        """Return the value as a float, or raise a TraitError that names the trait."""
        return check_bounds(value, str(self.name), self.least, self.most)


class Numbers(traitlets.List[float]):
    """A trait that holds a list of finite numbers between two bounds, synchronised with the browser.

    Args:
        count: the length of the list; any length if None.
        least, most: the bounds, both included.

    >>> class Line(traitlets.HasTraits):
    ...     heights = Numbers(2, least=0.0, most=8.0)
    >>> Line(heights=[1.0, 9.0])
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: heights[1] must be between 0 and 8, found 9.0
    """

    def __init__(self, count: int | None, *, least: float, most: float) -> None:
        self.count, self.least, self.most = count, least, most
        super().__init__()
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> list[float]:
        """Return the values as a list of floats, or raise a TraitError that names the invalid element."""
        numbers = list(value)
        if self.count is not None and len(numbers) != self.count:
            raise traitlets.TraitError(f"{self.name} must be {self.count} numbers, found {len(numbers)}")
        return [check_bounds(number, f"{self.name}[{i}]", self.least, self.most) for i, number in enumerate(numbers)]


class Choice(traitlets.Enum[Any]):
    """A trait that holds one of several strings, synchronised with the browser.

    >>> class Flag(traitlets.HasTraits):
    ...     colour = Choice(["red", "blue"])
    >>> Flag(colour="green")
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: colour must be one of red, blue, found 'green'
    """

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(list(choices), choices[0])
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> str:
        """Return the value, or raise a TraitError that names the trait and the choices."""
        return check_choice(str(self.name), value, self.values or ())


def check_bounds(value: Any, name: str, least: float | int, most: float | int) -> float:
    """Return the value as a float if it is a finite number between two bounds.

    Raises:
        traitlets.TraitError: it is not.

    >>> check_bounds(9, "height", 0, 8)
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: height must be between 0 and 8, found 9
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:
        raise traitlets.TraitError(f"{name} must be between {least:g} and {most:g}, found {value!r}")
    return float(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return the value if it is one of the choices.

    Raises:
        traitlets.TraitError: it is not.

    >>> check_choice("colour", "green", ["red", "blue"])
    Traceback (most recent call last):
    traitlets.traitlets.TraitError: colour must be one of red, blue, found 'green'
    """
    if value not in choices:
        raise traitlets.TraitError(f"{name} must be one of {', '.join(choices)}, found {value!r}")
    return str(value)


def preset_of(values: Any, presets: Mapping[str, Any]) -> str:
    """The name of the preset with these values, or `CUSTOM` if there is none."""
    return next((name for name, preset in presets.items() if preset == values), CUSTOM)


def screenshot_of(description: str) -> bytes | None:
    """The screenshot of an explorer with this repr, as PNG bytes; None if there is none.

    >>> screenshot_of("an unknown explorer") is None
    True
    """
    name = _screenshots().get(description)
    return None if name is None else (_PICTURES / name).read_bytes()


@cache
def _screenshots() -> dict[str, str]:
    """File names by repr."""
    index = _PICTURES / "explorers.json"
    return json.loads(index.read_text(encoding="utf-8"))["screenshots"] if index.is_file() else {}


class Explorer(anywidget.AnyWidget):
    """A widget that computes and draws in the browser, with settings that Python can read and set.

    A subclass names its JavaScript with `class Mine(Explorer, module="mine", render="mine")`, and with
    `styles=("mine",)` a stylesheet that only it needs. It has a trait for each value that the browser shows, and
    implements `describe`. The browser must compute the same numbers as the functions of the package; tests compare
    them.

    A setting that stands for the values of others, as a preset stands for four log-probabilities, is a property and not
    a trait. Its setter calls `set`, which gets the values from `_traits_of`. Only the values are stored and
    synchronised, so that Python and the browser cannot disagree.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    """The names of the settings, traits and properties, in the order in which error messages list them."""

    commands: ClassVar[tuple[str, ...]] = ()
    """The methods that the browser may call, with `model.send({command: name, ...arguments})`."""

    error_message = traitlets.Unicode("").tag(sync=True)

    def __init_subclass__(cls, module: str = "", render: str = "", styles: Sequence[str] = (), **kwargs: Any) -> None:
        if module:
            cls._esm = widget_module(module, render)
            cls._css = stylesheet(*styles)
        super().__init_subclass__(**kwargs)

    def __init__(self, **values: Any) -> None:
        self.error: Exception | None = None
        self._css = str(getattr(type(self), "_css", "")) + projector_style()
        super().__init__(**values)
        self.on_msg(self._run_command)
        self._complete = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; once the explorer is complete, a new public name is a typing error."""
        known = name.startswith("_") or name in self.__dict__ or hasattr(type(self), name)
        if not known and self.__dict__.get("_complete"):
            self._check_setting(name)
        super().__setattr__(name, value)

    def _check_setting(self, name: str) -> None:
        if name not in self.settings:
            settings = f"it has {', '.join(self.settings)}" if self.settings else "it has none"
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}; {settings}")

    def set(self, **values: Any) -> None:
        """Set several settings at once.

        Args:
            values: a value by the name of its setting.

        Raises:
            AttributeError: there is no such setting.
            traitlets.TraitError: a setting does not accept its value; nothing is changed.
        """
        for name in values:
            self._check_setting(name)
        with self.hold_sync(), self.hold_trait_notifications():  # one message to the browser; all values or none
            for name, value in self._traits_of(values).items():
                setattr(self, name, value)

    def _traits_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """The traits that settings stand for: the settings themselves, unless a subclass has others."""
        return values

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Handle a change made in the browser; ipywidgets calls this, and would only log an error."""
        with suppress(Exception), self._errors_shown():
            super().set_state(sync_data)

    def _run_command(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Handle a command from the browser."""
        arguments = dict(content)
        name = arguments.pop("command", "")
        with suppress(Exception), self._errors_shown():
            if name not in self.commands:
                raise ValueError(f"command must be one of {', '.join(self.commands)}, found {name!r}")
            getattr(self, name)(**arguments)

    @contextmanager
    def _errors_shown(self) -> Iterator[None]:
        """Show an error in the widget, keep it in `error` and raise it."""
        try:
            yield
        except Exception as error:
            self.error, self.error_message = error, f"{type(error).__name__}: {error}"
            raise
        else:
            self.error, self.error_message = None, ""

    def describe(self) -> str:
        """Describe in one line what the explorer currently shows; used as its repr."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.describe()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget and, for pages without a kernel, a screenshot of it with these settings, if there is one."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data["text/plain"] = repr(self)
        png = screenshot_of(repr(self))
        if png is not None:
            data["image/png"] = base64.b64encode(png).decode("ascii")
        return data, metadata

"""Many JavaScript modules as one text: what anywidget and a page opened from disk can load without a server."""

import math
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from dpo_teach.plots import CARD, CHOSEN, FAINT, INK, MUTED, POLICY, REFERENCE, REJECTED, SERIES
from dpo_teach.projection import projector_scale

__all__ = ["bundle", "projector_style", "stylesheet", "widget_module"]

_TWO_COLUMNS = 908
"""Pixels that the loss explorer needs for sliders beside the flow: explorers.css has 870, and the edge of the card."""

_LEAST_ZOOM = 12
"""On a projector an explorer grows by so many tenths at least, whatever becomes of its columns."""

_FOLDER = files("dpo_teach.widgets") / "js"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|const|class) (\w+))", re.MULTILINE)

_COLOURS = {
    "chosen": CHOSEN,
    "rejected": REJECTED,
    "policy": POLICY,
    "reference": REFERENCE,
    "series-1": SERIES[0],
    "series-2": SERIES[1],
    "series-3": SERIES[2],
    "light-card": CARD,
    "light-ink": INK,
    "light-muted": MUTED,
    "light-faint": FAINT,
}


@cache
def bundle(name: str) -> str:
    """A module of `widgets/js` and all that it imports, each once, in the order of their needs.

    A module becomes a function of its own, so that two may use one name for different things. Understood is
    `import { a, b } from "./x.js";` and `export function`, `export const` or `export class`: no renaming, no default.

    Args:
        name: of the module, without ".js".

    Returns:
        Text that defines a constant `$name`, an object of what the module exports.

    Raises:
        FileNotFoundError: a module is not there.

    >>> bundle("nodes").startswith("const $nodes = (() => {")
    True
    """
    texts: dict[str, str] = {}
    _gather(name, texts)
    return "\n".join(texts.values())


def widget_module(name: str, render: str) -> str:
    """What anywidget loads: the module, and its function `render` as the default export."""
    return f"{bundle(name)}\nexport default {{ render: ${name}.{render} }};\n"


@cache
def stylesheet(*names: str) -> str:
    """The style of the explorers, on top of the house's colours, and after it what some of them need besides.

    Args:
        names: of those further stylesheets, without ".css".
    """
    colours = "".join(f"--dt-{name}:{value};" for name, value in _COLOURS.items())
    texts = [(_FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in ("explorers", *names)]
    return "\n".join([f".dpo-teach{{{colours}}}", *texts])


def projector_style() -> str:
    """What a stylesheet needs besides on a projector, where explorers and panels are enlarged; nothing elsewhere."""
    scale = projector_scale()
    if scale == 1:
        return ""
    zoom = f":root {{ --dpo-teach-zoom: {scale:g}; }}\n.dpo-teach-panel {{ zoom: var(--dpo-teach-zoom, 1); }}"
    return "\n".join(
        ["", zoom, ":has(> .dpo-teach) { container: dpo-teach-room / inline-size; }", *_less_zoom(scale), ""]
    )


def _less_zoom(scale: float) -> Iterator[str]:
    """Rules by which an explorer of two columns grows by less where it would lose one of them."""
    for tenths in range(math.ceil(10 * scale) - 1, _LEAST_ZOOM - 1, -1):
        room = math.ceil(_TWO_COLUMNS * min(scale, (tenths + 1) / 10))
        less = f".dpo-teach:has(.dt-two) {{ --dpo-teach-zoom: {tenths / 10:g}; }}"
        yield f"@container dpo-teach-room (max-width: {room}px) {{ {less} }}"


def _gather(name: str, texts: dict[str, str]) -> None:
    source = (_FOLDER / f"{name}.js").read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(source):
        if needed not in texts:
            _gather(needed, texts)
    exported = ", ".join(name for _, name in _EXPORT.findall(source))
    body = _EXPORT.sub(r"\1", _IMPORT.sub(r"const {\1} = $\2;\n", source))
    texts[name] = f"const ${name} = (() => {{\n{body}return {{ {exported} }};\n}})();"

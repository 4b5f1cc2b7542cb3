"""Bundle JavaScript modules and stylesheets into one text each, so that they load without a server."""

import math
import re
from functools import cache
from importlib.resources import files

from dpo_teach.plots import BACKGROUND, CHOSEN, FAINT, INK, MUTED, POLICY, REFERENCE, REJECTED, SERIES
from dpo_teach.projector import projector_scale

__all__ = ["bundle", "projector_style", "stylesheet", "widget_module"]

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
    "light-background": BACKGROUND,
    "light-ink": INK,
    "light-muted": MUTED,
    "light-faint": FAINT,
}

_TWO_COLUMNS = 704
"""The width that an explorer needs for two columns, pixels: as in explorers.css, twice 320, a gap and a padding."""

_LEAST_ZOOM = 1.2
"""The smallest enlargement of an explorer on a projector, even if it then loses its second column."""


@cache
def bundle(name: str) -> str:
    """Join a module of `widgets/js` and all modules that it imports into one script.

    Each module becomes a function, so that two modules may use the same name for different things. The supported forms
    are `import { a, b } from "./x.js";` and `export` before a function, const or class, without renaming or defaults.

    Args:
        name: name of the module, without ".js".

    Returns:
        A script that defines a constant `$name`, an object with the exports of the module.

    Raises:
        FileNotFoundError: there is no such module.

    >>> bundle("dom").startswith("const $dom = (() => {")
    True
    """
    scripts: dict[str, str] = {}  # by module name, in loading order

    def load(name: str) -> None:
        source = (_FOLDER / f"{name}.js").read_text(encoding="utf-8")
        for _, imported in _IMPORT.findall(source):
            if imported not in scripts:
                load(imported)
        exports = ", ".join(name for _, name in _EXPORT.findall(source))
        body = _EXPORT.sub(r"\1", _IMPORT.sub(r"const {\1} = $\2;\n", source))
        scripts[name] = f"const ${name} = (() => {{\n{body}return {{ {exports} }};\n}})();"

    load(name)
    return "\n".join(scripts.values())


def widget_module(name: str, render: str) -> str:
    """The module that anywidget loads: a bundle, with the function `render` in its default export."""
    return f"{bundle(name)}\nexport default {{ render: ${name}.{render} }};\n"


@cache
def stylesheet(*names: str) -> str:
    """The stylesheet of all explorers, with the colours of `plots`, followed by the stylesheets that only some need.

    Args:
        names: names of the additional stylesheets, without ".css".
    """
    colours = "".join(f"--dt-{name}:{value};" for name, value in _COLOURS.items())
    texts = [(_FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in ("explorers", *names)]
    return "\n".join([f".dpo-teach{{{colours}}}", *texts])


def projector_style() -> str:
    """The CSS rules that enlarge explorers on a projector; empty without one.

    A two-column explorer is enlarged less if it would otherwise lose a column: one rule for each tenth of the zoom.
    """
    scale = projector_scale()
    if scale == 1:
        return ""
    rules = [
        "",
        f":root {{ --dpo-teach-zoom: {scale:g}; }}",
        ":has(> .dpo-teach) { container: dpo-teach-parent / inline-size; }",
    ]
    for tenths in range(math.ceil(10 * scale) - 1, round(10 * _LEAST_ZOOM) - 1, -1):
        width = math.ceil(_TWO_COLUMNS * min(scale, (tenths + 1) / 10))
        less = f".dpo-teach:has(.dt-two) {{ --dpo-teach-zoom: {tenths / 10:g}; }}"
        rules.append(f"@container dpo-teach-parent (max-width: {width}px) {{ {less} }}")
    return "\n".join([*rules, ""])

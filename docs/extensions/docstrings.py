"""The package's docstrings, written for an editor, as the reStructuredText that Sphinx expects."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

ATTRIBUTES = ("attribute", "data", "property")
"""What napoleon reads as `type: description`, so that it takes half a sentence with a colon for a type."""

OF_ANOTHER = {"Args:": "Arguments are those of", "Args, Raises:": "Arguments and errors are those of"}
"""Sections that a docstring leaves to another function's, and what a page says instead."""

whole: dict[str, list[str]] = {}
"""The docstrings of attributes, by name, from before napoleon until after it."""


def set_formulas_apart(lines: list[str]) -> list[str]:
    """A paragraph that is indented without being a section's, such as a formula, becomes a literal block.

    >>> set_formulas_apart(["The loss.", "", "    L = -log σ(m)", "", "Args:", "    m: the margin."])
    ['The loss.', '', '::', '', '    L = -log σ(m)', '', 'Args:', '    m: the margin.']
    """
    told: list[str] = []
    flush = ""  # the last line that was not indented
    for line in lines:
        if line.startswith("    ") and told and not told[-1] and flush != "::" and not flush.endswith(":"):
            told += ["::", ""]
            flush = "::"
        elif line and not line.startswith(" "):
            flush = line
        told.append(line)
    return told


def close_code_marks(line: str) -> str:
    """A letter may follow a code mark.

    >>> print(close_code_marks("a list of `PreferencePair`s"))
    a list of `PreferencePair`\\ s
    """
    return re.sub(r"(?<!`)(`[^`]+`)(?=\w)", r"\1\\ ", line)


def spell_out(line: str) -> str:
    """Sections that are another function's, told in a line, become a sentence with a link to it.

    >>> print(spell_out("Args, Raises: as `load_pairs`."))
    Arguments and errors are those of :py:obj:`load_pairs`.
    >>> print(spell_out("Args: as `load_pairs`."))
    Arguments are those of :py:obj:`load_pairs`.
    """
    for short, words in OF_ANOTHER.items():
        line = re.sub(rf"^{short} as (`\w+`)", rf"{words} :py:obj:\1", line)
    return line


def rewrite(app: Sphinx, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's event `autodoc-process-docstring`, before napoleon reads the sections."""
    lines[:] = [spell_out(close_code_marks(line)) for line in set_formulas_apart(lines)]
    if what in ATTRIBUTES:
        whole[name] = list(lines)


def restore(app: Sphinx, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """The same event, after napoleon: an attribute is told by its docstring as it was, the sections read."""
    if what in ATTRIBUTES:
        lines[:] = GoogleDocstring(whole.pop(name), app.config, app).lines()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", rewrite, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

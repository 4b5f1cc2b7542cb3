"""Convert the package's docstrings, which are written to be read in an editor, to reStructuredText for Sphinx."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

ATTRIBUTES = ("attribute", "data", "property")
"""Objects whose docstrings napoleon reads as `type: description`, mistaking text before a colon for a type."""

OF_ANOTHER = {"Args:": "Arguments are those of", "Args, Raises:": "Arguments and errors are those of"}
"""Sections that refer to another function's docstring, and the sentence that replaces them."""

whole: dict[str, list[str]] = {}
"""The docstrings of attributes, keyed by name, saved before napoleon and restored after it."""


def set_formulas_apart(lines: list[str]) -> list[str]:
    """Turn indented paragraphs outside sections, such as formulas, into literal blocks.

    >>> set_formulas_apart(["The loss.", "", "    L = -log σ(m)", "", "Args:", "    m: the margin."])
    ['The loss.', '', '::', '', '    L = -log σ(m)', '', 'Args:', '    m: the margin.']
    """
    kept: list[str] = []
    flush = ""  # the last line that was not indented
    for line in lines:
        if line.startswith("    ") and kept and not kept[-1] and flush != "::" and not flush.endswith(":"):
            kept += ["::", ""]
            flush = "::"
        elif line and not line.startswith(" "):
            flush = line
        kept.append(line)
    return kept


def close_code_marks(line: str) -> str:
    """Allow a letter directly after a code mark.

    >>> print(close_code_marks("a list of `PreferencePair`s"))
    a list of `PreferencePair`\\ s
    """
    return re.sub(r"(?<!`)(`[^`]+`)(?=\w)", r"\1\\ ", line)


def spell_out(line: str) -> str:
    """Turn a one-line section that refers to another function into a sentence with a link.

    >>> print(spell_out("Args, Raises: as `load_pairs`."))
    Arguments and errors are those of :py:obj:`load_pairs`.
    >>> print(spell_out("Args: as `load_pairs`."))
    Arguments are those of :py:obj:`load_pairs`.
    """
    for short, words in OF_ANOTHER.items():
        line = re.sub(rf"^{short} as (`\w+`)", rf"{words} :py:obj:\1", line)
    return line


def rewrite(app: Sphinx, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Handle Sphinx's event `autodoc-process-docstring` before napoleon reads the sections."""
    lines[:] = [spell_out(close_code_marks(line)) for line in set_formulas_apart(lines)]
    if what in ATTRIBUTES:
        whole[name] = list(lines)


def restore(app: Sphinx, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Handle the same event after napoleon: restore an attribute's docstring, with its sections converted."""
    if what in ATTRIBUTES:
        lines[:] = GoogleDocstring(whole.pop(name), app.config, app).lines()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("autodoc-process-docstring", rewrite, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

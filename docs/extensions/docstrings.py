"""The package's docstrings, written for an editor, as the reStructuredText that Sphinx expects."""

import re
from typing import Any

from sphinx.application import Sphinx


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


def rewrite(app: Sphinx, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's event `autodoc-process-docstring`, before napoleon reads the sections."""
    lines[:] = [close_code_marks(line) for line in set_formulas_apart(lines)]


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", rewrite, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

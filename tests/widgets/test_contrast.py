"""The colours of the explorers have enough contrast with their background in both themes (WCAG 2.2, AA)."""

import re

import pytest

from dpo_teach.widgets.js_bundle import bundle, stylesheet

THEMES = ("light", "dark")


def colours(theme: str) -> dict[str, str]:
    """The values of the custom properties in a theme."""
    css = stylesheet()
    blocks = re.findall(r"\.dpo-teach\{([^}]*)\}|\n\.dpo-teach \{([^}]*)\}", css)
    found = dict(re.findall(r"--([\w-]+):\s*([^;]+);", "".join(a + b for a, b in blocks)))
    if theme == "dark":
        (dark,) = re.findall(r'\[data-theme="dark"\] \.dpo-teach \{([^}]*)\}', css)
        found |= dict(re.findall(r"--([\w-]+):\s*([^;]+);", dark))
    return {name: _resolved(value, found) for name, value in found.items()}


def _resolved(value: str, found: dict[str, str]) -> str:
    named = re.fullmatch(r"var\(--([\w-]+)\)", value.strip())
    return _resolved(found[named.group(1)], found) if named else value.strip()


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # just below the limit of 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("background", ["background", "field"])
@pytest.mark.parametrize("text", ["ink", "muted", "error"])
def test_text_has_enough_contrast(theme: str, background: str, text: str) -> None:
    found = colours(theme)
    assert contrast(found[text], found[background]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("mark", ["dt-chosen", "dt-rejected", "dt-policy", "dt-reference", "edge", "focus"])
def test_marks_have_enough_contrast(theme: str, mark: str) -> None:
    found = colours(theme)
    assert contrast(found[mark], found["background"]) >= 3


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("shade", ["dt-chosen", "dt-rejected"])
def test_text_on_the_shading_of_the_plane_has_enough_contrast(theme: str, shade: str) -> None:
    found = colours(theme)
    (opacity,) = re.findall(r"const DARKEST = ([\d.]+);", bundle("plane_chart"))
    shaded = mixed(found["background"], found[shade], float(opacity))
    assert all(contrast(found[text], shaded) >= 4.5 for text in ("ink", "muted"))


def mixed(one: str, other: str, share: float) -> str:
    """A colour over another one, with an opacity."""
    channels = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round((1 - share) * a + share * b):02x}" for a, b in channels)

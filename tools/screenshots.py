"""Take the screenshots of the explorers for README and notebooks: `python -m tools.screenshots`.

The notebooks contain a picture of each explorer for pages without a kernel, and the README shows one. Chromium, driven
by playwright, takes the screenshots; only this command needs either. They are saved in `dpo_teach/assets/pictures`.
"""

import argparse
import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageColor

from dpo_teach.models import ASSETS
from dpo_teach.plots import CHOSEN, POLICY, REFERENCE, REJECTED, SERIES
from dpo_teach.widgets.beta_tilt import BetaTilt
from dpo_teach.widgets.explorer import SAVED, Explorer
from dpo_teach.widgets.gradient_weights import GradientWeights
from dpo_teach.widgets.js_bundle import bundle, stylesheet
from dpo_teach.widgets.log_ratio_plane import LogRatioPlane
from dpo_teach.widgets.loss_explorer import LossExplorer
from dpo_teach.widgets.loss_family import LossFamily
from dpo_teach.widgets.memory_calculator import MemoryCalculator
from tools.playground import playground_page

__all__ = ["INDEX", "TARGETS", "fingerprint", "is_current", "take_screenshots"]

WIDTH = 960
TARGETS: dict[str, tuple[str, Explorer]] = {
    "loss_explorer.png": ("lossExplorer", LossExplorer()),
    "loss_explorer_confused.png": ("lossExplorer", LossExplorer(preset="confused")),
    "beta_tilt.png": ("betaTilt", BetaTilt()),
    "gradient_weights.png": ("gradientWeights", GradientWeights()),
    "log_ratio_plane.png": ("logRatioPlane", LogRatioPlane()),
    "log_ratio_plane_reviews.png": ("logRatioPlane", LogRatioPlane(history="reviews")),
    "loss_family.png": ("lossFamily", LossFamily()),
    "memory_calculator.png": ("memoryCalculator", MemoryCalculator()),
}
"""By file name: the JavaScript function that draws the explorer, and the explorer in the state to show."""

README_PICTURE = "loss_explorer_confused.png"
"""The one screenshot that is not the saved output of a cell."""

ADD_NOTE = """(e, note) => { const p = document.createElement("p"); p.textContent = note; e.prepend(p);
    p.style.cssText = "margin: -14px -18px 12px; padding: 6px 18px; border-radius: 10px 10px 0 0; font-weight: 600;" +
        "background: var(--faint)"; }"""

INDEX = ASSETS / "pictures" / "explorers.json"


def fingerprint() -> str:
    """A hash of everything the screenshots depend on; if it changes, they are out of date."""
    targets = [[file, name, repr(explorer)] for file, (name, explorer) in TARGETS.items()]
    text = json.dumps([bundle("playground"), stylesheet(), targets, SAVED, ADD_NOTE])
    return hashlib.sha256(text.encode()).hexdigest()


def take_screenshots(folder: Path = INDEX.parent) -> None:
    """Take a screenshot of each explorer in a browser, and write the index from settings to file names.

    Args:
        folder: where the pictures and `explorers.json` go.

    Raises:
        FileNotFoundError: chromium is not installed.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise FileNotFoundError("chromium was not found (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for file, (name, explorer) in TARGETS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=1.5)
            page.set_content(playground_page({name: explorer}))
            page.wait_for_timeout(500)
            card = page.locator(".dpo-teach")
            if file != README_PICTURE:
                card.evaluate(ADD_NOTE, SAVED)
            (folder / file).write_bytes(_small(card.screenshot(type="png")))
            page.close()
        browser.close()
    files = {repr(explorer): file for file, (_, explorer) in TARGETS.items()}
    index = {"made_by": "make screenshots", "fingerprint": fingerprint(), "screenshots": files}
    (folder / INDEX.name).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _small(png: bytes) -> bytes:
    """The picture with a palette of 96 colours, in a third of the bytes; it contains the colours of the figures."""
    picture, out = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    own = [
        channel for colour in (CHOSEN, REJECTED, POLICY, REFERENCE, *SERIES) for channel in ImageColor.getrgb(colour)
    ]
    common = picture.quantize(96 - len(own) // 3).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(own + common[: 3 * 96 - len(own)])
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return out.getvalue()


def is_current(index: Path = INDEX) -> bool:
    """Whether the screenshots show the current code."""
    return json.loads(index.read_text(encoding="utf-8"))["fingerprint"] == fingerprint()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description="Take the explorers' screenshots.")
    parser.add_argument("--if-changed", action="store_true", help="do nothing if the explorers' code is unchanged")
    if not (parser.parse_args().if_changed and is_current()):
        try:
            take_screenshots()
        except FileNotFoundError as error:
            sys.exit(str(error))

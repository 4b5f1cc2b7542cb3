"""Take the photographs of the explorers: `make photographs`, or `python -m dpo_teach.widgets.studio`.

The notebooks carry a picture of each explorer for pages that have no kernel, and the README shows one. They are what a
browser draws, so a browser takes them: Debian's chromium, through playwright, both of which only this command needs.
"""

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

from PIL import Image

from dpo_teach.models import ASSETS
from dpo_teach.widgets.beta_tilt import BetaTilt
from dpo_teach.widgets.explorer import Explorer
from dpo_teach.widgets.gradient_weights import GradientWeights
from dpo_teach.widgets.js_bundle import bundle, stylesheet
from dpo_teach.widgets.loss_explorer import LossExplorer
from dpo_teach.widgets.memory_calculator import MemoryCalculator
from dpo_teach.widgets.playground import playground_page

__all__ = ["INDEX", "SITTERS", "fingerprint", "take_photographs"]

WIDTH = 960
SITTERS: dict[str, tuple[str, Explorer]] = {
    "loss_explorer.png": ("lossExplorer", LossExplorer()),
    "loss_explorer_confused.png": ("lossExplorer", LossExplorer(preset="confused")),
    "beta_tilt.png": ("betaTilt", BetaTilt()),
    "gradient_weights.png": ("gradientWeights", GradientWeights()),
    "memory_calculator.png": ("memoryCalculator", MemoryCalculator()),
}
"""Who is photographed: the function that draws it, and the explorer in the state that is wanted."""

INDEX = ASSETS / "pictures" / "explorers.json"


def fingerprint() -> str:
    """Of all that the photographs depend on; another one means that they are old."""
    sitters = [[file, name, repr(explorer)] for file, (name, explorer) in SITTERS.items()]
    text = json.dumps([bundle("playground"), stylesheet(), sitters])
    return hashlib.sha256(text.encode()).hexdigest()


def take_photographs(folder: Path = INDEX.parent) -> None:
    """Photograph each explorer in a browser, and write the index that says which picture shows what.

    Args:
        folder: where the pictures and `explorers.json` go.

    Raises:
        FileNotFoundError: there is no chromium.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise FileNotFoundError("chromium is not installed: Debian's `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for file, (name, explorer) in SITTERS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=1.5)
            page.set_content(playground_page({name: explorer}))
            page.wait_for_timeout(500)
            (folder / file).write_bytes(_small(page.locator(".dpo-teach").screenshot(type="png")))
            page.close()
        browser.close()
    photographs = {repr(explorer): file for file, (_, explorer) in SITTERS.items()}
    index = {"made_by": "make photographs", "fingerprint": fingerprint(), "photographs": photographs}
    (folder / INDEX.name).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _small(png: bytes) -> bytes:
    """The same picture in a palette, a third of the bytes."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(96).save(out, format="png", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    try:
        take_photographs()
    except FileNotFoundError as error:
        sys.exit(str(error))

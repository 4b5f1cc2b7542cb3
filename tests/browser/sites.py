"""Build the site, serve it, and find elements on its pages."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from load_module import load_module
from pages import KINDS, settings_in
from playwright.sync_api import Locator, Page

from dpo_teach.widgets.explorer import Explorer

ROOT = Path(__file__).parents[2]
TOOLS = ("mermaidx", "myst_nb", "sphinx_book_theme")  # from the extra `site`
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KIND_NAMES = {kind.__name__: name for name, kind in KINDS.items()}


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def need_tools() -> None:
    """Skip the test if the site's tools are missing, or fail it if DPO_TEACH_BROWSER=required."""
    missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("DPO_TEACH_BROWSER") == "required":
        pytest.fail(f"{', '.join(missing)} is not installed: `make test` installs it")
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed: run `make site`, which installs it")


def build_site(output: Path) -> None:
    """Build the site and check that this changes no notebook and leaves no other files."""
    before = [notebook.read_bytes() for notebook in NOTEBOOKS]
    command = [sys.executable, "docs/build.py", str(output)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [notebook.read_bytes() for notebook in NOTEBOOKS] == before, "expected unchanged notebooks"
    assert list(output.parent.iterdir()) == [output], "expected no files next to the site"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder's files from this machine; yield the address."""
    handler = functools.partial(SilentHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def pages_of(site: Path) -> list[str]:
    """The path of every page, relative to the site."""
    paths = [path.relative_to(site) for path in sorted(site.rglob("*.html"))]
    return [path.as_posix() for path in paths if path.parts[0] != "_static"]


def page_of(notebook: Path) -> str:
    return f"notebooks/{notebook.stem}.html"


def words_of(notebook: Path) -> str:
    """The Markdown of a notebook."""
    cells = json.loads(notebook.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def saved_explorers(notebook: Path) -> list[str]:
    """The reprs of a notebook's explorers in its saved outputs, from top to bottom, without those of a run."""
    found = []
    for cell in json.loads(notebook.read_text())["cells"]:
        if "nbval-ignore-output" in cell["metadata"].get("tags", []):
            continue
        for output in cell.get("outputs", []):
            reading = "".join(output.get("data", {}).get("text/plain", ""))
            if reading.partition(":")[0] in KIND_NAMES:
                found.append(reading)
    return found


def explorer_at(page: Page, i: int) -> tuple[Locator, Callable[[], Explorer]]:
    """The i-th explorer of a page, and a function that creates its Python counterpart."""
    place = page.locator("[data-explorer]").nth(i)
    kind = KINDS[str(place.get_attribute("data-explorer"))]
    return place, lambda: settings_in(lambda trait: place.evaluate("(e, t) => e.model.get(t)", trait), kind)


def wait_for_maths(page: Page) -> None:
    if page.locator(".math").count():
        page.wait_for_function("() => window.MathJax?.startup?.promise")
        page.evaluate("() => MathJax.startup.promise")


def load_extension(name: str) -> ModuleType:
    """Import one of the Sphinx extensions of the site."""
    return load_module(ROOT / "docs" / "extensions" / f"{name}.py")

"""Start a separate JupyterLab with copies of the notebooks, and act as a learner in it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client import BlockingKernelClient
from playwright.sync_api import Locator, Page

TOKEN = "a-token-for-tests"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RUN = """(index) => {
    const app = window.jupyterapp;
    const notebook = app.shell.currentWidget.content;
    notebook.activeCellIndex = index;
    notebook.deselectAll();
    window.ran = false;
    app.commands.execute("notebook:run-cell").finally(() => { window.ran = true; });
}"""
OPEN = """(path) => window.jupyterapp.commands.execute("docmanager:open", { path }).then(() => undefined)"""
CLOSE = """() => { for (const widget of [...window.jupyterapp.shell.widgets("main")]) widget.dispose(); }"""
LAB_CONFIG = NOTEBOOKS.parent / "deploy" / "jupyterlab"
"""The settings of `make lab` and of the hub, which disable the question about news."""


class Lab:
    """A running JupyterLab.

    Args:
        folder: contains `root` with the notebooks, `runtime` with the kernels' connection files, and `log`.
        url: the address of the server.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.notebook = ""  # the one that was opened last
        self._clients: dict[str, BlockingKernelClient] = {}  # by kernel

    def log(self) -> str:
        """The log of server and kernels so far."""
        return (self.folder / "log").read_text(errors="replace")

    def set_theme(self, name: str) -> None:
        """Set the theme, light or dark, for pages opened from now on."""
        _put(self.folder, ("apputils-extension", "themes"), {"theme": f"JupyterLab {name.capitalize()}"})

    def open(self, page: Page, notebook: str) -> None:
        """Open a notebook as it was saved, and wait until its kernel is ready.

        JupyterLab and the kernels stay open from one test to the next: to start them takes longer than most tests.
        """
        self.notebook = notebook
        if page.url.startswith(self.url):
            page.evaluate(CLOSE)
            page.evaluate(OPEN, notebook)
        else:
            page.goto(f"{self.url}/lab/tree/{notebook}?reset&token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context?.isReady", timeout=60_000)
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.ready")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000, state="attached")

    def ask_kernel(self, code: str) -> str:
        """Run code in the kernel of the notebook that was opened last, and return what it prints."""
        printed: list[str] = []
        reply = self._kernel().execute_interactive(
            code, timeout=60, store_history=False, output_hook=lambda message: printed.append(_text_of(message))
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed).strip()

    def _kernel(self) -> BlockingKernelClient:
        (kernel,) = (one["kernel"]["id"] for one in self.ask("sessions") if one["path"] == self.notebook)
        if kernel not in self._clients:
            client = self._clients[kernel] = BlockingKernelClient()
            client.load_connection_file(str(self.folder / "runtime" / f"kernel-{kernel}.json"))
            client.start_channels()
            client.wait_for_ready(timeout=30)
        return self._clients[kernel]

    def close_kernels(self) -> None:
        """Shut down every session."""
        for client in self._clients.values():
            client.stop_channels()
        self._clients.clear()
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")

    def ask(self, what: str, method: str = "GET") -> Any:
        """Send a request to the server's REST API."""
        request = urllib.request.Request(
            f"{self.url}/api/{what}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def run_cell(page: Page, notebook: str, cell_id: str) -> Locator:
    """Run one cell of the open notebook and return its outputs; an error in the cell fails the test."""
    cells = json.loads((NOTEBOOKS / notebook).read_text())["cells"]
    return run_cell_at(page, next(i for i, cell in enumerate(cells) if cell["id"] == cell_id))


def run_cell_at(page: Page, index: int) -> Locator:
    """Run the cell of this index as `run_cell` does."""
    page.evaluate(RUN, index)
    page.wait_for_function("() => window.ran", timeout=120_000)
    output = page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputWrapper")
    errors = output.locator(
        '[data-mime-type="application/vnd.jupyter.error"], .jp-RenderedText[data-mime-type*="error"]'
    )
    assert errors.count() == 0, errors.first.inner_text()
    return output


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Run JupyterLab on copies of the notebooks until the `with` block ends."""
    (folder / "root").mkdir()
    for notebook in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(notebook, folder / "root")
    _put(folder, ("notebook-extension", "tracker"), {"windowingMode": "none"})
    port = free_port()
    flags = ["--no-browser", "--allow-root", "--expose-app-in-browser",
             "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}", "--ServerApp.password=",
             f"--ServerApp.root_dir={folder / 'root'}"]  # fmt: skip
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "CUDA_VISIBLE_DEVICES": "",
                   "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython"),
                   "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
                   "JUPYTER_CONFIG_PATH": str(LAB_CONFIG), "JUPYTER_CONFIG_DIR": str(folder / "config"),
                   "OMP_WAIT_POLICY": "passive"}  # fmt: skip
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *flags], env=environment, stdout=log, stderr=log)
        try:
            lab = Lab(folder, f"http://127.0.0.1:{port}")
            wait_for(lab, server)
            yield lab
        finally:
            server.terminate()
            server.wait(20)


def wait_for(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        try:
            lab.ask("status")
        except OSError:
            assert server.poll() is None, lab.log()
            time.sleep(0.25)
        else:
            return
    raise AssertionError(f"JupyterLab did not answer within a minute:\n{lab.log()}")


def _put(folder: Path, name: tuple[str, str], value: dict[str, Any]) -> None:
    path = folder / "settings" / "@jupyterlab" / name[0] / f"{name[1]}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content["text"] if message["msg_type"] == "stream" and content["name"] == "stdout" else ""

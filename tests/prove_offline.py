"""Install and open the course without a network: `unshare -rn python tests/prove_offline.py WHEELS`.

In a network namespace without external access, this script installs a copy of this folder (without its .venv) from the
wheels of `make wheelhouse`, checks that JupyterLab serves the first notebook over loopback, and checks that notebook 01
reproduces the committed outputs. It prints the seconds of each step.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
START = "01_introduction.ipynb"  # in the folder that JupyterLab shows
SERVER = "http://127.0.0.1:8888"  # in a new network namespace every port is free
TOKEN = "classroom"
ELSEWHERE = ("192.0.2.1", 443)  # TEST-NET-1 (RFC 5737): never in use
TIME_LIMIT = 1200  # seconds for the set-up


def check_isolated() -> None:
    """Bring loopback up and check that no other machine can be reached."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    routes = Path("/proc/net/route").read_text(encoding="utf-8").splitlines()[1:]
    assert not routes, f"expected no routes to other machines, found {routes}"
    try:
        socket.create_connection(ELSEWHERE, timeout=1)
    except OSError as error:
        print(f"no network: {error}", flush=True)
        return
    sys.exit("expected no network, found a connection: run this script with unshare -rn")


def copy_course(folder: Path) -> None:
    """Copy the files that git tracks or would add, and no installed files."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


@contextmanager
def lab(folder: Path, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `make lab` in the folder; stop it at the end of the block."""
    flags = f"LAB_FLAGS=--no-browser --IdentityProvider.token={TOKEN}"
    process = subprocess.Popen(["make", "lab", flags, *arguments], cwd=folder, start_new_session=True)
    try:
        yield process
        fetch("api/shutdown", method="POST")
        process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)


def fetch(path: str, method: str = "GET") -> str:
    """The body of the server's response."""
    request = urllib.request.Request(f"{SERVER}/{path}", headers={"Authorization": f"token {TOKEN}"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait until JupyterLab answers."""
    end = time.monotonic() + TIME_LIMIT
    while time.monotonic() < end:
        assert process.poll() is None, f"make lab exited with status {process.returncode}"
        try:
            fetch("api/status")
            return
        except urllib.error.URLError:
            time.sleep(0.2)
    sys.exit(f"JupyterLab did not answer within {TIME_LIMIT} s")


def main() -> None:
    """Run every step and print its seconds."""
    wheels = Path(sys.argv[1]).resolve()
    check_isolated()
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()

        def report(what: str) -> None:
            print(f"{time.monotonic() - start:7.1f} s  {what}", flush=True)

        copy_course(folder)
        offline = ["OFFLINE=1", f"WHEELHOUSE={wheels}"]
        subprocess.run(["make", "install", *offline], cwd=folder, check=True)
        report(f"installed from {sum(file.stat().st_size for file in wheels.glob('*.whl')) / 1e6:.0f} MB of wheels")
        with lab(folder, offline) as process:
            wait_for(process)
            report("JupyterLab answers")
            assert "jupyter-config-data" in fetch(f"lab/tree/{START}")
            cells = json.loads(fetch(f"api/contents/{START}"))["content"]["cells"]
            report(f"JupyterLab serves {START}: {len(cells)} cells")
        subprocess.run(["make", "test-notebook", "NB=01", *offline], cwd=folder, check=True)
        report("notebook 01 reproduces the committed outputs")


if __name__ == "__main__":
    main()

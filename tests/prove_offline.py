"""Set up and open the course without a network: `unshare -rn python tests/prove_offline.py WHEELS`.

Run where there is no way out: a copy of this folder, without its .venv, is set up from the wheels of `make wheelhouse`,
JupyterLab hands out the first notebook over loopback, and notebook 01 gives the outputs that are committed. Prints what
each step took.
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
SERVER = "http://127.0.0.1:8888"  # a namespace of one's own has every port free
TOKEN = "room"
ELSEWHERE = ("192.0.2.1", 443)  # TEST-NET-1 (RFC 5737): never in use
PATIENCE = 1200  # seconds for the set-up


def be_alone() -> None:
    """Loopback up, and no way to anywhere else."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    routes = Path("/proc/net/route").read_text(encoding="utf-8").splitlines()[1:]
    assert not routes, f"there is a way out of here: {routes}"
    try:
        socket.create_connection(ELSEWHERE, timeout=1)
    except OSError as error:
        print(f"no network: {error}", flush=True)
        return
    sys.exit("this machine's network is reached: start it as unshare -rn ...")


def copy_course(folder: Path) -> None:
    """What git has or would take, and nothing that a set-up has left."""
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
    """A page or an answer of the server."""
    request = urllib.request.Request(f"{SERVER}/{path}", headers={"Authorization": f"token {TOKEN}"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def wait_for(process: subprocess.Popen[bytes]) -> None:
    """Until JupyterLab answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"make lab ended with {process.returncode}"
        try:
            fetch("api/status")
            return
        except urllib.error.URLError:
            time.sleep(0.2)
    sys.exit(f"no JupyterLab after {PATIENCE} s")


def main() -> None:
    """Every step, with its seconds."""
    wheels = Path(sys.argv[1]).resolve()
    be_alone()
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name), time.monotonic()

        def tell(what: str) -> None:
            print(f"{time.monotonic() - start:7.1f} s  {what}", flush=True)

        copy_course(folder)
        offline = ["OFFLINE=1", f"WHEELHOUSE={wheels}"]
        subprocess.run(["make", "install", *offline], cwd=folder, check=True)
        tell(f"set up from {sum(file.stat().st_size for file in wheels.glob('*.whl')) / 1e6:.0f} MB of wheels")
        with lab(folder, offline) as process:
            wait_for(process)
            tell("JupyterLab answers")
            assert "jupyter-config-data" in fetch(f"lab/tree/{START}")
            cells = json.loads(fetch(f"api/contents/{START}"))["content"]["cells"]
            tell(f"and hands out {START}: {len(cells)} cells")
        subprocess.run(["make", "test-notebook", "NB=01", *offline], cwd=folder, check=True)
        tell("notebook 01 gives the outputs that are committed")


if __name__ == "__main__":
    main()

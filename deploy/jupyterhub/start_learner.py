"""Start a learner's server as the learner: make the home private, copy missing notebooks, then run the server.

Kernels listen on Unix sockets. With TCP ports, which kernels choose before they bind them, kernels that start in the
same minute can choose the same port, and one of them fails with "Address already in use".

The hub runs this script in place of `jupyterhub-singleuser`, with the same arguments. It never runs as root, so a
symbolic link in place of a notebook gives access only to what the learner can access anyway.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

ON_FILES = "--KernelManager.transport=ipc"
LONGEST_SOCKET = 103  # bytes: the longest socket path that every system accepts
IN_A_FOLDER = len("/kernel-01234567-89ab-cdef-0123-456789abcdef-ipc-1")


def close(home: Path) -> None:
    """Make the home directory private; leave a volume with a different owner unchanged."""
    if home.stat().st_uid == os.getuid():
        home.chmod(0o700)


def hand_out(handout: Path, notebooks: Path) -> None:
    """Copy missing notebooks; never overwrite existing ones, which contain a learner's work.

    Args:
        handout: the folder with the notebooks to give out.
        notebooks: the learner's folder; it is created if missing.

    Raises:
        SystemExit: there are no notebooks to give out.
    """
    sources = sorted(handout.glob("*.ipynb"))
    if not sources:
        sys.exit(f"DPO_TEACH_HANDOUT: expected a folder with notebooks, found none in {handout}. Run `make handout`.")
    notebooks.mkdir(exist_ok=True)
    for source in sources:
        target = notebooks / source.name
        if not target.exists():
            part = target.with_suffix(".part")  # an interrupted start must not leave half a notebook
            shutil.copyfile(source, part)
            part.replace(target)


def folder_of_sockets(home: Path) -> Path:
    """A private folder for the kernels' sockets: in the home, or elsewhere if the home's path is too long."""
    folder = home / ".run"
    if len(os.fsencode(folder)) + IN_A_FOLDER > LONGEST_SOCKET:
        return Path(tempfile.mkdtemp(prefix="jupyter-"))
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def main() -> None:
    """Prepare the home directory, then replace this process with the server."""
    home = Path.home()
    close(home)
    hand_out(Path(os.environ["DPO_TEACH_HANDOUT"]), home / "notebooks")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder_of_sockets(home))
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", ON_FILES, *sys.argv[1:]])


if __name__ == "__main__":
    main()

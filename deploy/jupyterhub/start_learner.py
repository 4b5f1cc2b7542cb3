"""Starts a learner's server, as the learner: closes the home, lays out notebooks that are missing, and becomes it.

Its kernels listen on sockets that are files. On ports, thirty that start in the same minute take each other's, which
are chosen before they are taken: "Address already in use", and no kernel.

The hub runs it in place of `jupyterhub-singleuser`, with the same arguments. It never runs as root: a link that
somebody has put where a notebook belongs leads no further than their own rights.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

ON_FILES = "--KernelManager.transport=ipc"
LONGEST_SOCKET = 103  # bytes of a path that every system takes
IN_A_FOLDER = len("/kernel-01234567-89ab-cdef-0123-456789abcdef-ipc-1")


def close(home: Path) -> None:
    """Let nobody else into the home; a volume that another owner mounted is left as it is."""
    if home.stat().st_uid == os.getuid():
        home.chmod(0o700)


def hand_out(handout: Path, notebooks: Path) -> None:
    """Copy the notebooks that are not there yet; what is there is somebody's work, and stays.

    Args:
        handout: the folder of those to give out.
        notebooks: the learner's own, made if there is none.

    Raises:
        SystemExit: there is nothing to give out.
    """
    sources = sorted(handout.glob("*.ipynb"))
    if not sources:
        sys.exit(f"No notebooks to give out in {handout}, which DPO_TEACH_HANDOUT names: `make handout` writes them.")
    notebooks.mkdir(exist_ok=True)
    for source in sources:
        target = notebooks / source.name
        if not target.exists():
            part = target.with_suffix(".part")  # a start that is cut short leaves no half of a notebook
            shutil.copyfile(source, part)
            part.replace(target)


def folder_of_sockets(home: Path) -> Path:
    """Where the sockets of kernels lie, closed to others: in the home, or elsewhere if the home's path is too long."""
    folder = home / ".run"
    if len(os.fsencode(folder)) + IN_A_FOLDER > LONGEST_SOCKET:
        return Path(tempfile.mkdtemp(prefix="jupyter-"))
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def main() -> None:
    """Prepare the home, then become the server."""
    home = Path.home()
    close(home)
    hand_out(Path(os.environ["DPO_TEACH_HANDOUT"]), home / "notebooks")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder_of_sockets(home))
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", ON_FILES, *sys.argv[1:]])


if __name__ == "__main__":
    main()

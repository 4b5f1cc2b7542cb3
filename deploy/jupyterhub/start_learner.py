"""Starts a learner's server, as the learner: closes the home, lays out notebooks that are missing, and becomes it.

The hub runs it in place of `jupyterhub-singleuser`, with the same arguments. It never runs as root: a link that
somebody has put where a notebook belongs leads no further than their own rights.
"""

import os
import shutil
import sys
from pathlib import Path


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


def main() -> None:
    """Prepare the home, then become the server."""
    home = Path.home()
    close(home)
    hand_out(Path(os.environ["DPO_TEACH_HANDOUT"]), home / "notebooks")
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", *sys.argv[1:]])


if __name__ == "__main__":
    main()

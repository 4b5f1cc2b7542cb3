"""What every learner is given, whatever starts the servers.

jupyterhub_config.py loads it, rehearsal_config.py too, and The Littlest JupyterHub from its jupyterhub_config.d. Who
may log in, and where the hub listens, is said there and not here. Two environment variables of the hub say what lies
elsewhere: DPO_TEACH_HANDOUT, the folder of notebooks to give out; DPO_TEACH_REVEAL, the file that opens solutions.
"""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821 -- JupyterHub gives it to this file

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PROGRAMS = ROOT / ".venv" / "bin"  # one environment for all: theirs to read and root's to change
HANDOUT = Path(os.environ.get("DPO_TEACH_HANDOUT", ROOT / "build" / "handout"))
REVEAL = os.environ.get("DPO_TEACH_REVEAL", "/srv/dpo_teach/solutions")

if not any(HANDOUT.glob("*.ipynb")):
    sys.exit(f"No notebooks to give out in {HANDOUT}: `make handout` writes them, DPO_TEACH_HANDOUT names the folder.")

c.Spawner.cmd = [str(PROGRAMS / "python"), str(FOLDER / "start_learner.py")]
c.Spawner.default_url = "/lab/tree/notebooks/01_introduction.ipynb"

# A class room has no network: JupyterLab neither fetches its news, nor asks whether it may, nor asks for a newer
# version of itself. (JUPYTER_CONFIG_PATH, below, leads to the file that answers the question beforehand.)
c.Spawner.args = [
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
]

c.Spawner.environment = {
    "PATH": f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
    "JUPYTER_CONFIG_PATH": str(ROOT / "deploy" / "jupyterlab"),
    "JUPYTER_PREFER_ENV_PATH": "1",  # its own kernel before any that a learner has installed
    "DPO_TEACH_HANDOUT": str(HANDOUT),
    "DPO_TEACH_REVEAL": REVEAL,
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Thirty kernels on eight cores: one thread for each, which waits without spinning.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}

# Everybody presses the button in the same minute, and each server takes seconds of a core.
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180

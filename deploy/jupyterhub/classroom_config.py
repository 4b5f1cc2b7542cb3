"""The settings of every learner's server, whichever hub starts it.

jupyterhub_config.py and rehearsal_config.py load this file; The Littlest JupyterHub loads it from its
jupyterhub_config.d. Those configurations decide who may log in and where the hub listens. Two environment variables
of the hub override paths: DPO_TEACH_HANDOUT is the folder of notebooks to give out, and DPO_TEACH_REVEAL is the file
that switches solutions on.
"""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821 -- JupyterHub defines it for this file

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PROGRAMS = ROOT / ".venv" / "bin"  # one environment for all: learners can read it, only root can change it
HANDOUT = Path(os.environ.get("DPO_TEACH_HANDOUT", ROOT / "build" / "handout"))
REVEAL = os.environ.get("DPO_TEACH_REVEAL", "/srv/dpo_teach/solutions")

if not any(HANDOUT.glob("*.ipynb")):
    sys.exit(f"DPO_TEACH_HANDOUT: expected a folder with notebooks, found none in {HANDOUT}. Run `make handout`.")

c.Spawner.cmd = [str(PROGRAMS / "python"), str(FOLDER / "start_learner.py")]
c.Spawner.default_url = "/lab/tree/notebooks/01_introduction.ipynb"

# A classroom may have no network: JupyterLab must not fetch news, ask for permission to fetch news, or look for a newer
# version. (JUPYTER_CONFIG_PATH, below, points to the file that answers the question in advance.)
c.Spawner.args = [
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
]

c.Spawner.environment = {
    "PATH": f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
    "JUPYTER_CONFIG_PATH": str(ROOT / "deploy" / "jupyterlab"),
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel takes precedence over any that a learner has installed
    "DPO_TEACH_HANDOUT": str(HANDOUT),
    "DPO_TEACH_REVEAL": REVEAL,
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Thirty kernels share eight cores: one thread for each, which waits without spinning.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}

# All learners start their servers in the same minute, and each start takes seconds of processor time.
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180

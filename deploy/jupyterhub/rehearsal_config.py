"""A hub for `make bench-classroom` and for tests, not for a class: all learners are the same user of the machine.

One password opens all accounts, and servers are not protected from each other. The hub therefore listens only on this
machine, and starts only if DPO_TEACH_REHEARSAL is set to an empty folder, DPO_TEACH_REHEARSAL_PASSWORD to a password
of at least eight characters, and DPO_TEACH_REHEARSAL_LEARNERS to the number of learners.
"""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821 -- JupyterHub defines both for this file

try:
    FOLDER = Path(os.environ["DPO_TEACH_REHEARSAL"]).resolve(strict=True)
    PASSWORD = os.environ["DPO_TEACH_REHEARSAL_PASSWORD"]
    LEARNERS = int(os.environ["DPO_TEACH_REHEARSAL_LEARNERS"])
except (KeyError, OSError, ValueError) as error:
    sys.exit(f"rehearsal_config.py is for tests, not for a class ({error}). For a class, use jupyterhub_config.py.")

# A relative path would be resolved where the hub was started, and a missing file would be ignored.
COMMON = Path(__file__).resolve().with_name("classroom_config.py").resolve(strict=True)
load_subconfig(str(COMMON))  # noqa: F821

c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = PASSWORD
c.Authenticator.allowed_users = {f"learner{number}" for number in range(1, LEARNERS + 1)}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = f"{FOLDER}/homes/{{username}}"
c.Spawner.args += ["--LabApp.expose_app_in_browser=True", *(["--allow-root"] if os.geteuid() == 0 else [])]

"""JupyterHub for a class, on a dedicated Debian machine: `jupyterhub -f jupyterhub_config.py`, as root.

Learners and teachers are users of the machine, in the groups `learners` and `teachers`, and log in with their
passwords (PAM). Each server runs as its own user, so the operating system keeps learners' files and kernels separate.
README.md in this folder describes the setup.
"""

import sys
from pathlib import Path

c = get_config()  # noqa: F821 -- JupyterHub defines both for this file
# A relative path would be resolved where the hub was started, and a missing file would be ignored.
COMMON = Path(__file__).resolve().with_name("classroom_config.py").resolve(strict=True)
load_subconfig(str(COMMON))  # noqa: F821

# A web server in front provides TLS. Without it, passwords would cross the network in clear text.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# Who may log in. Teachers start, stop and open servers at /hub/admin.
c.JupyterHub.authenticator_class = "pam"
c.LocalAuthenticator.allowed_groups = {"learners", "teachers"}
c.PAMAuthenticator.admin_groups = {"teachers"}

# This spawner limits neither memory nor processors (README.md names one that does), so limit the number of servers.
c.JupyterHub.spawner_class = "localprocess"
c.JupyterHub.active_server_limit = 40

# Stops a server and its kernels after two hours without use. Notebooks are kept.
c.JupyterHub.services = [
    {
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=7200", "--cull-every=300"],
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    }
]

"""JupyterHub for a class, on a Debian machine of its own: `jupyterhub -f jupyterhub_config.py`, as root.

Learners and teachers are users of the machine, in the groups `learners` and `teachers`, and log in with their
passwords there (PAM). Each server runs as its own user, so that the machine itself keeps their files and kernels apart.
README.md, beside this file, says how to set it up.
"""

import sys
from pathlib import Path

c = get_config()  # noqa: F821 -- JupyterHub gives both to this file
# By its whole path: a bare name is sought where the hub was started, and a file that is not there is passed over.
COMMON = Path(__file__).resolve().with_name("classroom_config.py").resolve(strict=True)
load_subconfig(str(COMMON))  # noqa: F821

# Behind a web server that does TLS. Without one, passwords would cross the room in clear text.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# Who may come in. A teacher starts and stops servers, and can look into them, at /hub/admin.
c.JupyterHub.authenticator_class = "pam"
c.LocalAuthenticator.allowed_groups = {"learners", "teachers"}
c.PAMAuthenticator.admin_groups = {"teachers"}

# This spawner limits neither memory nor processors (README.md says what does): so only as many servers as there is
# room for.
c.JupyterHub.spawner_class = "localprocess"
c.JupyterHub.active_server_limit = 40

# A server that nobody has used for two hours is stopped, with its kernels. Its notebooks are kept.
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

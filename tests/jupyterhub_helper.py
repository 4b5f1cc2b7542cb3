"""Start a JupyterHub with its proxy on free ports of this machine, and send it learners' requests."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "deploy" / "jupyterhub"
PROXY = "configurable-http-proxy"


class Answer(NamedTuple):
    """A response: its HTTP status, which can be 3xx, and its JSON or None."""

    status: int
    body: Any


class Hub:
    """A running JupyterHub.

    Args:
        folder: contains the database and the log.
        url: the address of the proxy.
        process: the process of the hub.
    """

    def __init__(self, folder: Path, url: str, process: "subprocess.Popen[bytes]") -> None:
        self.folder, self.url, self.process = folder, url, process

    def log(self) -> str:
        """The combined log of hub, proxy and servers so far."""
        return (self.folder / "log").read_text(errors="replace")

    def ask(self, path: str, token: str = "", method: str = "GET", data: Any = None, seconds: float = 30) -> Answer:
        """Send a request through the proxy, such as `hub/api/users` or `user/ada/api/contents`; follow no redirects."""
        headers = {"Authorization": f"token {token}"} if token else {}
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{self.url}/{path}", body, headers, method=method)
        try:
            with _OPENER.open(request, timeout=seconds) as answer:
                return Answer(answer.status, _json(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _json(error.read()))

    def submit_login_form(self, name: str, password: str) -> int:
        """Submit the login page's form and return the status: 302 if accepted, 403 if not."""
        cookies = CookieJar()
        browser = urllib.request.build_opener(*_HANDLERS, urllib.request.HTTPCookieProcessor(cookies))
        with browser.open(f"{self.url}/hub/login", timeout=30):
            (ours,) = (cookie.value or "" for cookie in cookies if cookie.name == "_xsrf")
        form = urllib.parse.urlencode({"username": name, "password": password, "_xsrf": ours})
        try:
            with browser.open(f"{self.url}/hub/login", form.encode(), timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def log_in(self, name: str, password: str) -> str:
        """Log in with the login page and return an API token for further requests."""
        status = self.submit_login_form(name, password)
        assert status == 302, f"login of {name}: expected status 302, found {status}\n{self.log()}"
        identity = {"auth": {"username": name, "password": password}}
        answer = self.ask(f"hub/api/users/{name}/tokens", method="POST", data=identity)
        assert answer.status == 201, f"token of {name}: expected status 201, found {answer}\n{self.log()}"
        return str(answer.body["token"])

    def start_server(self, name: str, token: str, seconds: float = 180) -> None:
        """Start the server of `name` and wait until it answers."""
        asked = self.ask(f"hub/api/users/{name}/server", token, "POST")
        assert asked.status in (201, 202), f"server of {name}: expected status 201 or 202, found {asked}\n{self.log()}"
        end = time.monotonic() + seconds
        while not (server := self._server(name, token))["ready"]:
            assert server["pending"] and time.monotonic() < end, f"the server of {name} did not start:\n{self.log()}"
            time.sleep(0.1)

    def _server(self, name: str, token: str) -> dict[str, Any]:
        servers: dict[str, dict[str, Any]] = self.ask(f"hub/api/users/{name}", token).body["servers"]
        return servers.get("", {"ready": False, "pending": None})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_HANDLERS = (_NoRedirect, urllib.request.ProxyHandler({}))
_OPENER = urllib.request.build_opener(*_HANDLERS)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def find_proxy() -> str | None:
    """The proxy's command: the original, which needs Node.js, or the Python version from the extra `hub`."""
    local = Path(sys.executable).parent / PROXY
    return shutil.which(PROXY) or (str(local) if local.exists() else None)


@contextmanager
def running_hub(
    config: str,
    folder: Path,
    *,
    proxy: str,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    wrap: Sequence[str] = (),
) -> Iterator[Hub]:
    """Run JupyterHub in a `with` block; stop it with proxy, servers and kernels at the end, or if this process dies.

    Args:
        config: a file in `deploy/jupyterhub/`.
        folder: for the database and the log.
        proxy: the proxy's command.
        flags: additional options for the hub.
        environment: additional variables for the hub; servers get only those in the config.
        wrap: a command that runs the hub's command.
    """
    public, private, control = _free_ports(3)
    command = [*_dying_with_us(), *wrap, sys.executable, "-m", "jupyterhub", "-f", str(CONFIGS / config),
               f"--JupyterHub.bind_url=http://127.0.0.1:{public}",
               f"--JupyterHub.hub_bind_url=http://127.0.0.1:{private}",
               f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{control}",
               f"--ConfigurableHTTPProxy.command={proxy}", *flags]  # fmt: skip
    variables = {**os.environ, **(environment or {})}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True)
        hub = Hub(folder, f"http://127.0.0.1:{public}", process)
        try:
            _wait_for(hub)
            yield hub
        finally:
            _stop(process)


def write_handout(folder: Path) -> None:
    """Write copies of the notebooks without outputs to a folder, using the command of `make handout`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    dry_run = ["make", "-n", "-o", "install", "handout"]
    shown = subprocess.run(dry_run, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    command = shown.stdout.replace("\\\n", " ").splitlines()[-1]
    assert "build/handout" in command
    subprocess.run(command.replace("build/handout", shlex.quote(str(folder))), shell=True, cwd=ROOT, check=True)


def _wait_for(hub: Hub) -> None:
    for _ in range(600):
        try:
            if hub.ask("hub/api/").status == 200:
                return
        except OSError:
            pass
        assert hub.process.poll() is None, f"JupyterHub did not start:\n{hub.log()}"
        time.sleep(0.1)
    raise AssertionError(f"JupyterHub did not answer within a minute:\n{hub.log()}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Terminate the hub, which stops its servers and its proxy; kill the children that are left."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
    _, left = psutil.wait_procs(family, timeout=5)
    for one in left:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def _dying_with_us() -> list[str]:
    """On Linux, a command that stops the hub with all its servers when this process is killed."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()

"""A running server for a class: each learner has their own notebooks and cannot access another learner's work.

As root, the tests run the hub for a class; its learners are users of this machine, created for the tests and removed
afterwards. Otherwise they run the rehearsal hub, in which all learners are one user, and skip the tests of files.
"""

import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from jupyterhub_helper import Hub, find_proxy, running_hub, write_handout

from dpo_teach.exercises.exercise import solutions_are_shown

ROOT = Path(__file__).parents[2]
FIRST = "01_introduction.ipynb"


@dataclass
class Classroom:
    """A hub with two running servers: the learners' names and tokens, and users that only root can create."""

    hub: Hub
    names: tuple[str, str]
    tokens: tuple[str, str]
    reveal: Path
    handout: Path
    password: str
    teacher: str = ""
    stranger: str = ""

    def server_of(self, name: str) -> psutil.Process:
        children = psutil.Process(self.hub.process.pid).children()
        (server,) = (one for one in children if one.environ().get("JUPYTERHUB_USER") == name)
        return server


@pytest.fixture(scope="module")
def classroom() -> Iterator[Classroom]:
    pytest.importorskip("jupyterhub", reason="JupyterHub is not installed: install the extra `hub`")
    if find_proxy() is None:
        pytest.skip("configurable-http-proxy is not installed: install the extra `hub`")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="classroom-")))
        folder.chmod(0o755)  # learners must be able to read the handout in it
        write_handout(folder / "handout")
        start = _class if os.geteuid() == 0 else _rehearsal
        yield stack.enter_context(start(folder))


@contextmanager
def _class(folder: Path) -> Iterator[Classroom]:
    """jupyterhub_config.py with real users: two learners, a teacher, and a user in neither group."""
    password, tag = secrets.token_hex(12), secrets.token_hex(3)
    ada, bob, teacher, stranger = (f"dpo-{tag}-{who}" for who in ("ada", "bob", "teacher", "stranger"))
    learners, teachers = f"dpo-{tag}-l", f"dpo-{tag}-t"
    flags = [f"--LocalAuthenticator.allowed_groups={group}" for group in (learners, teachers)]
    flags.append(f"--PAMAuthenticator.admin_groups={teachers}")
    (folder / "homes").mkdir()
    with ExitStack() as people:
        for group in (learners, teachers):
            _do("groupadd", group)
            people.callback(_do, "groupdel", group)
        for name, group in {ada: learners, bob: learners, teacher: teachers, stranger: "nogroup"}.items():
            _do("useradd", "--create-home", "--home-dir", str(folder / "homes" / name), "--groups", group, name)
            people.callback(_do, "userdel", "--force", name)
            _do("chpasswd", text=f"{name}:{password}")
        environment = {"DPO_TEACH_HANDOUT": str(folder / "handout"), "DPO_TEACH_REVEAL": str(folder / "solutions")}
        view = _view_for_others(folder)
        with running_hub("jupyterhub_config.py", folder, proxy=find_proxy() or "", flags=flags,
                         environment=environment, wrap=view) as hub:  # fmt: skip
            yield _begin(hub, (ada, bob), password, folder, teacher=teacher, stranger=stranger)


@contextmanager
def _rehearsal(folder: Path) -> Iterator[Classroom]:
    password = secrets.token_hex(12)
    environment = {
        "DPO_TEACH_REHEARSAL": str(folder),
        "DPO_TEACH_REHEARSAL_PASSWORD": password,
        "DPO_TEACH_REHEARSAL_LEARNERS": "2",
        "DPO_TEACH_HANDOUT": str(folder / "handout"),
        "DPO_TEACH_REVEAL": str(folder / "solutions"),
    }
    with running_hub("rehearsal_config.py", folder, proxy=find_proxy() or "", environment=environment) as hub:
        yield _begin(hub, ("learner1", "learner2"), password, folder)


def _begin(hub: Hub, names: tuple[str, str], password: str, folder: Path, **others: str) -> Classroom:
    """Both learners log in and start their servers at the same time."""
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda name: hub.log_in(name, password), names)
        list(pool.map(hub.start_server, names, (one, two)))
    return Classroom(hub, names, (one, two), folder / "solutions", folder / "handout", password, **others)


def _do(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


# If the interpreter is in a private folder, such as root's home, the hub and its servers run in a mount namespace in
# which that folder is readable and contains only what they need.
VIEW = """
closed=$1 keep=$2 count=$3; shift 3
for i in $(seq "$count"); do mkdir -p "$keep/$i"; mount --bind "${!i}" "$keep/$i"; done
mount -t tmpfs -o mode=755 tmpfs "$closed"
for i in $(seq "$count"); do mkdir -p "${!i}"; mount --bind "$keep/$i" "${!i}"; done
shift "$count"
exec "$@"
"""


def _view_for_others(folder: Path) -> list[str]:
    needed = [Path(sys.base_prefix), Path(sys.prefix), ROOT.resolve()]
    closed = {above for path in needed for above in (path, *path.parents) if not above.stat().st_mode & stat.S_IXOTH}
    if not closed:
        return []
    outermost = min(closed, key=lambda path: len(path.parts))
    within = [str(path) for path in needed if outermost in path.parents]
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if len({outermost} | closed) > 1 or tried.returncode != 0:
        pytest.skip(f"this Python is in {outermost}, which learners cannot access")
    (folder / "view").mkdir()
    view = [str(outermost), str(folder / "view"), str(len(within)), *within]
    return ["unshare", "--mount", "bash", "-ec", VIEW, "view", *view]


def as_learner(name: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with the rights of a learner."""
    return subprocess.run(["runuser", "-u", name, "--", *command], capture_output=True, text=True, check=False)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create the users whose files must be isolated")


@pytest.mark.slow
def test_a_learner_gets_the_notebooks_without_outputs(classroom: Classroom) -> None:
    (name, _), (token, _) = classroom.names, classroom.tokens
    listed = classroom.hub.ask(f"user/{name}/api/contents/notebooks", token)
    assert sorted(each["name"] for each in listed.body["content"]) == sorted(
        path.name for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    first = classroom.hub.ask(f"user/{name}/api/contents/notebooks/{FIRST}", token)
    assert not any(cell.get("outputs") for cell in first.body["content"]["cells"])
    assert "A solution" in (ROOT / "notebooks" / FIRST).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["contents", f"contents/notebooks/{FIRST}", "kernels", "sessions", "terminals"])
def test_a_server_accepts_only_its_owners_token(classroom: Classroom, what: str) -> None:
    (_, other), (mine, theirs) = classroom.names, classroom.tokens
    path = f"user/{other}/api/{what}"
    assert classroom.hub.ask(path, theirs).status == 200
    assert classroom.hub.ask(path, mine).status in (403, 404)
    assert classroom.hub.ask(path).status in (302, 403)
    assert classroom.hub.ask(path, "no-such-token").status in (302, 403)


@pytest.mark.slow
def test_a_learner_cannot_start_kernels_or_write_files_on_anothers_server(classroom: Classroom) -> None:
    (_, other), (mine, theirs) = classroom.names, classroom.tokens
    for token in (mine, ""):
        assert classroom.hub.ask(f"user/{other}/api/kernels", token, "POST", {}).status in (302, 403, 404)
        overwritten = {"type": "file", "format": "text", "content": "mine now"}
        at = f"user/{other}/api/contents/notebooks/{FIRST}"
        assert classroom.hub.ask(at, token, "PUT", overwritten).status in (302, 403, 404)
    assert classroom.hub.ask(f"user/{other}/api/kernels", theirs).body == []
    assert classroom.hub.ask(at, theirs).body["type"] == "notebook"


@pytest.mark.slow
def test_kernels_listen_on_unix_sockets(classroom: Classroom) -> None:
    """Kernels choose TCP ports before binding them, so kernels that start together could choose the same port."""
    (name, _), (token, _) = classroom.names, classroom.tokens
    kernel = classroom.hub.ask(f"user/{name}/api/kernels", token, "POST", {}).body
    folder = Path(classroom.server_of(name).environ()["JUPYTER_RUNTIME_DIR"])
    sockets = {str(folder / f"kernel-{kernel['id']}-ipc-{number}") for number in range(1, 6)}
    try:
        (process,) = classroom.server_of(name).children()
        end = time.monotonic() + 60
        while not sockets <= {one.laddr for one in process.net_connections("unix")} and time.monotonic() < end:
            time.sleep(0.1)
        assert sockets <= {one.laddr for one in process.net_connections("unix")}
    finally:
        assert classroom.hub.ask(f"user/{name}/api/kernels/{kernel['id']}", token, "DELETE").status == 204


@pytest.mark.slow
def test_a_learner_has_no_admin_rights(classroom: Classroom) -> None:
    (_, other), (mine, _) = classroom.names, classroom.tokens
    asked = [("GET", "users"), ("GET", f"users/{other}"), ("POST", "users/eve"), ("DELETE", f"users/{other}"),
             ("DELETE", f"users/{other}/server"), ("POST", f"users/{other}/tokens"), ("GET", "proxy"),
             ("POST", "shutdown")]  # fmt: skip
    for method, path in asked:
        data = {} if method == "POST" else None
        assert classroom.hub.ask(f"hub/api/{path}", mine, method, data).status in (403, 404), path
    assert classroom.server_of(other).is_running()


@pytest.mark.slow
def test_jupyterlab_fetches_no_news_and_no_updates(classroom: Classroom) -> None:
    (name, _), (token, _) = classroom.names, classroom.tokens
    assert classroom.hub.ask(f"user/{name}/lab/api/news", token) == (200, {"news": []})
    assert classroom.hub.ask(f"user/{name}/lab/api/update", token) == (200, {"notification": None})


@pytest.mark.slow
def test_solutions_are_off_until_the_teacher_writes_on(classroom: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in classroom.names:
        path = classroom.server_of(name).environ()["DPO_TEACH_REVEAL"]
        assert Path(path) == classroom.reveal
    monkeypatch.setenv("DPO_TEACH_REVEAL", path)
    assert not solutions_are_shown()
    classroom.reveal.write_text("on")
    try:
        assert solutions_are_shown()
    finally:
        classroom.reveal.unlink()


@needs_root
@pytest.mark.slow
def test_each_server_runs_as_its_own_user(classroom: Classroom) -> None:
    for name in classroom.names:
        numbers = classroom.server_of(name).uids()
        assert set(numbers) == {pwd.getpwnam(name).pw_uid}
        assert 0 not in numbers


@needs_root
@pytest.mark.slow
def test_a_learner_cannot_read_anothers_files_from_their_own_server(classroom: Classroom) -> None:
    (name, other), (mine, _) = classroom.names, classroom.tokens
    homes = classroom.handout.parent / "homes"
    for link, target in {"theirs": homes / other / "notebooks" / FIRST, "given": classroom.handout / FIRST}.items():
        assert as_learner(name, "ln", "-s", str(target), str(homes / name / f"{link}.ipynb")).returncode == 0
    assert classroom.hub.ask(f"user/{name}/api/contents/given.ipynb", mine).status == 200
    assert classroom.hub.ask(f"user/{name}/api/contents/theirs.ipynb", mine).status != 200
    assert as_learner(other, "cat", str(homes / other / "notebooks" / FIRST)).returncode == 0
    assert "Permission denied" in as_learner(name, "ls", str(homes / other)).stderr


@needs_root
@pytest.mark.slow
def test_shared_folders_are_readable_but_not_writable(classroom: Classroom) -> None:
    name = classroom.names[0]
    for folder in (ROOT / "dpo_teach", Path(sys.prefix) / "bin", classroom.handout, classroom.reveal.parent):
        if as_learner(name, "test", "-x", str(folder)).returncode == 0:
            assert as_learner(name, "test", "-w", str(folder)).returncode == 1, folder
    assert as_learner(name, "test", "-r", str(classroom.handout / FIRST)).returncode == 0


@needs_root
@pytest.mark.slow
def test_only_the_two_groups_can_log_in_and_teachers_are_admins(classroom: Classroom) -> None:
    assert classroom.hub.submit_login_form(classroom.stranger, classroom.password) == 403
    token = classroom.hub.log_in(classroom.teacher, classroom.password)
    listed = classroom.hub.ask("hub/api/users", token)
    assert set(classroom.names) <= {user["name"] for user in listed.body}


def test_the_proxy_can_be_executed_if_one_is_found() -> None:
    proxy = find_proxy()
    assert proxy is None or shutil.which(proxy)

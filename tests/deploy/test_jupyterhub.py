"""A server for a class, as text: what a learner is given, and what the configurations say of it."""

import importlib.util
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub_helper import CONFIGS
from makefile import TARGETS
from packaging.requirements import Requirement
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

ROOT = Path(__file__).parents[2]
README = (CONFIGS / "README.md").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load((CONFIGS / "values.yaml").read_text(encoding="utf-8"))
ALL = ["classroom_config.py", "jupyterhub_config.py", "rehearsal_config.py"]
REHEARSAL = {"DPO_TEACH_REHEARSAL_PASSWORD": "long enough", "DPO_TEACH_REHEARSAL_LEARNERS": "2"}

# What a learner is given


def _start_learner() -> Any:
    spec = importlib.util.spec_from_file_location("start_learner", CONFIGS / "start_learner.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


start_learner = _start_learner()


@pytest.fixture
def handout(tmp_path: Path) -> Path:
    folder = tmp_path / "handout"
    folder.mkdir()
    (folder / "01_a.ipynb").write_text("given")
    (folder / "02_b.ipynb").write_text("given")
    (folder / "notes.txt").write_text("the teacher's")
    return folder


def test_a_learner_is_given_the_notebooks(handout: Path, tmp_path: Path) -> None:
    start_learner.hand_out(handout, tmp_path / "notebooks")
    assert {path.name: path.read_text() for path in (tmp_path / "notebooks").iterdir()} == {
        "01_a.ipynb": "given", "02_b.ipynb": "given",
    }  # fmt: skip


def test_a_second_start_brings_what_is_missing_and_overwrites_nothing(handout: Path, tmp_path: Path) -> None:
    mine = tmp_path / "notebooks"
    start_learner.hand_out(handout, mine)
    (mine / "01_a.ipynb").write_text("my work")
    (mine / "02_b.ipynb").unlink()
    (handout / "03_c.ipynb").write_text("new")
    start_learner.hand_out(handout, mine)
    assert [(mine / f"{name}.ipynb").read_text() for name in ("01_a", "02_b", "03_c")] == ["my work", "given", "new"]


def test_no_notebooks_to_give_out_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="DPO_TEACH_HANDOUT") as refused:
        start_learner.hand_out(tmp_path / "nowhere", tmp_path / "notebooks")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "notebooks").exists()


def test_the_home_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    start_learner.close(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_sockets_of_kernels_lie_in_the_home_and_are_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # so that the home has a short name, wherever pytest keeps its folders
    for _ in range(2):
        folder = start_learner.folder_of_sockets(Path())
        assert folder == Path(".run")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("length", "lies_in_the_home"), [(48, True), (49, False)])
def test_a_home_of_a_long_name_has_its_sockets_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, lies_in_the_home: bool
) -> None:
    """48 bytes of home, 5 of "/.run" and 50 of "/kernel-...-ipc-1" make the 103 that a socket's path may have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home = Path("h" * length)
    home.mkdir()
    folder = start_learner.folder_of_sockets(home)
    assert (home in folder.parents) == lies_in_the_home
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# What the configurations say


@pytest.fixture
def settings(tmp_path: Path, handout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which each of them can be read, from a folder that is none of theirs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPO_TEACH_HANDOUT", str(handout))
    monkeypatch.delenv("DPO_TEACH_REVEAL", raising=False)
    for name, value in {**REHEARSAL, "DPO_TEACH_REHEARSAL": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)


def read(name: str) -> Config:
    return PyFileConfigLoader(str(CONFIGS / name)).load_config()  # the path whole, as `jupyterhub -f` gives it


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ALL)
def test_every_configuration_gives_learners_the_same(name: str) -> None:
    common, this = read("classroom_config.py").Spawner, read(name).Spawner
    assert {key: this[key] for key in common if key != "args"} == {key: common[key] for key in common if key != "args"}
    assert this.args[: len(common.args)] == common.args
    assert common.environment["OMP_NUM_THREADS"] == "1"
    assert os.sep in common.environment["DPO_TEACH_REVEAL"], "a path: solutions are off until the teacher writes there"


@pytest.mark.usefixtures("settings")
def test_a_hub_asks_nobody_about_news() -> None:
    """The file that `make lab` uses; a browser test holds it against a real JupyterLab."""
    here = Path(read("classroom_config.py").Spawner.environment["JUPYTER_CONFIG_PATH"])
    assert (here / "labconfig" / "default_setting_overrides.json").is_file()
    there = Path(VALUES["singleuser"]["extraEnv"]["JUPYTER_CONFIG_PATH"])
    assert there.relative_to("/opt/dpo_teach") == here.relative_to(ROOT)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ALL)
def test_every_setting_is_one_that_jupyterhub_has(name: str) -> None:
    pytest.importorskip("jupyterhub", reason="JupyterHub is not installed: the extra `hub` brings it")
    from jupyterhub import app, auth, proxy, spawner
    from jupyterhub.authenticators import shared

    for section, given in read(name).items():
        (owner,) = {
            getattr(module, section) for module in (app, auth, proxy, spawner, shared) if hasattr(module, section)
        }
        assert set(given) <= set(owner.class_traits(config=True)), section


@pytest.mark.usefixtures("settings")
def test_solutions_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_REVEAL", "/somewhere/else")
    assert read("classroom_config.py").Spawner.environment["DPO_TEACH_REVEAL"] == "/somewhere/else"


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ALL)
def test_a_hub_without_notebooks_to_give_out_does_not_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_HANDOUT", "/nowhere")
    with pytest.raises(SystemExit, match="make handout") as refused:
        read(name)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("missing", [*REHEARSAL, "DPO_TEACH_REHEARSAL"])
def test_the_rehearsal_is_not_started_by_accident(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(SystemExit, match="not for a class") as refused:
        read("rehearsal_config.py")
    assert missing in str(refused.value)


@pytest.mark.usefixtures("settings")
def test_both_hubs_listen_on_this_machine_only() -> None:
    for name in ("jupyterhub_config.py", "rehearsal_config.py"):
        assert read(name).JupyterHub.bind_url.startswith("http://127.0.0.1:")


@pytest.mark.usefixtures("settings")
def test_the_culler_may_stop_servers_and_read_no_more_than_it_needs() -> None:
    (role,) = read("jupyterhub_config.py").JupyterHub.load_roles
    assert set(role["scopes"]) == {"list:users", "read:users:activity", "read:servers", "delete:servers"}
    assert role["services"] == [service["name"] for service in read("jupyterhub_config.py").JupyterHub.services]


# Zero to JupyterHub and The Littlest JupyterHub, as text. What they know is from values.schema.yaml of the chart, and
# from the pages "Configuring TLJH with tljh-config" and "Culling idle notebook servers".

CHART = {
    "hub.config.JupyterHub.authenticator_class", "singleuser.image.name", "singleuser.image.tag", "singleuser.cmd",
    "singleuser.defaultUrl", "singleuser.startTimeout", "singleuser.cpu.guarantee", "singleuser.cpu.limit",
    "singleuser.memory.guarantee", "singleuser.memory.limit", "singleuser.extraEnv", "singleuser.storage.capacity",
    "singleuser.storage.extraVolumes", "singleuser.storage.extraVolumeMounts", "cull.enabled", "cull.timeout",
    "cull.every",
}  # fmt: skip
LITTLEST = {"users.admin", "limits.memory", "limits.cpu", "services.cull.timeout", "user_environment.default_app"}


def keys(tree: Any, path: str = "") -> Iterator[str]:
    if isinstance(tree, dict) and path != "singleuser.extraEnv":
        for name, below in tree.items():
            yield from keys(below, f"{path}.{name}" if path else name)
    else:
        yield path


def test_every_value_is_one_that_the_chart_has() -> None:
    assert set(keys(VALUES)) == CHART


@pytest.mark.usefixtures("settings")
def test_on_kubernetes_a_learner_is_given_the_same() -> None:
    common, there = read("classroom_config.py").Spawner, VALUES["singleuser"]
    own = {"PATH", "DPO_TEACH_HANDOUT", "JUPYTER_CONFIG_PATH"}  # the image's own
    assert {key: value for key, value in common.environment.items() if key not in own} == {
        key: value for key, value in there["extraEnv"].items() if key not in own
    }
    assert there["defaultUrl"] == common.default_url
    assert [Path(part).name for part in there["cmd"]] == [Path(part).name for part in [*common.cmd, *common.args]]
    (mount,) = there["storage"]["extraVolumeMounts"]
    assert mount["readOnly"]
    assert Path(mount["mountPath"]) == Path(there["extraEnv"]["DPO_TEACH_REVEAL"]).parent


def test_every_command_of_the_littlest_hub_is_one_that_it_has() -> None:
    asked = re.findall(r"tljh-config (?:set|add-item) (\S+)", README)
    assert set(asked) == LITTLEST


def test_the_limits_are_the_same_everywhere() -> None:
    memory = VALUES["singleuser"]["memory"]["limit"]
    assert f"tljh-config set limits.memory {memory}" in README
    assert f"tljh-config set services.cull.timeout {VALUES['cull']['timeout']}" in README
    assert f"--timeout={VALUES['cull']['timeout']}" in (CONFIGS / "jupyterhub_config.py").read_text(encoding="utf-8")


def test_the_readme_names_what_is_there() -> None:
    for name in re.findall(r"`([\w]+\.(?:py|yaml))`", README):
        assert (CONFIGS / name).is_file(), name
    assert "bench-classroom" in README
    for target in re.findall(r"(?:^|`|sudo |&& |RUN )make ([a-z-]+)", README, re.MULTILINE):
        assert target in TARGETS
    assert {path.name for path in CONFIGS.iterdir() if path.is_file()} - {"README.md"} <= set(
        re.findall(r"`([\w]+\.(?:py|yaml))`", README)
    )


@pytest.mark.usefixtures("settings")
def test_the_web_server_in_front_passes_everything_to_the_hub() -> None:
    """Tried by hand, nginx 1.22 before a JupyterLab: without the line about Upgrade its kernel stays “connecting”."""
    url = read("jupyterhub_config.py").JupyterHub.bind_url
    nginx = re.findall(r"```nginx\n(.*?)```", README, re.DOTALL)[0]
    for line in (f"proxy_pass {url};", "proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;",
                 "proxy_set_header Connection $connection_upgrade;", "proxy_set_header Host $http_host;"):  # fmt: skip
        assert line in nginx
    assert f"reverse_proxy {url.removeprefix('http://')}" in README


def test_the_extra_brings_the_hub_and_its_culler() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {Requirement(line).name for line in project["optional-dependencies"]["hub"]}
    assert names == {"jupyterhub", "jupyterhub-idle-culler", "configurable-http-proxy"}

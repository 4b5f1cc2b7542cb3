"""The server for a class, without running it: what learners get, and what the configurations contain."""

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

# What learners get


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


def test_a_learner_gets_the_notebooks(handout: Path, tmp_path: Path) -> None:
    start_learner.hand_out(handout, tmp_path / "notebooks")
    assert {path.name: path.read_text() for path in (tmp_path / "notebooks").iterdir()} == {
        "01_a.ipynb": "given", "02_b.ipynb": "given",
    }  # fmt: skip


def test_a_second_start_adds_missing_notebooks_and_overwrites_nothing(handout: Path, tmp_path: Path) -> None:
    mine = tmp_path / "notebooks"
    start_learner.hand_out(handout, mine)
    (mine / "01_a.ipynb").write_text("my work")
    (mine / "02_b.ipynb").unlink()
    (handout / "03_c.ipynb").write_text("new")
    start_learner.hand_out(handout, mine)
    assert [(mine / f"{name}.ipynb").read_text() for name in ("01_a", "02_b", "03_c")] == ["my work", "given", "new"]


def test_a_missing_handout_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="DPO_TEACH_HANDOUT") as refused:
        start_learner.hand_out(tmp_path / "nowhere", tmp_path / "notebooks")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "notebooks").exists()


def test_the_home_directory_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    start_learner.close(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_kernel_sockets_are_in_a_private_folder_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # gives the home a short path, wherever pytest keeps its folders
    for _ in range(2):
        folder = start_learner.folder_of_sockets(Path())
        assert folder == Path(".run")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(("length", "in_the_home"), [(48, True), (49, False)])
def test_a_home_with_a_long_path_has_its_sockets_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, in_the_home: bool
) -> None:
    """48 bytes for the home, 5 for "/.run" and 50 for "/kernel-...-ipc-1" make 103, the limit of a socket's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home = Path("h" * length)
    home.mkdir()
    folder = start_learner.folder_of_sockets(home)
    assert (home in folder.parents) == in_the_home
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# What the configurations contain


@pytest.fixture
def settings(tmp_path: Path, handout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment variables with which every configuration loads, in an unrelated working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPO_TEACH_HANDOUT", str(handout))
    monkeypatch.delenv("DPO_TEACH_REVEAL", raising=False)
    for name, value in {**REHEARSAL, "DPO_TEACH_REHEARSAL": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)


def read(name: str) -> Config:
    return PyFileConfigLoader(str(CONFIGS / name)).load_config()  # an absolute path, as `jupyterhub -f` uses


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ALL)
def test_every_configuration_has_the_same_learner_settings(name: str) -> None:
    common, this = read("classroom_config.py").Spawner, read(name).Spawner
    assert {key: this[key] for key in common if key != "args"} == {key: common[key] for key in common if key != "args"}
    assert this.args[: len(common.args)] == common.args
    assert common.environment["OMP_NUM_THREADS"] == "1"
    assert os.sep in common.environment["DPO_TEACH_REVEAL"], (
        "expected a path: solutions are off until the teacher writes to it"
    )


@pytest.mark.usefixtures("settings")
def test_hubs_never_ask_learners_about_news() -> None:
    """The settings file is the one of `make lab`, which a browser test tries with a real JupyterLab."""
    here = Path(read("classroom_config.py").Spawner.environment["JUPYTER_CONFIG_PATH"])
    assert (here / "labconfig" / "default_setting_overrides.json").is_file()
    there = Path(VALUES["singleuser"]["extraEnv"]["JUPYTER_CONFIG_PATH"])
    assert there.relative_to("/opt/dpo_teach") == here.relative_to(ROOT)


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ALL)
def test_every_setting_exists_in_jupyterhub(name: str) -> None:
    pytest.importorskip("jupyterhub", reason="JupyterHub is not installed: install the extra `hub`")
    from jupyterhub import app, auth, proxy, spawner
    from jupyterhub.authenticators import shared

    for section, given in read(name).items():
        (owner,) = {
            getattr(module, section) for module in (app, auth, proxy, spawner, shared) if hasattr(module, section)
        }
        assert set(given) <= set(owner.class_traits(config=True)), section


@pytest.mark.usefixtures("settings")
def test_the_environment_can_change_the_path_of_the_solutions_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPO_TEACH_REVEAL", "/somewhere/else")
    assert read("classroom_config.py").Spawner.environment["DPO_TEACH_REVEAL"] == "/somewhere/else"


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ALL)
def test_a_hub_without_a_handout_does_not_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_culler_has_only_the_permissions_it_needs() -> None:
    (role,) = read("jupyterhub_config.py").JupyterHub.load_roles
    assert set(role["scopes"]) == {"list:users", "read:users:activity", "read:servers", "delete:servers"}
    assert role["services"] == [service["name"] for service in read("jupyterhub_config.py").JupyterHub.services]


# Zero to JupyterHub and The Littlest JupyterHub, without running them. The known options are from the chart's
# values.schema.yaml and from the pages "Configuring TLJH with tljh-config" and "Culling idle notebook servers".

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


def test_every_value_exists_in_the_chart() -> None:
    assert set(keys(VALUES)) == CHART


@pytest.mark.usefixtures("settings")
def test_kubernetes_has_the_same_learner_settings() -> None:
    common, there = read("classroom_config.py").Spawner, VALUES["singleuser"]
    own = {"PATH", "DPO_TEACH_HANDOUT", "JUPYTER_CONFIG_PATH"}  # differ in the image
    assert {key: value for key, value in common.environment.items() if key not in own} == {
        key: value for key, value in there["extraEnv"].items() if key not in own
    }
    assert there["defaultUrl"] == common.default_url
    assert [Path(part).name for part in there["cmd"]] == [Path(part).name for part in [*common.cmd, *common.args]]
    (mount,) = there["storage"]["extraVolumeMounts"]
    assert mount["readOnly"]
    assert Path(mount["mountPath"]) == Path(there["extraEnv"]["DPO_TEACH_REVEAL"]).parent


def test_every_tljh_setting_in_the_readme_is_known() -> None:
    asked = re.findall(r"tljh-config (?:set|add-item) (\S+)", README)
    assert set(asked) == LITTLEST


def test_limits_agree_across_configurations_and_readme() -> None:
    memory = VALUES["singleuser"]["memory"]["limit"]
    assert f"tljh-config set limits.memory {memory}" in README
    assert f"tljh-config set services.cull.timeout {VALUES['cull']['timeout']}" in README
    assert f"--timeout={VALUES['cull']['timeout']}" in (CONFIGS / "jupyterhub_config.py").read_text(encoding="utf-8")


def test_files_and_targets_named_in_the_readme_exist() -> None:
    for name in re.findall(r"`([\w]+\.(?:py|yaml))`", README):
        assert (CONFIGS / name).is_file(), name
    assert "bench-classroom" in README
    for target in re.findall(r"(?:^|`|sudo |&& |RUN )make ([a-z-]+)", README, re.MULTILINE):
        assert target in TARGETS
    assert {path.name for path in CONFIGS.iterdir() if path.is_file()} - {"README.md"} <= set(
        re.findall(r"`([\w]+\.(?:py|yaml))`", README)
    )


@pytest.mark.usefixtures("settings")
def test_the_web_server_configurations_pass_everything_to_the_hub() -> None:
    """Found by hand with nginx 1.22 and JupyterLab: without the Upgrade line the kernel stays “connecting”."""
    url = read("jupyterhub_config.py").JupyterHub.bind_url
    nginx = re.findall(r"```nginx\n(.*?)```", README, re.DOTALL)[0]
    for line in (f"proxy_pass {url};", "proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;",
                 "proxy_set_header Connection $connection_upgrade;", "proxy_set_header Host $http_host;"):  # fmt: skip
        assert line in nginx
    assert f"reverse_proxy {url.removeprefix('http://')}" in README


def test_the_hub_extra_contains_the_hub_its_culler_and_a_proxy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {Requirement(line).name for line in project["optional-dependencies"]["hub"]}
    assert names == {"jupyterhub", "jupyterhub-idle-culler", "configurable-http-proxy"}

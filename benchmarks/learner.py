"""A simulated learner for the load test, which uses JupyterLab's protocols, and the cost of its processes."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import deserialize_binary_message

from tests.jupyterhub_helper import Hub

PANEL = "from dpo_teach.widgets import BetaRoles\npanel = BetaRoles(beta=1.0)\npanel"
PACE = 0.26  # seconds between two moves of a slider by hand
CELL_LIMIT = 900  # seconds for one cell, which may train while all other learners train


class Learner:
    """A simulated learner that uses JupyterLab's protocols: HTTP to the server, a WebSocket to the kernel."""

    def __init__(self, web: aiohttp.ClientSession, hub: Hub, name: str, password: str) -> None:
        self.web, self.hub, self.name = web, hub, name
        self.headers = {"Authorization": f"token {hub.log_in(name, password)}"}
        self.session = Session()
        self.models = {"slider": "", "picture": ""}  # the ids of the panel's two widget models

    async def start(self) -> float:
        """Start the server and return the seconds until it answers."""
        began = time.perf_counter()
        await self._ask("POST", f"hub/api/users/{self.name}/server")
        while True:
            user = await self._ask("GET", f"hub/api/users/{self.name}")
            server = user["servers"].get("", {"ready": False, "pending": None})
            if server["ready"]:
                return time.perf_counter() - began
            if not server["pending"]:
                raise RuntimeError(f"the server of {self.name} did not start:\n{self.hub.log()[-3000:]}")
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Stop the server and wait until it has ended."""
        await self.socket.close()
        await self._ask("DELETE", f"hub/api/users/{self.name}/server")
        while (await self._ask("GET", f"hub/api/users/{self.name}"))["servers"]:
            await asyncio.sleep(0.2)

    async def run(self, notebook: Path) -> float:
        """Open a notebook and run all cells; return the seconds from opening it to the last output."""
        began = time.perf_counter()
        where = {"path": f"notebooks/{notebook.name}", "name": notebook.name, "type": "notebook"}
        opened = await self._ask("POST", f"user/{self.name}/api/sessions", {**where, "kernel": {"name": "python3"}})
        url = f"{self.hub.url}/user/{self.name}/api/kernels/{opened['kernel']['id']}/channels?session_id={uuid.uuid4()}"
        self.socket = await self.web.ws_connect(url, headers=self.headers, max_msg_size=0)
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                await self._execute("".join(cell["source"]))
        return time.perf_counter() - began

    async def open_panel(self) -> None:
        """Show the panel and store the ids of its slider and its picture."""
        for message in await self._execute(PANEL):
            if message["msg_type"] == "comm_open":
                state = message["content"]["data"]["state"]
                if state["_model_name"] == "FloatLogSliderModel":
                    self.models["slider"] = message["content"]["comm_id"]
                elif "words" in state:
                    self.models["picture"] = message["content"]["comm_id"]
        assert all(self.models.values()), f"panel: expected a slider and a picture, found {self.models}"

    async def move_slider(self, done: Callable[[], bool]) -> list[float]:
        """Move the slider back and forth until `done`; return milliseconds from each move to its new picture."""
        times = []
        while not done():
            began = time.perf_counter()
            value = 10 ** (0.05 * (1 + abs(len(times) % 20 - 10)))
            data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
            await self._send("comm_msg", {"comm_id": self.models["slider"], "data": data})
            while not self._is_picture(await self._receive()):
                pass
            times.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(max(0.0, PACE - (time.perf_counter() - began)))
        return times

    def processes(self) -> tuple[psutil.Process, list[psutil.Process]]:
        """The processes of the server and its kernels."""
        (server,) = (one for one in psutil.Process(self.hub.process.pid).children() if _learner(one) == self.name)
        return server, server.children(recursive=True)

    def work(self) -> float:
        """Processor seconds used by server and kernels so far."""
        server, kernels = self.processes()
        return sum(sum(one.cpu_times()[:2]) for one in (server, *kernels))

    def _is_picture(self, message: dict[str, Any]) -> bool:
        content = message["content"]
        return (
            message["msg_type"] == "comm_msg"
            and content["comm_id"] == self.models["picture"]
            and ["value"] in content["data"].get("buffer_paths", [])
        )

    async def _execute(self, code: str) -> list[dict[str, Any]]:
        """Run code in the kernel and return its messages until it is idle again; raise if the code raises."""
        asked = await self._send("execute_request", {"code": code, "silent": False, "stop_on_error": True})
        messages: list[dict[str, Any]] = []
        while True:
            message = await self._receive()
            messages.append(message)
            if message["msg_type"] == "error":
                raise RuntimeError(f"{self.name}: {message['content']['ename']}: {message['content']['evalue']}")
            ours = message["parent_header"].get("msg_id") == asked
            if ours and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return messages

    async def _send(self, kind: str, content: dict[str, Any]) -> str:
        message = {**self.session.msg(kind, content), "channel": "shell"}
        await self.socket.send_str(json.dumps(message, default=json_default))
        return str(message["header"]["msg_id"])

    async def _receive(self) -> dict[str, Any]:
        frame = await self.socket.receive(timeout=CELL_LIMIT)
        if frame.type is aiohttp.WSMsgType.BINARY:
            return dict(deserialize_binary_message(frame.data))
        if frame.type is aiohttp.WSMsgType.TEXT:
            return dict(json.loads(frame.data))
        raise RuntimeError(f"{self.name}: the kernel closed the connection ({frame.data!r})\n{self.hub.log()[-3000:]}")

    async def _ask(self, method: str, path: str, data: Any = None) -> Any:
        url = f"{self.hub.url}/{path}"
        async with self.web.request(method, url, json=data, headers=self.headers) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"{self.name}: {method} {path} returned {answer.status}: {await answer.text()}")
            return json.loads(await answer.text() or "null")


def memory_of(learner: Learner) -> tuple[float, float]:
    """Bytes of a learner's server and of its kernels."""
    server, kernels = learner.processes()
    return bytes_of(server), sum(map(bytes_of, kernels))


def hub_processes(hub: Hub) -> Iterator[psutil.Process]:
    """The processes of the hub and its proxy, without learners' servers."""
    process = psutil.Process(hub.process.pid)
    yield process
    yield from (one for one in process.children() if _learner(one) is None)


def _learner(process: psutil.Process) -> str | None:
    with suppress(psutil.NoSuchProcess):
        return process.environ().get("JUPYTERHUB_USER")
    return None


def bytes_of(process: psutil.Process) -> float:
    """PSS of a process, which divides shared memory among the processes that share it; 0 if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_full_info().pss)
    return 0.0

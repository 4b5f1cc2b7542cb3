"""Block every attempt to reach another machine. Python imports this automatically if this folder is on PYTHONPATH.

The Makefile and tests/conftest.py add the folder, so the guard is active in pytest, in notebook kernels and in every
process that a test starts. Loopback and Unix sockets are allowed, because Jupyter uses them to talk to its kernels.

The guard is an audit hook, which Python code cannot bypass. It raises a BaseException, so an `except Exception` around
an update check does not hide the attempt.
"""

import ipaddress
import os
import socket
import sys

attempts: list[str] = []  # read by a fixture that also catches swallowed attempts


class NetworkAttemptError(BaseException):
    """A test or a notebook tried to reach another machine."""


def is_local(host: object) -> bool:
    """Whether `host`, an address or name that the socket module accepts, is this machine."""
    if host is None or not isinstance(host, str | bytes):
        return True  # no host, or an address family without hosts, such as netlink
    name = (host.decode() if isinstance(host, bytes) else host).partition("%")[0]
    if name in ("", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _host(event: str, arguments: tuple) -> object:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return arguments[0]
    address = arguments[1]  # of connect, sendto and sendmsg: (host, port, ...), a path, or None
    return address[0] if isinstance(address, tuple) else None


def _note(attempt: str) -> None:
    """Record an attempt here and, if DPO_TEACH_ATTEMPTS is set, in that file for the parent process."""
    attempts.append(attempt)
    notes = os.environ.get("DPO_TEACH_ATTEMPTS")
    if notes:
        with open(notes, "a", encoding="utf-8") as file:  # noqa: PTH123 -- importing pathlib would slow every start
            file.write(f"{attempt}\n")


def _guard(event: str, arguments: tuple) -> None:
    if event not in _EVENTS:
        return
    host = _host(event, arguments)
    if not is_local(host):
        _note(f"{event} {host}")
        raise NetworkAttemptError(f"{event} to {host}: tests and notebooks must not use the network")


_EVENTS = frozenset(["socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"])
sys.addaudithook(_guard)

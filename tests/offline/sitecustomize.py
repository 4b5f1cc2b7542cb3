"""Fails any attempt to reach another machine. Python imports this by itself where this folder is on PYTHONPATH.

The Makefile and tests/conftest.py put it there, so that it holds in pytest, in the kernels of the notebooks and in
every process that a test starts. Loopback and Unix sockets stay open: Jupyter talks to its kernels over them.

It is an audit hook, so that nothing in Python gets past it, and raises a BaseException, so that an `except Exception`
around an update check does not hide the attempt.
"""

import ipaddress
import os
import socket
import sys

attempts: list[str] = []  # what was tried, for the test that catches even a swallowed one


class NetworkAttemptError(BaseException):
    """A test or a notebook tried to reach another machine."""


def is_local(host: object) -> bool:
    """Whether `host`, an address or a name as the socket module takes it, is this machine."""
    if host is None or not isinstance(host, str | bytes):
        return True  # no host at all, or a family that has none, such as netlink
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
    """Remember an attempt, also for whoever asked to be told of those in the processes below it."""
    attempts.append(attempt)
    notes = os.environ.get("DPO_TEACH_ATTEMPTS")
    if notes:
        with open(notes, "a", encoding="utf-8") as file:  # noqa: PTH123 -- pathlib is not wanted in every start
            file.write(f"{attempt}\n")


def _guard(event: str, arguments: tuple) -> None:
    if event not in _EVENTS:
        return
    host = _host(event, arguments)
    if not is_local(host):
        _note(f"{event} {host}")
        raise NetworkAttemptError(f"{event} to {host}: tests and notebooks stay on this machine")


_EVENTS = frozenset(["socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"])
sys.addaudithook(_guard)

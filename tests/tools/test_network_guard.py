"""The network guard: what it blocks, what it allows, and that it also covers child processes of a test."""

import socket
import subprocess
import sys

import pytest
import sitecustomize as offline

# An address of TEST-NET-1 (RFC 5737), reserved for documentation: without the guard nothing would answer.
ELSEWHERE = "192.0.2.1"
TRY_TO_LEAVE = f"""
import socket
try:
    socket.create_connection(("{ELSEWHERE}", 80), timeout=0.1)
except Exception:
    pass
"""


@pytest.fixture
def expected_attempts():
    """Clear the attempts that a test makes on purpose."""
    yield
    offline.attempts.clear()


def test_a_connection_to_another_machine_is_refused(expected_attempts):
    with pytest.raises(offline.NetworkAttemptError, match=ELSEWHERE):
        socket.create_connection((ELSEWHERE, 80), timeout=0.1)
    assert offline.attempts


def test_the_name_of_another_machine_is_not_looked_up(expected_attempts):
    with pytest.raises(offline.NetworkAttemptError, match=r"huggingface\.co"):
        socket.getaddrinfo("huggingface.co", 443)


def test_a_datagram_to_another_machine_is_refused(expected_attempts):
    with socket.socket(type=socket.SOCK_DGRAM) as sender, pytest.raises(offline.NetworkAttemptError):
        sender.sendto(b"?", (ELSEWHERE, 53))


def test_loopback_and_unix_sockets_are_allowed(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    monkeypatch.chdir(tmp_path)  # the path of a Unix socket is limited to about 100 bytes
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("here")
        server.listen()
        client.connect("here")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "::", "0.0.0.0", "", "localhost", b"localhost", None]
)
def test_this_machine_is_local(host):
    assert offline.is_local(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "10.0.0.1", "192.168.1.1", "2001:db8::1", "example.org", "localhost.evil"])
def test_other_machines_are_not_local(host):
    assert not offline.is_local(host)


def test_a_child_process_is_guarded_and_cannot_swallow_the_error():
    child = subprocess.run([sys.executable, "-c", TRY_TO_LEAVE], capture_output=True, text=True, check=False)
    assert child.returncode != 0
    assert "NetworkAttemptError" in child.stderr


def test_the_hub_is_switched_off():
    from huggingface_hub import constants

    assert constants.HF_HUB_OFFLINE

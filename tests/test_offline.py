"""The guard that keeps the whole test run on this machine (TRUST.md, S9) does refuse, and says what was tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = {
    "connect": 'socket.create_connection(("192.0.2.1", 80), 1)',
    "lookup": 'socket.getaddrinfo("hub.example", 443)',
    "datagram": 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))',
    "IPv6": 'socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80))',
    "without an error": 'socket.socket().connect_ex(("192.0.2.1", 80))',
    "listening to others": 'socket.socket().bind(("0.0.0.0", 0))',
    "a library": '__import__("httpx").get("http://hub.example/")',
}


def run(code: str, tried: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import socket\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "CTXPROC_TEST_CONNECTIONS": str(tried)},
    )


@pytest.mark.parametrize("code", TRIALS.values(), ids=TRIALS)
def test_what_leaves_this_machine_is_refused_and_recorded(code: str, tmp_path: Path) -> None:
    result = run(
        f"try:\n    {code}\nexcept OSError as error: print(error)\nexcept Exception as error: print(error)",
        tmp_path / "tried",
    )
    assert "tests reach no network" in result.stdout
    assert "socket." in (tmp_path / "tried").read_text()


def test_loopback_is_allowed(tmp_path: Path) -> None:
    code = """
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        socket.getaddrinfo("localhost", 80)
        a, b = socket.socketpair()
        print("fine")
    """
    result = run("\n".join(line.strip() for line in code.splitlines()), tmp_path / "tried")
    assert (result.stdout, (tmp_path / "tried").exists()) == ("fine\n", False)

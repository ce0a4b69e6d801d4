"""Read by every Python that a test starts: connections leave this machine's loopback nowhere (TRUST.md, S9).

Names are not looked up, nothing is sent or connected, and no server listens for others. What was tried is also
written to the file of ``CTXPROC_TEST_CONNECTIONS``, so that code which swallows the error is found; tests/conftest.py
looks there.
"""

from __future__ import annotations

import ipaddress
import os
import sys

EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo")
"""Audit events of the standard library; the first argument of the last is a host, the second of the others an address."""


def local(address: object) -> bool:
    """Whether the address of a socket, or a host, is on this machine: loopback, a path of the file system, or none given."""
    if not isinstance(address, tuple):
        return True  # AF_UNIX, or a socket of the kernel
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook."""
    if event not in EVENTS:
        return
    address = arguments[:1] if event == "socket.getaddrinfo" else arguments[1]
    if local(address):
        return
    with open(os.environ.get("CTXPROC_TEST_CONNECTIONS", os.devnull), "a", encoding="utf-8") as file:
        file.write(f"{event} {address!r} by {sys.argv[:2]}\n")
    raise ConnectionRefusedError(f"tests reach no network: {event} {address!r}")


sys.addaudithook(refuse)

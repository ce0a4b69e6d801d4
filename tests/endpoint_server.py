"""A scripted OpenAI-compatible server on 127.0.0.1, for tests: what it answers is a table of functions."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

CHAT, COMPLETIONS, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: socket.socket


@dataclass
class Answer:
    """What goes out: a JSON value, bytes, or pieces of bytes that are sent one by one."""

    body: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Route = Callable[[Request], object]


def chat(text: object, finish: str | None = "stop", **usage: object) -> dict[str, object]:
    """A reply of chat completions."""
    return {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage or None}


def completion(text: object, finish: str | None = "stop", **usage: object) -> dict[str, object]:
    """A reply of completions."""
    return {"choices": [{"text": text, "finish_reason": finish}], "usage": usage or None}


def events(*pieces: str, finish: str | None = "stop", key: str = "delta") -> bytes:
    """A stream with these texts."""
    made = [{"choices": [{key: {"content": piece}, "finish_reason": None}]} for piece in pieces]
    return stream(*made, {"choices": [{key: {}, "finish_reason": finish}]})


def stream(*made: object) -> bytes:
    """A stream of these events."""
    return b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in made)


def prompt_of(request: Request) -> str:
    """The prompt that a request holds."""
    if request.path == CHAT:
        [message] = request.body["messages"]
        assert message["role"] == "user"
        return str(message["content"])
    return str(request.body["prompt"])


class Scripted:
    """A running server. ``routes`` may be changed at any time; what no route takes is answered 404."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.requests: list[Request] = []
        self.routes: dict[str, Route] = {
            MODELS: lambda _: {"data": [{"id": "fake", "max_model_len": 512}]},
            CHAT: lambda request: chat(f"<{prompt_of(request)}>", prompt_tokens=7, completion_tokens=3),
        }

    def sent(self, path: str) -> list[Any]:
        """The bodies that came to a path, the one-token probe left out."""
        bodies = [request.body for request in self.requests if request.path == path]
        return [body for body in bodies if body is None or body.get("max_tokens") != 1 or body.get("echo")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            self.command, self.path, dict(self.headers), json.loads(raw) if raw else None, self.connection
        )
        self.script.requests.append(request)
        route = self.script.routes.get(self.path)
        made = route(request) if route else Answer({"error": {"message": "no such path"}}, 404)
        answer = made if isinstance(made, Answer) else Answer(made)
        body = answer.body if isinstance(answer.body, bytes | Iterator) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        pieces: Iterable[bytes] = [body] if isinstance(body, bytes) else body
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that leaves is part of the tests


@contextmanager
def running() -> Iterator[Scripted]:
    """A server with the default routes."""
    handler = type("ScriptedHandler", (Handler,), {})
    server = Quiet(("127.0.0.1", 0), handler)
    script = handler.script = Scripted(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server with the default routes."""
    with running() as script:
        yield script


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to anything but 127.0.0.1 fails the test; no key is at hand."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    connect = socket.socket.connect

    def checked(self: socket.socket, address: tuple[object, ...]) -> None:
        if address[0] != "127.0.0.1":
            pytest.fail(f"a connection to {address} was tried")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)

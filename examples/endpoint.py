"""Asking a model behind a server: `python examples/endpoint.py [http://host:port/v1]`.

Without an address it starts a tiny server on this machine that speaks OpenAI's protocol; its "model" answers with the
sentence that has most words in common with the question. Put the address of vLLM, llama.cpp or Ollama in its place.
"""
# ruff: noqa: T201

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import ctxproc
from ctxproc.document import Document

TEXT = """The ferry to Merrowby leaves at seven. Its captain is Aurelio Ibarrola, who was born on the mainland.

The lighthouse has 1,016 prisms. They are dusted with a badger brush on the first of each month."""
QUESTIONS = ("Who is the captain of the ferry?", "What are the prisms dusted with?")


def reply(prompt: str) -> str:
    """The sentence of the text that has most words in common with the last line of the prompt, in the form it asks for."""
    question = set(re.findall(r"\w{3,}", prompt.rpartition("Question:")[2].lower()))
    sentences = re.findall(r"[A-Z][^.?!]*[.?!]", TEXT)
    best = max(sentences, key=lambda sentence: len(question & set(re.findall(r"\w{3,}", sentence.lower()))))
    return f"{best}\nQuote: {best}" if best in prompt else "NOT FOUND"


class Handler(BaseHTTPRequestHandler):
    """Two of the protocol's paths: the list of models, and a chat of one message."""

    def do_GET(self) -> None:
        """The models, and how many tokens they read."""
        self.answer({"data": [{"id": "sentences", "max_model_len": 2048}]})

    def do_POST(self) -> None:
        """One completion."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = reply(asked["messages"][0]["content"]) if self.path == "/v1/chat/completions" else ""
        self.answer({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})

    def answer(self, body: object) -> None:
        """Send JSON."""
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@contextmanager
def server() -> Iterator[str]:
    """The address of a running server."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}/v1"
    finally:
        running.shutdown()
        running.server_close()


def ask(address: str) -> None:
    """Ask the model behind the address."""
    document = Document.from_text(TEXT, source="harbour.txt")
    settings, _ = ctxproc.resolve(preset="fast", flags={"model": address, "strategy": "stuff", "cache.runs": 0})
    library = ctxproc.Library([document], settings)
    for question in QUESTIONS:
        answer = library.ask(question)
        print(f"{question}\n    {answer}\n    {answer.evidence[0].status} in {answer.evidence[0].source}")


def main(address: str = "") -> None:
    """Ask a server, or one of our own."""
    if address:
        ask(address)
        return
    with server() as own:
        ask(own)


if __name__ == "__main__":
    main(*sys.argv[1:])

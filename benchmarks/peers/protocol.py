"""What a peer can be told to do, and the worker that does it: JSON lines on stdin and stdout.

A request is ``{"do": name, "value": [arguments]}``; the reply has the result, wall and CPU seconds of the whole call,
and the peak memory of the process. Whatever a library prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from peers.workload import Document


@dataclass(frozen=True)
class Setup:
    """Where the model lies (``folder``/model), where a peer may write (``scratch``), and how to run.

    Attributes:
        longest: tokens of the longest sequence, answers included.
        options: of this peer alone.
    """

    folder: str
    scratch: str
    dtype: str = "bfloat16"
    threads: int = 1
    longest: int = 4096
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class First:
    """The likeliest next token, and the logits [vocabulary] where the peer gives them."""

    token: int
    logits: Any = None

    @classmethod
    def of(cls, logits: Any) -> First:  # noqa: ANN401 (a tensor or an array)
        """From the logits of one position."""
        return cls(int(logits.argmax()), logits)


class Peer(ABC):
    """Answers questions over one document. A method that a peer does not have raises NotImplementedError."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.document = Document([], [])

    def facts(self) -> dict[str, Any]:
        """Versions and settings, for the report."""
        return {}

    def know(self, document: Document) -> None:
        """Takes the document without computing anything: what a restarted process begins with."""
        self.document = document

    @abstractmethod
    def prepare(self) -> None:
        """Computes what a later `ask` over the windows in order can reuse."""

    def prepare_map(self) -> None:  # noqa: B027 (nothing by default)
        """Computes what a later `map` can reuse."""

    def ready(self) -> None:  # noqa: B027 (nothing by default)
        """Puts back what the last question changed, not timed: the next one finds the document as prepared."""

    @abstractmethod
    def ask(self, order: list[int], question: list[int]) -> First:
        """First token after one question over these windows."""

    def map(self, question: list[int]) -> list[First]:
        """First token after prefix, window and question, for every window."""
        raise NotImplementedError

    def decode(self, count: int) -> list[int]:
        """``count`` more tokens after the last `ask`, greedily."""
        raise NotImplementedError

    def save(self) -> list[str]:
        """Writes what a restarted process can read; returns the files."""
        return []

    def restore(self) -> None:  # noqa: B027 (nothing by default)
        """Reads what `save` wrote."""


class Clock:
    """Wall and CPU seconds since it was made; CPU is that of all threads of this process."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> dict[str, float]:
        """Both."""
        return {"seconds": time.perf_counter() - self.wall, "cpu": time.process_time() - self.cpu}


def memory() -> dict[str, int]:
    """Resident and highest resident bytes of this process; the latter since `forget_peak`."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            rows = dict(line.split(":", 1) for line in file)
        return {"rss": 1024 * int(rows["VmRSS"].split()[0]), "peak": 1024 * int(rows["VmHWM"].split()[0])}
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"rss": 0, "peak": peak if sys.platform == "darwin" else 1024 * peak}


def forget_peak() -> None:
    """The highest resident memory counts from now (Linux alone)."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def plain(value: Any, logits: bool) -> Any:  # noqa: ANN401 (whatever a method returns)
    """A result as JSON has it."""
    if isinstance(value, list):
        return [plain(one, logits) for one in value]
    if isinstance(value, First):
        return {"token": value.token, "logits": value.logits.tolist() if logits and value.logits is not None else None}
    return value


def serve(kind: Callable[[Setup], Peer]) -> None:
    """Makes the peer of the first line's setup and does what the further lines say, until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    base, clock = memory(), Clock()
    peer = kind(Setup(**json.loads(sys.stdin.readline())))
    reply = {"value": peer.facts(), **clock.seconds(), **memory(), "base": base["rss"]}
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        values = request["value"]
        if request["do"] == "know":
            values = [Document(**values[0])]
        method = forget_peak if request["do"] == "forget_peak" else getattr(peer, request["do"])
        clock = Clock()
        try:
            value = method(*values)
        except NotImplementedError:
            reply = {"absent": True}
        else:
            spent = clock.seconds()
            reply = {"value": plain(value, request.get("logits", False)), **spent, **memory()}

"""What recalling for one turn costs in a long chat: 100,000 stored turns, a new one before every message.

    python benchmarks/chat_scale.py [--turns 100000]

The turns are made of words drawn by a Zipf distribution, and their vectors are random and of length 1: a fake embedder, so
that the cost is that of recall alone. A real embedder adds the time of one query, which is measured beside it. Each message
is stored as a turn before it is asked about, as in a chat; this is not counted. Prints one JSON object: milliseconds of a
recall, how many of them the processor spent, and how many it takes to note in the store what was recalled; seconds until
the first recall of a process; memory of the process.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from statistics import quantiles
from typing import Any

import click
import numpy as np
from common import publish
from numpy.typing import NDArray
from peers.protocol import memory as resident

from ctxproc import Memory
from ctxproc.memory.base import Note
from ctxproc.memory.embed import Embedder
from ctxproc.memory.recollect import recollect

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
WORDS = 30_000
SESSION = 40
AT_ONCE = 5000
ASKED = ("What did I say about {} and {}?", "When did you mention {} last May?", "{} {}", "Tell me about {} yesterday")


class Fake(Embedder):
    """Random unit vectors."""

    def __init__(self, dimensions: int = 384) -> None:
        super().__init__("fake")
        self.dimensions = dimensions
        self.identity = self.fingerprint = "fake"
        self._rng = np.random.default_rng(0)

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        """One for each text, whatever it says."""
        rows = self._rng.standard_normal((len(texts), self.dimensions), dtype=np.float32)
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


class Talk:
    """Makes turns of about 20 words, two in a minute, 40 in a session, of a user and an assistant."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._weights = list(accumulate(1 / (rank + 10) for rank in range(WORDS)))
        self.made = 0

    def words(self, count: int) -> list[str]:
        """The commonest come most often."""
        return [f"word{number}" for number in self._rng.choices(range(WORDS), cum_weights=self._weights, k=count)]

    def turn(self) -> Note:
        """The next one."""
        self.made += 1
        role = ("assistant", "user")[self.made % 2]
        text = " ".join(self.words(self._rng.randint(5, 35))) + self._rng.choice(".?")
        session = str(self.made // SESSION)
        time = BEGIN + timedelta(seconds=30 * self.made)
        speaker = "alice" if role == "user" else role
        return Note(text, "turn", time, speaker, f"chat/{session}", {"role": role, "session": session})

    def message(self) -> str:
        """Something to ask."""
        return self._rng.choice(ASKED).format(*(f"word{self._rng.randrange(2000)}" for _ in range(2)))


def spread(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median, and the slowest of twenty."""
    cuts = quantiles(milliseconds, n=20)
    return {"p50": round(cuts[9], 1), "p95": round(cuts[18], 1)}


def filled(memory: Memory, talk: Talk, turns: int) -> None:
    """Store so many turns with their vectors."""
    memory.store.embed(
        memory.owner, memory.stored.model(), [], np.zeros((0, memory.stored.embedder.dimensions), np.float32)
    )
    while talk.made < turns:
        notes = [talk.turn() for _ in range(min(AT_ONCE, turns - talk.made))]
        memory.store.add(memory.owner, notes, memory.stored.embedder.embed([note.text for note in notes]))


def measured(memory: Memory, talk: Talk, messages: int) -> dict[str, list[float]]:
    """Milliseconds of each recall, and of what it notes in the store."""
    spent: dict[str, list[float]] = {"recall": [], "recall, of the processor": [], "of which noting": []}
    note = memory.store.recall
    noting = [0.0]

    def timed(*arguments: Any) -> None:  # noqa: ANN401 (passed on)
        began = time.perf_counter()
        note(*arguments)
        noting[0] = 1000 * (time.perf_counter() - began)

    memory.store.recall = timed  # type: ignore[method-assign]
    for _ in range(messages):
        message = talk.message()
        turn = replace(talk.turn(), text=message)
        [number] = memory.remember_all([turn])
        noting[0] = 0.0
        began, computed = time.perf_counter(), time.process_time()
        recollect(memory, message, now=turn.time, session=turn.source[5:], budget=1000, count=tokens, skip=number)
        spent["recall"].append(1000 * (time.perf_counter() - began))
        spent["recall, of the processor"].append(1000 * (time.process_time() - computed))
        spent["of which noting"].append(noting[0])
    return spent


def tokens(text: str) -> int:
    """About as many as a tokenizer counts."""
    return 2 * len(text.split())


@click.command()
@click.option("--turns", default=100_000, show_default=True)
@click.option("--messages", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(turns: int, messages: int, seed: int) -> None:
    """Fill a memory, recall, and print the figures."""
    talk = Talk(seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "chat.ctxproc")
        with Memory(path, "alice", embedder=Fake()) as memory:
            filled(memory, talk, turns)
        with Memory(path, "alice", embedder=Fake()) as memory:
            before, began = resident()["rss"], time.perf_counter()
            recollect(memory, talk.message(), now=BEGIN, session="", budget=1000, count=tokens)
            first = time.perf_counter() - began
            spent = measured(memory, talk, messages)
            after = resident()
        with Memory(path, "alice", embedder=Fake()) as memory:
            began = time.perf_counter()
            recollect(memory, talk.message(), now=BEGIN, session="", budget=1000, count=tokens)
            again = time.perf_counter() - began
    result = {
        "turns": turns,
        "milliseconds": {name: spread(some) for name, some in spent.items()},
        "milliseconds of a query's embedding": spread(embedding(talk, 20)),
        "seconds of the first recall": {"no index": round(first, 1), "index on disk": round(again, 1)},
        "memory in MB": {"grown": round((after["rss"] - before) / 1e6), "peak": round(after["peak"] / 1e6)},
    }
    publish("chat_scale", result, n=messages, seed=seed)


def embedding(talk: Talk, count: int) -> list[float]:
    """Milliseconds of embedding a message by the built-in model."""
    real, spent = Embedder(), []
    real.embed(["a first text"], query=True)
    for _ in range(count):
        began = time.perf_counter()
        real.embed([talk.message()], query=True)
        spent.append(1000 * (time.perf_counter() - began))
    return spent


if __name__ == "__main__":
    main()

"""`ctxproc.Memory` under `peers.crash_kills`: remember, edit, recall, and forget, which rewrites the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctxproc.config import resolve
from ctxproc.memory.base import Note
from ctxproc.memory.embed import Embedder
from ctxproc.memory.memory import Memory
from peers.crash_serve import serve
from peers.crash_store import Stores, write_caches_always
from peers.crash_subject import DIMENSIONS, OWNERS, Operation, vectors


class Drawn(Embedder):
    """Vectors that follow from the text alone, without a model."""

    identity = fingerprint = "drawn 1"
    dimensions = DIMENSIONS

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        """Shape (texts, dimensions)."""
        return vectors(texts)


class Memories(Stores):
    """The memory of each owner, in one file."""

    kinds = tuple("add add add edit edit forget recall".split())
    beside = ()  # to forget rewrites the file, which would wait for the reader

    def __init__(self, folder: Path) -> None:
        write_caches_always()
        settings, _ = resolve(sets=[f"cache.folder={folder / 'settings'}"])
        path = folder / "store.ctxproc"
        self.memories = {name: Memory(path, name, settings=settings, embedder=Drawn("drawn")) for name in OWNERS}
        first = self.memories[OWNERS[0]]
        self.store, self.caches = first.store, first.stored.caches

    def do(self, operation: Operation) -> None:
        """One call."""
        memory, put = self.memories[operation.owner], operation.put
        if operation.kind == "add":
            memory.remember_all([Note(text, metadata={"key": key}) for key, text in put.items()])
        elif operation.kind == "recall":
            memory.recall("lamp", 3)
        else:
            ids = self._ids(memory.owner)
            for key, text in put.items():
                memory.edit(ids[key], text)
            if operation.gone:
                memory.forget([ids[key] for key in operation.gone])

    def wrong(self) -> list[str]:
        """As of a store, after what a recall does first: embed what a killed writer left without a vector."""
        for memory in self.memories.values():
            memory.stored.embed_missing()
        return super().wrong()


if __name__ == "__main__":
    serve(Memories)

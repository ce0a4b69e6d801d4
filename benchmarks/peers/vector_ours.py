"""ctxproc: notes with vectors in its SQLite store, every batch one durable transaction; searched through its caches.

    pip install 'ctxproc[cpu]'

Options: ``kind`` of the index; without it, by size.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ctxproc.memory.base import Model, Note, Owner
from ctxproc.memory.cache import Caches
from ctxproc.memory.store import SqliteStore
from peers.protocol import Setup, serve
from peers.vector_wire import VectorPeer, Vectors

OWNER = Owner("benchmark")


class Ours(VectorPeer):
    """One owner's memory shelf. The first row has the first id, and the others follow."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.told: list[str] = []

    def facts(self) -> dict[str, Any]:
        """Version and options."""
        return {"ctxproc": version("ctxproc"), **self.setup.options}

    def open(self) -> None:
        """Opens the file, and the index where there are rows."""
        scratch = Path(self.setup.scratch)
        self.store = SqliteStore(scratch / "store")
        self.caches = Caches(
            self.store, scratch / "cache", self.told.append, kind=self.setup.options.get("kind", "auto")
        )
        if self.store.model(OWNER) is None:
            model = Model("drawn", "drawn", self.dimensions)
            self.store.embed(OWNER, model, [], np.zeros((0, self.dimensions), np.float32))
        else:
            self.caches.vectors(OWNER, "memory")

    def add(self, start: int, stop: int) -> None:
        """One transaction."""
        notes = [Note(f"row {row}") for row in range(start, stop)]
        self.store.add(OWNER, notes, self.rows(start, stop))

    def build(self) -> None:
        """Makes the index and its file."""
        self.caches.vectors(OWNER, "memory")

    def find(self, query: Vectors, k: int) -> list[int]:
        """Brings the index up to date, then searches it."""
        return (self.caches.vectors(OWNER, "memory").search(query, k)[0] - 1).tolist()

    def about(self) -> dict[str, Any]:
        """What the index says of itself, and what the caches told."""
        index = self.caches.vectors(OWNER, "memory")
        return {"kind": index.kind, "recall": index.recall, "depth": index.depth, "rows": len(index), "told": self.told}


if __name__ == "__main__":
    serve(Ours)

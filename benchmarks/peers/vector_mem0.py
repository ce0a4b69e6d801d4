"""mem0's FAISS store, used directly: flat, cosine; every write writes the whole index and a JSON file of everything else.

pip install mem0ai==2.2.1 faiss-cpu
"""

from __future__ import annotations

import os

os.environ["MEM0_TELEMETRY"] = "False"

from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
from mem0.vector_stores.faiss import FAISS

from peers.protocol import serve
from peers.vector_wire import VectorPeer, Vectors


class Mem0(VectorPeer):
    """One collection; its ids are row numbers as text, and it has no payloads."""

    one_at_a_time = True

    def facts(self) -> dict[str, Any]:
        """Versions, and that no `fsync` is done: a lost power supply may take all, a process killed while writing does."""
        return {"mem0ai": version("mem0ai"), "faiss": faiss.__version__, **self.setup.options, "durable": "not synced"}

    def open(self) -> None:
        """Reads both files."""
        faiss.omp_set_num_threads(self.setup.threads)
        path = str(Path(self.setup.scratch) / "mem0")
        self.store = FAISS("rows", path, distance_strategy="cosine", embedding_model_dims=self.dimensions)

    def add(self, start: int, stop: int) -> None:
        """One call."""
        self.store.insert(self.rows(start, stop), ids=[str(row) for row in range(start, stop)])

    def find(self, query: Vectors, k: int) -> list[int]:
        """The store's own."""
        return [int(row.id) for row in self.store.search("", [query], k)]


if __name__ == "__main__":
    serve(Mem0)

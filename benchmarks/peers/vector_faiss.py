"""faiss by itself: vectors in memory, inner product. Nothing is on disk before `build`.

    pip install faiss-cpu numpy

Options: ``kind`` is "flat" or "hnsw" (32 links, efConstruction 200; ``depth`` is efSearch).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faiss

from peers.protocol import Setup, serve
from peers.vector_wire import VectorPeer, Vectors


class Faiss(VectorPeer):
    """An index and its file."""

    one_at_a_time = True

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        faiss.omp_set_num_threads(setup.threads)
        self.kind = setup.options.get("kind", "flat")
        self.path = Path(setup.scratch) / "index"

    def facts(self) -> dict[str, Any]:
        """Version, kind, and what is not durable."""
        return {"faiss": faiss.__version__, **self.setup.options, "durable": "when built, the file written whole"}

    def open(self) -> None:
        """Reads the file."""
        if self.path.exists():
            self.index = faiss.read_index(str(self.path))
        elif self.kind == "hnsw":
            self.index = faiss.IndexHNSWFlat(self.dimensions, 32, faiss.METRIC_INNER_PRODUCT)
            self.index.hnsw.efConstruction = 200
        else:
            self.index = faiss.IndexFlatIP(self.dimensions)
        if self.kind == "hnsw":
            self.index.hnsw.efSearch = self.setup.options.get("depth", 64)

    def add(self, start: int, stop: int) -> None:
        """In memory."""
        self.index.add(self.rows(start, stop))

    def build(self) -> None:
        """Writes the file and waits for the disk."""
        faiss.write_index(self.index, str(self.path))
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def find(self, query: Vectors, k: int) -> list[int]:
        """The index's own."""
        ids: list[int] = self.index.search(query[None], k)[1][0].tolist()
        return ids


if __name__ == "__main__":
    serve(Faiss)

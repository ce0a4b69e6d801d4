"""faiss by itself: vectors in memory, inner product. Nothing is on disk before `build`.

    pip install faiss-cpu numpy

Options: ``kind`` is "flat", "hnsw" (``links``, default 32, ``construction``, default 200; ``depth`` is efSearch), or "ivf"
(``lists``, trained on the first 40 rows of each; ``depth`` is nprobe).
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
            links = self.setup.options.get("links", 32)
            self.index = faiss.IndexHNSWFlat(self.dimensions, links, faiss.METRIC_INNER_PRODUCT)
            self.index.hnsw.efConstruction = self.setup.options.get("construction", 200)
        elif self.kind == "ivf":
            coarse = faiss.IndexFlatIP(self.dimensions)
            inner = faiss.METRIC_INNER_PRODUCT
            self.index = faiss.IndexIVFFlat(coarse, self.dimensions, self.setup.options["lists"], inner)
            self.index.cp.niter = 6
            self.coarse = coarse
        else:
            self.index = faiss.IndexFlatIP(self.dimensions)
        self.deepen(self.setup.options.get("depth", 64))

    def deepen(self, depth: int) -> None:
        """Sets how much a search reads."""
        if self.kind == "hnsw":
            self.index.hnsw.efSearch = depth
        elif self.kind == "ivf":
            self.index.nprobe = depth

    def add(self, start: int, stop: int) -> None:
        """In memory."""
        if not self.index.is_trained:
            self.index.train(self.rows(0, 40 * self.setup.options["lists"]))
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

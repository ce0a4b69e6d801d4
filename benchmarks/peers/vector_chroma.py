"""Chroma's persistent client: SQLite and an HNSW index, cosine.

    pip install chromadb==1.5.9

Options: ``depth`` is ef_search; without it the library's default.
"""

from __future__ import annotations

import os

os.environ["ANONYMIZED_TELEMETRY"] = "False"

from importlib.metadata import version
from typing import Any

import chromadb
from chromadb.config import Settings

from peers.protocol import serve
from peers.vector_wire import VectorPeer, Vectors


class Chroma(VectorPeer):
    """One collection; its ids are row numbers as text."""

    def facts(self) -> dict[str, Any]:
        """Version and options."""
        return {"chromadb": version("chromadb"), **self.setup.options}

    def open(self) -> None:
        """Opens the folder and the collection."""
        client = chromadb.PersistentClient(self.setup.scratch, Settings(anonymized_telemetry=False))
        graph: dict[str, Any] = {"space": "cosine"}
        if "depth" in self.setup.options:
            graph["ef_search"] = self.setup.options["depth"]
        self.most = client.get_max_batch_size()
        self.collection = client.get_or_create_collection(
            "rows", configuration={"hnsw": graph}, embedding_function=None
        )

    def add(self, start: int, stop: int) -> None:
        """In as few calls as the library allows."""
        for first in range(start, stop, self.most):
            last = min(stop, first + self.most)
            self.collection.add(ids=[str(row) for row in range(first, last)], embeddings=self.rows(first, last))

    def find(self, query: Vectors, k: int) -> list[int]:
        """The collection's own, ids alone."""
        found = self.collection.query(query_embeddings=query[None], n_results=k, include=[])
        return [int(row) for row in found["ids"][0]]


if __name__ == "__main__":
    serve(Chroma)

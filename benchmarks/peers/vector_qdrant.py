"""Qdrant's local mode: SQLite, a transaction for each row, and numpy over all vectors, cosine. The server has an index.

pip install qdrant-client==1.20.0
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.models import Batch, Distance, VectorParams

from peers.protocol import serve
from peers.vector_wire import VectorPeer, Vectors


class Qdrant(VectorPeer):
    """One collection."""

    one_at_a_time = True

    def facts(self) -> dict[str, Any]:
        """Version."""
        return {"qdrant-client": version("qdrant-client"), "mode": "local", **self.setup.options}

    def open(self) -> None:
        """Reads the folder."""
        warnings.filterwarnings("ignore", message="Local mode is not recommended")  # for more than 20,000 rows
        self.client = QdrantClient(path=self.setup.scratch)
        if not self.client.collection_exists("rows"):
            self.client.create_collection("rows", VectorParams(size=self.dimensions, distance=Distance.COSINE))

    def add(self, start: int, stop: int) -> None:
        """One call."""
        points = Batch(ids=list(range(start, stop)), vectors=self.rows(start, stop).tolist())
        self.client.upsert("rows", points, wait=True)

    def find(self, query: Vectors, k: int) -> list[int]:
        """The collection's own, ids alone."""
        found = self.client.query_points("rows", query=query, limit=k, with_payload=False)
        return [int(point.id) for point in found.points]


if __name__ == "__main__":
    serve(Qdrant)

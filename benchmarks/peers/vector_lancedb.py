"""LanceDB, embedded: a table in Lance files, cosine.

    pip install lancedb==0.40.0

Options: ``index`` is what `build` makes, such as "IVF_PQ" or "IVF_HNSW_SQ"; without it every search reads all rows, which
the library advises for up to some 100,000. ``refine`` times k rows are compared again by their whole vectors.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from peers.protocol import serve
from peers.vector_wire import VectorPeer, Vectors


class LanceDB(VectorPeer):
    """A table of ids and vectors."""

    def facts(self) -> dict[str, Any]:
        """Version, options, and that no `fsync` is done: appends survive a killed process, not a lost power supply."""
        return {"lancedb": version("lancedb"), **self.setup.options, "durable": "not synced"}

    def open(self) -> None:
        """Opens the table."""
        schema = pa.schema({"id": pa.int64(), "vector": pa.list_(pa.float32(), self.dimensions)})
        self.table = lancedb.connect(self.setup.scratch).create_table("rows", schema=schema, exist_ok=True)

    def add(self, start: int, stop: int) -> None:
        """One append."""
        vectors = pa.FixedSizeListArray.from_arrays(self.rows(start, stop).ravel(), self.dimensions)
        self.table.add(pa.table({"id": np.arange(start, stop), "vector": vectors}))

    def build(self) -> None:
        """Merges the files of many appends, and makes the index that was asked for."""
        self.table.optimize()
        if "index" in self.setup.options:
            self.table.create_index(
                metric="cosine", vector_column_name="vector", index_type=self.setup.options["index"]
            )

    def find(self, query: Vectors, k: int) -> list[int]:
        """The table's own, ids alone."""
        search = self.table.search(query).distance_type("cosine").limit(k).select(["id", "_distance"])
        if "refine" in self.setup.options:
            search = search.refine_factor(self.setup.options["refine"])
        ids: list[int] = search.to_arrow()["id"].to_pylist()
        return ids


if __name__ == "__main__":
    serve(LanceDB)

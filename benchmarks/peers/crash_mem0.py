"""mem0's FAISS store (`mem0.vector_stores.faiss`), used as its `Memory` uses it, under `peers.crash_kills`.

pip install mem0ai==2.2.1 faiss-cpu
"""

from __future__ import annotations

import os

os.environ["MEM0_TELEMETRY"] = "False"

import json
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import faiss
import numpy as np
from mem0.vector_stores import faiss as mem0_faiss
from numpy.typing import NDArray

from peers.crash_serve import serve
from peers.crash_subject import DIMENSIONS, Operation, State, Subject, dies, vector, vectors


class Mem0(Subject):
    """One collection for all owners, whose names are in the payloads, as `Memory` has it."""

    kinds = ("add", "add", "edit", "forget")
    steps = ("before the index", "after the index", "before the rest", "after the rest")
    facts = MappingProxyType({"mem0ai": version("mem0ai"), "faiss": faiss.__version__})

    def __init__(self, folder: Path) -> None:
        faiss.omp_set_num_threads(1)
        path = str(folder / "store")
        self.store = mem0_faiss.FAISS("notes", path, distance_strategy="cosine", embedding_model_dims=DIMENSIONS)

    def do(self, operation: Operation) -> None:
        """A call to the store for each edited or forgotten note; one for all that are added."""
        payloads = {key: {"data": text, "user_id": operation.owner} for key, text in operation.put.items()}
        if operation.kind == "add":
            self.store.insert(list(vectors(list(operation.put.values()))), list(payloads.values()), list(payloads))
        for key in payloads if operation.kind == "edit" else ():
            self.store.update(key, vector(operation.put[key]), payloads[key])
        for key in operation.gone:
            self.store.delete(key)

    def held(self) -> State:
        """Of all owners."""
        return {key: payload["data"] for key, payload in self.store.docstore.items()}

    def count(self, owner: str) -> int:
        """By the filter."""
        return len(self.store.list({"user_id": owner}, 10**9)[0])

    def wrong(self) -> list[str]:
        """The index against the texts."""
        held, index, keys = self.held(), self.store.index, self.store.index_to_id
        if index is None:
            return ["the index was not loaded"]
        if not index.ntotal == len(keys) == len(held):
            return [f"{index.ntotal} vectors, {len(keys)} ids, {len(held)} texts"]
        ours = {row: vector(held[key]) for row, key in keys.items()}
        off = [row for row, wanted in ours.items() if not np.allclose(index.reconstruct(row), wanted, atol=1e-5)]
        return [f"{len(off)} vectors are not those of their texts"] if off else []

    def nearest(self, owner: str, query: NDArray[np.float32], k: int) -> list[str]:
        """As many candidates as `Memory.search` asks for."""
        found = self.store.search("", [query], max(4 * k, 60), {"user_id": owner})
        return [row.id for row in found[:k]]

    @classmethod
    def stop_at(cls, step: str, turn: int) -> None:
        """At the two writes of `FAISS._save`; by then the second file is open, and empty."""
        when, what = step.split(" the ")
        owner, name = (faiss, "write_index") if what == "index" else (json, "dump")
        setattr(owner, name, dies(getattr(owner, name), turn, when == "after"))


if __name__ == "__main__":
    serve(Mem0)

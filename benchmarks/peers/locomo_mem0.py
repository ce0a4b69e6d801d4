"""mem0's `Memory` over a chat, without a language model: turns are added as they are and searched by its own ranking.

Its embedder is replaced by the vectors that the benchmark made: the same model for both. Its store is the one it has by
default, Qdrant, in a folder. Where its optional packages are not installed (fastembed for keywords, spaCy for lemmas and
entities), its ranking is that of the vectors alone; `facts` tells.

pip install mem0ai==2.2.1
"""

from __future__ import annotations

import os

os.environ["MEM0_TELEMETRY"] = "False"

import json
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from peers.protocol import Setup, serve

USER = "u"


class Vectors:
    """mem0's embedder: the folder of the setup holds ``texts.json`` and ``vectors.npy``, a row for each text."""

    def __init__(self, folder: Path) -> None:
        texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        self.rows = dict(zip(texts, np.load(folder / "vectors.npy", allow_pickle=False), strict=True))

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """The vector of a text that was made beforehand."""
        found: list[float] = self.rows[text].tolist()
        return found

    def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
        """Of several."""
        return [self.embed(text) for text in texts]


class Mem0:
    """One user's memories."""

    def __init__(self, setup: Setup) -> None:
        os.environ.update(MEM0_DIR=setup.scratch, OPENAI_API_KEY="none")
        from mem0 import Memory

        embedder = Vectors(Path(setup.folder))
        dimensions = len(next(iter(embedder.rows.values())))
        store = {"path": str(Path(setup.scratch) / "qdrant"), "embedding_model_dims": dimensions, "on_disk": True}
        self.memory = Memory.from_config({"vector_store": {"provider": "qdrant", "config": store}})
        self.memory.embedding_model = embedder
        self.places: dict[str, int] = {}

    def facts(self) -> dict[str, Any]:
        """Its version, its store, and which of its optional packages are there."""
        optional = {name: find_spec(name) is not None for name in ("fastembed", "spacy")}
        return {"mem0ai": version("mem0ai"), "store": "qdrant", "qdrant_client": version("qdrant-client"), **optional}

    def add(self, turns: list[list[str]]) -> None:
        """The speaker and the text of each turn."""
        for place, (speaker, text) in enumerate(turns):
            message = [{"role": "user", "name": speaker, "content": text}]
            for one in self.memory.add(message, user_id=USER, infer=False)["results"]:
                self.places[one["id"]] = place

    def search(self, query: str, k: int) -> dict[str, Any]:
        """Places of the turns found, the best first, and milliseconds."""
        began = time.perf_counter()
        found = self.memory.search(query, top_k=k, filters={"user_id": USER}, threshold=0.0)["results"]
        return {"places": [self.places[one["id"]] for one in found], "ms": 1000 * (time.perf_counter() - began)}


if __name__ == "__main__":
    serve(Mem0)  # type: ignore[arg-type]

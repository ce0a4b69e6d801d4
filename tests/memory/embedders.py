"""An embedder for tests: no model, and every value can be worked out by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctxproc.config import Settings, resolve
from ctxproc.memory.embed import Embedder
from ctxproc.text import words


class WordEmbedder(Embedder):
    """Counts words, each in the dimension that a hash of it names; ``seed`` makes it another model of the same size.

    ``left``: texts that may be embedded before it is interrupted.
    """

    def __init__(self, name: str = "words", seed: str = "", left: int = 1 << 60) -> None:
        super().__init__(name)
        self.seed = seed
        self.left = left
        self.embedded: list[str] = []
        self.fingerprint = f"words {seed}"
        self.dimensions = 64

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in words(text):
                row[int(hashlib.sha256((self.seed + word).encode()).hexdigest(), 16) % 64] += 1
        if not query:
            self.left -= len(texts)
            if self.left < 0:
                raise KeyboardInterrupt
            self.embedded += texts
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def settings_of(*sets: str) -> Settings:
    """The defaults with these settings."""
    return resolve(sets=sets)[0]

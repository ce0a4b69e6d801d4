"""Memories for tests, and an embedder without a model, whose every value can be worked out by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctxproc import Memory
from ctxproc.config import Settings, resolve
from ctxproc.memory.embed import Embedder
from ctxproc.text import words

NOTES = (
    "I moved to Lyon in May.",
    "My dentist is called Xylophonia Brandt-Quill.",
    "The ferry to Skerry Point leaves at seven.",
    "Lyon has two rivers, the Rhône and the Saône.",
    "我的牙医叫王小明。",
)


class WordEmbedder(Embedder):
    """Counts words, each in the dimension that a hash of it names; ``seed`` makes it another model of the same size.

    ``left``: texts that may be embedded before it is interrupted.
    """

    def __init__(self, name: str = "words", seed: str = "", left: int = 1 << 60) -> None:
        super().__init__(name)
        self.seed = seed
        self.left = left
        self.embedded: list[str] = []
        self.identity = self.fingerprint = f"words {seed}"
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


def memory_of(path: Path, *notes: str, user: str = "alice", **values: object) -> Memory:
    """A memory of these notes."""
    values.setdefault("embedder", WordEmbedder())
    memory = Memory(path / "me.ctxproc", user, **values)  # type: ignore[arg-type]
    for note in notes:
        memory.remember(note)
    return memory


def said(memory: Memory) -> list[str]:
    return [item.text for item in memory.items()]

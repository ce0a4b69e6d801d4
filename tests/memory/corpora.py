"""Corpora for tests: vectors that count letters, and passages with times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.memory.base import Note, Passage
from ctxproc.memory.corpus import Corpus
from ctxproc.memory.embed import Embedder

TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Letters(Embedder):
    """A vector counts the letters of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        self.calls += 1
        counts = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        return (counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)).reshape(len(texts), 26)


def chunks_apart(texts: Sequence[str]) -> list[Chunk]:
    """Each text is a document of one chunk."""
    return [Chunk(Document.from_text(text), 0, len(text), 1, 0) for text in texts]


def corpus_of(texts: Sequence[str]) -> Corpus:
    return Corpus(chunks_apart(texts), Letters())


def remembered(passages: Sequence[Passage]) -> Corpus:
    """A corpus over passages of a store, asked at noon of `TODAY`."""
    kept = {passage.id: passage for passage in passages}

    def asked(ids: Sequence[int]) -> list[Passage]:
        return [kept[key] for key in ids if key in kept]

    return Corpus(
        chunks_apart([passage.text for passage in passages]),
        Letters(),
        ids=np.array([passage.id for passage in passages], dtype=np.int64),
        passages=asked,
        clock=lambda: TODAY,
    )


def passage(key: int, text: str, time: datetime, **values: object) -> Passage:
    """A note of a store; values are the note's, but for ``recalls`` and ``recalled``."""
    own = {name: values.pop(name) for name in ("recalls", "recalled") if name in values}
    return Passage(key, Note(text, time=time, **values), **own)  # type: ignore[arg-type]


def random_texts(seed: int, n: int) -> list[str]:
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(1, 4))) for _ in range(60)]
    return [" ".join(words[int(rng.expovariate(0.08)) % 60] for _ in range(rng.randint(3, 40))) for _ in range(n)]

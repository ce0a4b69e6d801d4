"""Blocks that look right for a query and are not: near by BM25, near by the trunk's cosine, drawn from both."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.embed import Embedder
from ctxproc.memory.lexical import LexicalIndex
from training.reader_text import normal

__all__ = ["Pool"]

REACH = 3  # negatives are drawn from so many times as many of the nearest


class Pool:
    """Blocks among which negatives are looked for.

    Args:
        blocks: each is taken once.
        embedder: for negatives by cosine; without it they are all by BM25.
    """

    def __init__(self, blocks: Sequence[str], embedder: Embedder | None = None) -> None:
        self.blocks = list(dict.fromkeys(blocks))
        self._bare = [f" {normal(block)} " for block in self.blocks]
        self._lexical = LexicalIndex()
        self._lexical.add(range(len(self.blocks)), self.blocks)
        self._embedder = embedder
        self._vectors = embedder.embed(self.blocks) if embedder else None

    def of(
        self, query: str, lacking: Sequence[str], count: int, besides: Sequence[str], rng: random.Random
    ) -> list[str]:
        """``count`` blocks, fewer where there are no more, that hold none of ``lacking`` and are none of ``besides``."""
        bare = [f" {normal(text)} " for text in lacking]
        near = list(islice(self._nearest(self._lexical.scores(query), bare, besides), count * REACH))
        if self._embedder is not None and self._vectors is not None:
            cosines = self._vectors @ self._embedder.embed([query], query=True)[0]
            others = islice(self._nearest(cosines, bare, besides), count * REACH)
            near = list(dict.fromkeys(block for pair in zip(near, others, strict=False) for block in pair))
        near = near[: count * REACH]
        return rng.sample(near, min(count, len(near)))

    def _nearest(self, scores: NDArray[np.floating], bare: Sequence[str], besides: Sequence[str]) -> Iterator[str]:
        """Blocks by their scores that hold none of the texts."""
        for k in np.argsort(-scores, kind="stable"):
            if self.blocks[k] not in besides and not any(text in self._bare[k] for text in bare):
                yield self.blocks[k]

"""Chunks that are searched: what the searchers need of them is made once, when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.criteria import Hit, Searcher, catalogue
from ctxproc.memory.fuse import reciprocal_rank

if TYPE_CHECKING:
    from ctxproc.catalogue import Spec
    from ctxproc.memory.embed import Embedder

S = TypeVar("S")
DEPTH = 100
"""How many candidates each searcher gives to a fusion, at least."""


class Corpus:
    """The chunks of one or many documents, in a fixed order. Hits name chunks by their place in ``chunks``.

    Args:
        chunks: not altered.
        embedder: for criteria that embed; loaded when the first of them searches.
        cache: folder of embeddings; None keeps them in memory alone.
        progress: told (chunks embedded, chunks).
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        embedder: Embedder,
        *,
        cache: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.chunks = list(chunks)
        self.embedder = embedder
        self._cache = cache
        self._progress = progress
        self._kept: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], S]) -> S:
        """What ``make`` gave when it was first called with this key."""
        if key not in self._kept:
            self._kept[key] = make()
        made: S = self._kept[key]
        return made

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """One unit vector per chunk, shape (chunks, dimensions); from the cache where it holds them."""
        from ctxproc.memory.embed import embed_cached

        return embed_cached(self.embedder, [chunk.text for chunk in self.chunks], self._cache, self._progress)

    def similar(self, query: str, chunks: Sequence[Chunk]) -> list[float]:
        """The cosine of each of these chunks, all of this corpus, to a query, by their embeddings."""
        if not chunks:
            return []
        places = self.once("places", lambda: {id(chunk): i for i, chunk in enumerate(self.chunks)})
        vectors = self.embeddings[[places[id(chunk)] for chunk in chunks]]
        similarities: list[float] = (vectors @ self.embedder.embed([query], query=True)[0]).tolist()
        return similarities

    def select(
        self, query: str, k: int, search: Sequence[Spec | Searcher] = ("cosine", "bm25"), fuse: str = "rrf"
    ) -> list[Hit]:
        """At most ``k`` chunks, the most relevant first. May be fewer, where no searcher finds more.

        Scores are the fusion's, in (0, 1]: 1 where every searcher ranks the chunk first. One searcher's ranking is
        scored the same way.

        Args:
            query: in words.
            k: how many.
            search: searchers, or their names or specs.
            fuse: ``rrf``, reciprocal rank fusion.

        Raises:
            UnknownNameError, ConfigError: a spec names no searcher or a wrong parameter; there is no such fusion.
        """
        if fuse != "rrf":
            raise UnknownNameError("fusion", fuse, ["rrf"])
        searchers = [_searcher(spec) for spec in search]
        return reciprocal_rank([one.search(self, query, max(k, DEPTH)) for one in searchers])[: max(0, k)]


def _searcher(spec: Spec | Searcher) -> Searcher:
    """The searcher that a spec names."""
    made = spec if isinstance(spec, Searcher) else catalogue.make(spec)
    if not isinstance(made, Searcher):
        raise ConfigError(f"criterion {made.name} re-ranks and cannot search; use it under retrieval.rescore")
    return made

"""Cosine of sentence embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.criteria.base import Hit, Searcher, top

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Cosine(Searcher):
    """Cosine between the embeddings of query and chunk, in [-1, 1]; every chunk has one. No parameters.

    Finds paraphrases; blind to rare names and to languages that the embedding model has not seen. Exact.
    """

    name: ClassVar[str] = "cosine"

    def search(self, corpus: Corpus, query: str, k: int) -> list[Hit]:
        """The ``k`` chunks of highest cosine."""
        if k < 1 or not corpus.chunks:
            return []
        return top(corpus.embeddings @ corpus.embedder.embed([query], query=True)[0], k)

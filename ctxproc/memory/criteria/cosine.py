"""Cosine of sentence embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.base import Ids
from ctxproc.memory.criteria.base import Hit, Searcher

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Cosine(Searcher):
    """Cosine between the embeddings of query and chunk, in [-1, 1]; every chunk has one. No parameters.

    Finds paraphrases; blind to rare names and to languages that the embedding model has not seen. Exact over chunks in
    memory; over a large store as exact as its index says that it is.
    """

    name: ClassVar[str] = "cosine"
    embeds: ClassVar[bool] = True

    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks of highest cosine."""
        return corpus.nearest(query, k, "cosine", among)

"""Inner product of sentence embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.base import Ids
from ctxproc.memory.criteria.base import Hit, Searcher

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class InnerProduct(Searcher):
    """Inner product of the embeddings of query and chunk: REALM's and REPLUG's similarity. No parameters.

    The embedder gives unit vectors, for which this is the cosine; it differs only over vectors of another length.

    Source: Guu et al. 2020, "REALM: Retrieval-Augmented Language Model Pre-Training", section 3.1.
    """

    name: ClassVar[str] = "inner_product"
    embeds: ClassVar[bool] = True

    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks of highest inner product."""
        return corpus.nearest(query, k, "inner_product", among)

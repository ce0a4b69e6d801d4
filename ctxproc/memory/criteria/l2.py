"""Euclidean distance of sentence embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.base import Ids
from ctxproc.memory.criteria.base import Hit, Searcher

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class L2(Searcher):
    """Minus the Euclidean distance between the embeddings of query and chunk: RETRO's neighbours. No parameters.

    The embedder gives unit vectors, over which this ranks as the cosine does. RETRO adds to each neighbour its
    continuation: `neighbours` under ``retrieval.rescore``.

    Source: Borgeaud et al. 2022, "Improving Language Models by Retrieving from Trillions of Tokens", section 2.3.
    """

    name: ClassVar[str] = "l2"
    embeds: ClassVar[bool] = True

    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks at the least distance."""
        return corpus.nearest(query, k, "l2", among)

"""Personalised PageRank from the concepts of the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.base import Ids
from ctxproc.memory.criteria.base import Hit, Searcher
from ctxproc.memory.graph_index import DAMPING

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Graph(Searcher):
    """Personalised PageRank from the query's concepts to the chunks, by way of the concepts that sentences share.

    Finds what is connected with the query by a chain of names and nouns, also where no word is shared; chunks that are not
    connected are not found. Concepts are found by rules in English and Chinese, elsewhere every word is one; see
    `ctxproc.memory.graph_index` for the graph. Exact, to 8 digits. Scores of one query add up to less than 1.

    Args:
        damping: how likely the walk goes on instead of returning to the query; from 0 to below 1, higher: farther.

    Source: Gutiérrez et al. 2024, "HippoRAG: Neurobiologically Inspired Long-Term Memory for Large Language Models".
    """

    name: ClassVar[str] = "graph"
    damping: float = DAMPING

    def __post_init__(self) -> None:
        if not 0 < self.damping < 1:
            raise ValueError(f"damping is above 0 and below 1, not {self.damping}")

    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks of highest PageRank. ``among`` changes no score.

        Raises:
            LimitError: the chunks have more concepts than a graph may have.
        """
        return corpus.found(*corpus.concepts.search(query, k, self.damping, corpus.ids_of(among)))

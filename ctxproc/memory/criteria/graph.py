"""Personalised PageRank from the concepts of the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.base import Ids
from ctxproc.memory.criteria.base import Hit, Searcher
from ctxproc.memory.extract.tagger import WAYS, By
from ctxproc.memory.graph_index import DAMPING

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Graph(Searcher):
    """Personalised PageRank from the query's concepts to the chunks, by way of the concepts that sentences share.

    Finds what is connected with the query by a chain of names and nouns, also where no word is shared; chunks that are not
    connected are not found. See `ctxproc.memory.graph_index` for the graph. Exact, to 8 digits. Scores of one query add up
    to less than 1.

    Args:
        damping: how likely the walk goes on instead of returning to the query; from 0 to below 1, higher: farther.
        concepts: who finds them: ``rules`` for English and Chinese, to which elsewhere every word is one, or the built-in
            ``tagger``, which knows English alone, needs a second for 20,000 characters, and found no more when measured.

    Source: Gutiérrez et al. 2024, "HippoRAG: Neurobiologically Inspired Long-Term Memory for Large Language Models".
    """

    name: ClassVar[str] = "graph"
    damping: float = DAMPING
    concepts: By = "rules"

    def __post_init__(self) -> None:
        if self.concepts not in WAYS:
            raise ValueError(f"concepts is one of {', '.join(WAYS)}, not {self.concepts!r}")
        if not 0 < self.damping < 1:
            raise ValueError(f"damping is above 0 and below 1, not {self.damping}")

    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks of highest PageRank. ``among`` changes no score.

        Raises:
            LimitError: the chunks have more concepts than a graph may have.
            ModelError: the tagger cannot be loaded.
        """
        return corpus.found(*corpus.concepts(self.concepts).search(query, k, self.damping, corpus.ids_of(among)))

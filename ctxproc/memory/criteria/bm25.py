"""BM25 over words, by the corpus's index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.base import Ids
from ctxproc.memory.criteria.base import Hit, Searcher
from ctxproc.memory.lexical import Parameters

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class BM25(Searcher):
    """Okapi BM25 of the query's words in the chunk; at least 0, and above 0 exactly where a word is shared.

    Words are case-folded runs of letters and digits of any script; Chinese, Japanese and Korean are matched by pairs of
    characters. No stemming, no stop words. Chunks without a word of the query are not found.

    Equal to ``rank_bm25.BM25Okapi`` wherever that gives every word a positive weight. It gives none to a word in half
    of the chunks, and a negative one to frequent words of small corpora: such a word weighs
    ``epsilon * log(1 + (N - n + 0.5) / (n + 0.5))`` here (Lucene's form), N chunks, n of them with the word.

    Args:
        k1: how fast repetitions of a word cease to count; at least 0, usually 1.2 to 2.
        b: how much longer chunks are discounted, 0 (not) to 1 (in proportion).
        epsilon: weight of words in more than half of the chunks, as a share of the mean weight; above 0.

    Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3;
    the floor on weights: Trotman et al. 2014, as in rank-bm25.
    """

    name: ClassVar[str] = "bm25"
    k1: float = 1.5
    b: float = 0.75
    epsilon: float = 0.25

    def __post_init__(self) -> None:
        Parameters(self.k1, self.b, self.epsilon)  # checks them

    @property
    def parameters(self) -> Parameters:
        """For the index."""
        return Parameters(self.k1, self.b, self.epsilon)

    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks of highest score among those that share a word with the query. ``among`` weighs no word."""
        return corpus.found(*corpus.lexical.search(query, k, self.parameters, corpus.ids_of(among)))

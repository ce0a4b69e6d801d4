"""BM25 over words, by rank-bm25 with its edge cases repaired."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.criteria.base import Hit, Searcher, top
from ctxproc.text import words

if TYPE_CHECKING:
    from rank_bm25 import BM25Okapi

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
        if not (self.k1 >= 0 and 0 <= self.b <= 1 and self.epsilon > 0):
            raise ValueError(f"needs k1 >= 0, 0 <= b <= 1, epsilon > 0, not {self.k1}, {self.b}, {self.epsilon}")

    def search(self, corpus: Corpus, query: str, k: int) -> list[Hit]:
        """The ``k`` chunks of highest score among those that share a word with the query."""
        index = corpus.once(self, lambda: Index([words(chunk.text) for chunk in corpus.chunks], self))
        scores = index.scores(words(query, query=True))
        return top(scores, k, np.flatnonzero(scores > 0).tolist())


class Index:
    """The words of every chunk, counted.

    Args:
        texts: the words of each chunk.
        parameters: of the formula.
    """

    def __init__(self, texts: Sequence[Sequence[str]], parameters: BM25) -> None:
        self.size = len(texts)
        self.okapi = _okapi(texts, parameters) if any(texts) else None

    def scores(self, query: Sequence[str]) -> NDArray[np.float64]:
        """One score per chunk; a word that stands twice in the query counts twice."""
        known = [word for word in query if self.okapi is not None and word in self.okapi.idf]
        if self.okapi is None or not known:
            return np.zeros(self.size)
        return np.asarray(self.okapi.get_scores(known), dtype=np.float64)


def _okapi(texts: Sequence[Sequence[str]], parameters: BM25) -> BM25Okapi:
    """rank-bm25's index, with a positive weight for every word."""
    from rank_bm25 import BM25Okapi

    okapi = BM25Okapi(texts, k1=parameters.k1, b=parameters.b, epsilon=parameters.epsilon)
    unsound = {word for word, weight in okapi.idf.items() if weight <= 0}
    if unsound:
        chunks_with = Counter(word for found in okapi.doc_freqs for word in unsound.intersection(found))
        for word, n in chunks_with.items():
            okapi.idf[word] = parameters.epsilon * math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
    return okapi

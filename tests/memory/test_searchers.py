"""The searchers, value by value, against brute force in numpy; over chunks in memory and over indexes."""

from __future__ import annotations

import numpy as np
import pytest
from corpora import Letters, chunks_apart, corpus_of, random_texts
from numpy.typing import NDArray

from ctxproc.errors import ConfigError
from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.corpus import Corpus, Metric, searching
from ctxproc.memory.criteria import Hit, Searcher, criterion
from ctxproc.memory.criteria.base import top
from ctxproc.memory.lexical import LexicalIndex

METRICS: tuple[Metric, ...] = ("cosine", "inner_product", "l2")
QUERIES = ("abc ab", "a quick brown fox", "jjj", "")


def slow(metric: str, texts: list[str], query: str) -> list[float]:
    """Each chunk's score, by the definition."""
    asked = Letters().embed([query])[0].astype(float)
    found = []
    for text in texts:
        own = Letters().embed([text])[0].astype(float)
        lengths = float(np.sqrt((own**2).sum() * (asked**2).sum()))
        if metric == "l2":
            found.append(-float(np.sqrt(((own - asked) ** 2).sum())))
        elif metric == "inner_product":
            found.append(float((own * asked).sum()))
        else:
            found.append(float((own * asked).sum()) / lengths if lengths else 0.0)
    return found


def compare(hits: list[Hit], scores: list[float], k: int, among: list[int]) -> None:
    """The hits are the best ``k`` of the scores, up to ties of float32, in order."""
    best = sorted((scores[i] for i in among), reverse=True)[:k]
    assert [hit.score for hit in hits] == pytest.approx(best, abs=2e-4)
    assert [hit.score for hit in hits] == pytest.approx([scores[hit.index] for hit in hits], abs=2e-4)
    assert len({hit.index for hit in hits}) == len(hits) and {hit.index for hit in hits} <= set(among)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("query", QUERIES)
def test_searchers_equal_brute_force(metric: Metric, query: str) -> None:
    texts = [*random_texts(3, 50), "", "zzz", "zzz"]
    corpus, searcher = corpus_of(texts), criterion(metric)
    assert isinstance(searcher, Searcher) and searcher.embeds
    scores = slow(metric, texts, query)
    for k in (1, 7, 53, 90):
        compare(searcher.search(corpus, query, k), scores, k, list(range(53)))
        among = list(range(1, 53, 3))
        compare(searcher.search(corpus, query, k, np.array(among)), scores, k, among)
    assert searcher.search(corpus, query, 0) == searcher.search(corpus_of([]), query, 3) == []


class Plain:
    """A `VectorIndex` by brute force, as its seam says: for "l2" minus the squared distance."""

    def __init__(self, ids: Ids, vectors: Matrix) -> None:
        self.ids = ids
        self.kept = vectors

    def search(self, query: Matrix, k: int, metric: str, among: Ids | None = None) -> tuple[Ids, NDArray[np.float32]]:
        scores = -((self.kept - query) ** 2).sum(1) if metric == "l2" else self.kept @ query
        allowed = None if among is None else np.flatnonzero(np.isin(self.ids, among))
        hits = top(scores, k, allowed)
        return self.ids[[h.index for h in hits]], np.array([h.score for h in hits], np.float32)

    def vectors(self, ids: Ids) -> Matrix:
        return self.kept[np.searchsorted(self.ids, ids)]


@pytest.mark.parametrize("name", [*METRICS, "bm25"])
def test_an_index_is_searched_by_ids_and_gives_the_same_hits_as_chunks_in_memory(name: str) -> None:
    texts = random_texts(5, 40)
    ids = np.arange(40, dtype=np.int64) * 3 + 7
    words = LexicalIndex()
    words.add(ids, texts)
    index = Plain(ids, Letters().embed(texts))
    stored = Corpus(chunks_apart(texts), Letters(), ids=ids, vectors=lambda: index, lexical=lambda: words)  # type: ignore[arg-type,return-value]
    searcher = criterion(name)
    assert isinstance(searcher, Searcher)
    for among in (None, np.array([1, 4, 5, 30])):
        for query in QUERIES[:3]:
            plain = searcher.search(corpus_of(texts), query, 9, among)
            found = searcher.search(stored, query, 9, among)
            assert [hit.index for hit in found] == [hit.index for hit in plain] or name != "bm25"
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in plain], abs=2e-4)
    assert stored.vectors_of([3, 0]).tolist() == Letters().embed([texts[3], texts[0]]).tolist()


def test_ids_that_the_corpus_lacks_are_left_out() -> None:
    corpus = Corpus(chunks_apart(["a", "b"]), Letters(), ids=np.array([4, 9]))
    found = corpus.found(np.array([9, 2, 11, 4]), np.array([0.9, 0.8, 0.7, 0.6]))
    assert found == [Hit(1, 0.9), Hit(0, 0.6)]


def test_a_scorer_cannot_search_and_no_searcher_is_named_twice() -> None:
    with pytest.raises(ConfigError, match=r"rouge2 re-ranks and cannot search; use it under retrieval\.rescore"):
        searching(["rouge2"])
    with pytest.raises(ConfigError, match="names bm25 twice"):
        searching(["bm25", {"bm25": {"k1": 1.2}}])


def test_a_lazy_sequence_of_chunks_is_asked_only_for_what_is_read() -> None:
    class Lazy(list[object]):
        asked: list[int] = []  # noqa: RUF012

        def __getitem__(self, place: object) -> object:
            assert isinstance(place, int)
            self.asked.append(place)
            return super().__getitem__(place)  # type: ignore[index]

    texts = random_texts(1, 30)
    words = LexicalIndex()
    words.add(np.arange(30), texts)
    chunks = Lazy(chunks_apart(texts))
    corpus = Corpus(chunks, Letters(), lexical=lambda: words)  # type: ignore[arg-type]
    assert len(corpus.select(texts[4], 5, search=["bm25"])) == 5 and chunks.asked == []
    hits = corpus.select(texts[4], 5, search=["bm25"], rescore=["rouge2"], depth=7)
    assert len(hits) == 5 and len(chunks.asked) == 7

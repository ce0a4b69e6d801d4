"""Criteria against brute force, rank-bm25 and the formulas they name."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.corpus import Corpus
from ctxproc.memory.criteria import Hit, catalogue, criterion
from ctxproc.memory.criteria.base import top
from ctxproc.memory.criteria.bm25 import BM25
from ctxproc.memory.embed import Embedder
from ctxproc.memory.fuse import ReciprocalRank, Weighted
from ctxproc.text import words

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data" / "eval"


class Letters(Embedder):
    """A vector counts the letters of a text."""

    calls = 0

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        self.calls += 1
        counts = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def corpus_of(texts: Sequence[str]) -> Corpus:
    chunks = [Chunk(Document.from_text(text), 0, len(text), 1, 0) for text in texts]
    return Corpus(chunks, Letters())


def random_texts(seed: int, n: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(f"w{int(rng.expovariate(0.08))}" for _ in range(rng.randint(3, 40))) for _ in range(n)]


@pytest.mark.parametrize(
    ("texts", "query", "found"),
    [
        ([], "lamp", []),
        (["the lamp"], "lamp", [0]),
        (["the lamp"], "boat", []),
        ([""], "lamp", []),
        (["", "  ", "!?"], "lamp", []),
        (["the lamp", "the boat"], "lamp", [0]),
        (["the lamp", "the boat"], "the", [0, 1]),
        (["the lamp", "the boat", "the lamp"], "the boat", [1, 0, 2]),
        (["the lamp", "lamp", "lamp x"], "", []),
    ],
)
def test_bm25_of_few_chunks(texts: list[str], query: str, found: list[int]) -> None:
    hits = corpus_of(texts).select(query, 5, search=["bm25"])
    assert [hit.index for hit in hits] == found
    assert all(hit.score > 0 for hit in hits)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=8), st.text(max_size=12))
def test_bm25_takes_any_text(texts: list[str], query: str) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    hits = corpus_of(clean).select(query, 3, search=["bm25"])
    assert len(hits) <= 3 and all(hit.score > 0 for hit in hits)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Lamp's keeper, 1923!", ["the", "lamp", "s", "keeper", "1923"]),
        ("ＦＵＬＬ ﬁne Straße", ["full", "fine", "strasse"]),
        ("snake_case camelCase x2", ["snake", "case", "camelcase", "x2"]),
        ("cafe\u0301 naïve", ["café", "naïve"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("שָׁלוֹם мир", ["שָׁלוֹם", "мир"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    import unicodedata

    assert words(text) == [unicodedata.normalize("NFKC", word) for word in found]


def test_words_of_chinese_japanese_and_korean() -> None:
    assert words("诸葛亮，字孔明") == ["诸", "葛", "亮", "诸葛", "葛亮", "字", "孔", "明", "字孔", "孔明"]
    assert words("诸葛亮", query=True) == ["诸葛", "葛亮"]
    assert words("亮", query=True) == ["亮"]
    assert words("GPU加速abc", query=True) == ["gpu", "加速", "abc"]
    assert words("カタカナ", query=True) == ["カタ", "タカ", "カナ"]
    assert words("서울", query=True) == ["서울"]
    assert [hit.index for hit in corpus_of(["天下大势", "诸葛亮", "无"]).select("亮", 3, search=["bm25"])] == [1]


def test_ties_are_in_chunk_order() -> None:
    assert top(np.array([1.0, 3.0, 1.0, 3.0]), 3) == [Hit(1, 3.0), Hit(3, 3.0), Hit(0, 1.0)]
    assert top(np.array([1.0, 3.0, 2.0]), 2, among=[0, 2]) == [Hit(2, 2.0), Hit(0, 1.0)]
    assert top(np.array([1.0]), 0) == top(np.array([]), 3) == []
    corpus = corpus_of(["same text"] * 5)
    for search in (["cosine"], ["bm25"], ["cosine", "bm25"]):
        assert [hit.index for hit in corpus.select("text", 3, search=search)] == [0, 1, 2]


def test_select_fuses_what_the_searchers_find() -> None:
    corpus = corpus_of(random_texts(5, 30))
    rankings = {name: criterion(name).search(corpus, "w1 w3 w8", 100) for name in ("cosine", "bm25")}  # type: ignore[attr-defined]
    assert corpus.select("w1 w3 w8", 6) == Weighted({"cosine": 0.6, "bm25": 0.4})(rankings)[:6]
    assert corpus.select("w1 w3 w8", 6, fuse="rrf") == ReciprocalRank()(rankings)[:6]
    assert corpus.select("w1", 0) == [] and len(corpus.select("w1", 1000)) == 30
    assert corpus_of([]).select("w1", 5) == []


def test_state_is_built_once_for_all_parameters() -> None:
    corpus = corpus_of(["a lamp", "a boat"])
    for _ in range(3):
        corpus.select("lamp", 1)
    assert corpus.embedder.calls == 1 + 3  # type: ignore[attr-defined]
    index = corpus.lexical
    corpus.select("lamp", 1, search=[{"bm25": {"k1": 1.2}}])
    assert corpus.lexical is index and corpus.embedder.calls == 1 + 3  # type: ignore[attr-defined]


def test_catalogue() -> None:
    assert {"bm25", "cosine"} <= set(catalogue.names())
    assert catalogue.make({"bm25": {"k1": 1.2}}) == criterion("bm25", k1=1.2) == BM25(k1=1.2)


def test_wrong_names_and_parameters() -> None:
    corpus = corpus_of(["a"])
    with pytest.raises(UnknownNameError, match=r"bm25, .*cosine"):
        corpus.select("a", 1, search=["bm52"])
    with pytest.raises(ConfigError, match="b, epsilon, k1"):
        criterion("bm25", k2=1)
    for wrong in ({"k1": -1.0}, {"b": 2.0}, {"epsilon": 0.0}, {"k1": "x"}):
        with pytest.raises(ConfigError, match="bm25"):
            criterion("bm25", **wrong)
    with pytest.raises(UnknownNameError, match="rrf"):
        corpus.select("a", 1, fuse="sum")


@pytest.mark.skipif(not (SHARED / "drcd").is_dir(), reason="../shared/data/eval/drcd is absent")
def test_chinese_questions_find_their_passages() -> None:
    data = json.loads((SHARED / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]][:300]
    corpus = corpus_of([paragraph["context"] for paragraph in paragraphs])
    asked = [(item["question"], i) for i, paragraph in enumerate(paragraphs) for item in paragraph["qas"][:1]]
    found = [corpus.select(question, 1, search=["bm25"])[0].index == i for question, i in asked]
    assert np.mean(found) > 0.9

"""Personalised PageRank over concepts, value by value against networkx; the criterion over chunks and over a memory."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from corpora import corpus_of
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import memory_of, settings_of

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import ConfigError, LimitError
from ctxproc.memory.corpus import Corpus
from ctxproc.memory.criteria import criterion
from ctxproc.memory.criteria.graph import Graph
from ctxproc.memory.embed import Embedder
from ctxproc.memory.extract.concepts import concepts, sentences
from ctxproc.memory.graph_index import ConceptIndex, Floats, Walk

NAMES = [f"{first}{last}" for first in "BCDFGL" for last in ("ano", "eru", "ilo", "omas")]


def said(rng: random.Random, most: int = 4) -> str:
    """Sentences of names; some repeat a name, some have none."""
    return " ".join(
        " and ".join(rng.choices(NAMES, k=rng.randint(0, 5)) or ["so"]) + "." for _ in range(rng.randint(0, most))
    )


def slow(texts: dict[int, str], query: str, damping: float) -> dict[int, float]:
    """The PageRank of each passage, by networkx on a graph of concepts, sentences and passages."""
    graph = nx.Graph()
    held: Counter[str] = Counter()
    for key, text in texts.items():
        stems = [[one.stem for one in concepts(sentence)] for sentence in sentences(text)]
        held.update({stem for some in stems for stem in some})
        for number, some in enumerate(stems):
            for stem in some:
                graph.add_edge(("sentence", key, number), ("concept", stem))
                graph.add_edge(("sentence", key, number), ("passage", key))
    asked = {one.stem for one in concepts(query)} & set(held)
    if not asked:
        return {}
    home = {("concept", stem): math.log(1 + len(texts) / held[stem]) for stem in asked}
    ranks = nx.pagerank(graph, alpha=damping, personalization=home, tol=1e-14, max_iter=10_000)
    return {key: ranks["passage", key] for key in texts if ranks.get(("passage", key), 0) > 0}


def compare(index: ConceptIndex, texts: dict[int, str], query: str, damping: float = 0.5) -> None:
    expected = slow(texts, query, damping)
    ids, scores = index.search(query, len(texts) + 1, damping)
    found = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    assert {key: found.get(key, 0.0) for key in texts} == pytest.approx(
        {key: expected.get(key, 0.0) for key in texts}, abs=2e-8
    )
    assert set(found) <= set(expected) and (scores > 0).all()
    assert sorted(zip(-scores, ids, strict=True)) == list(zip(-scores, ids, strict=True))


@pytest.mark.parametrize("damping", [0.1, 0.5, 0.85, 0.99])
def test_scores_are_the_pagerank_of_networkx(damping: float) -> None:
    rng = random.Random(round(100 * damping))
    texts = {7 * i: said(rng) for i in range(60)}
    index = ConceptIndex()
    index.add(list(texts), list(texts.values()))
    for query in (NAMES[3], " or ".join(NAMES[5:9]), "Nobody knows."):
        compare(index, texts, query, damping)


def test_a_walk_reaches_what_shares_no_word_with_the_question() -> None:
    texts = ["Anselm met Brida.", "Brida keeps a lantern.", "Corvin sold a lantern.", "Dorian sleeps."]
    index = ConceptIndex()
    index.add(range(4), texts)
    ids, scores = index.search("Who is Anselm?", 9)
    assert ids.tolist() == [0, 1, 2] and scores.sum() < 1
    assert [hit.index for hit in corpus_of(texts).select("Who is Anselm?", 9, search=["graph"])] == [0, 1, 2]


def test_a_rare_concept_of_the_question_counts_more() -> None:
    texts = ["Anselm rests.", "Brida rests.", "Brida waits.", "Brida sings.", "Brida rows."]
    index = ConceptIndex()
    index.add(range(5), texts)
    assert index.search("Anselm and Brida", 1)[0].tolist() == [0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_after_any_adding_and_removing_it_equals_one_that_was_built_of_what_is_left(seed: int) -> None:
    rng = random.Random(seed)
    index, texts = ConceptIndex(), dict[int, str]()
    for _ in range(rng.randint(1, 12)):
        if texts and rng.random() < 0.45:
            gone = rng.sample(sorted(texts), rng.randint(1, len(texts)))
            index.remove([*gone, 999])
            for key in gone:
                del texts[key]
        new = {key: said(rng) for key in rng.sample(range(60), 6) if key not in texts}
        index.add(list(new), list(new.values()))
        texts |= new
    built = ConceptIndex()
    built.add(sorted(texts), [texts[key] for key in sorted(texts)])
    assert index.ids.tolist() == built.ids.tolist() == sorted(texts) and len(index) == len(texts)
    assert index.concepts == built.concepts
    for query in (" ".join(NAMES), NAMES[0], NAMES[11]):
        found, expected = index.search(query, 99), built.search(query, 99)
        assert dict(zip(*map(np.ndarray.tolist, found), strict=True)) == pytest.approx(
            dict(zip(*map(np.ndarray.tolist, expected), strict=True)), abs=1e-9
        )
        compare(index, texts, query)


def test_what_was_removed_leaves_no_concept_behind() -> None:
    index = ConceptIndex()
    index.add([1, 2, 3], ["Anselm rests.", "Brida rests.", ""])
    index.remove([1])
    assert index.search("Anselm", 5)[0].tolist() == [] and index.concepts == 1
    index.remove([2])
    assert len(index) == 1 and index.search("Brida", 5)[0].tolist() == []
    index.add([1], ["Brida is back."])
    assert index.search("Brida", 5)[0].tolist() == [1]


def test_what_it_needs_does_not_grow_with_what_was_removed() -> None:
    index = ConceptIndex()
    for key in range(200):
        index.add([key], [f"{NAMES[key % 20]} met {1000 + key}."])
        index.remove([key - 5])
    assert len(index) == 5 and index.concepts == 10
    assert len(index._vocabulary) <= 30 and len(index._mentions) <= 30


def test_the_walk_settles_in_far_fewer_steps_than_the_plain_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    plain = Walk._there_and_back

    def counted(walk: Walk, at: Floats) -> Floats:
        steps.append(1)
        return plain(walk, at)

    monkeypatch.setattr(Walk, "_there_and_back", counted)
    rng = random.Random(1)
    index = ConceptIndex()
    index.add(range(60), [said(rng) for _ in range(60)])
    assert len(index.search(NAMES[3], 9, 0.9)[0]) == 9
    assert len(steps) <= 40  # the plain iteration needs 175: log(1e-8) / log(0.9)


def test_an_id_that_is_there_is_refused_and_nothing_changes() -> None:
    index = ConceptIndex()
    index.add([4], ["Anselm rests."])
    with pytest.raises(ValueError, match="id of its own"):
        index.add([4], ["Brida rests."])
    assert index.search("Brida", 5)[0].tolist() == [] and index.search("Anselm", 5)[0].tolist() == [4]


def test_a_graph_holds_no_more_concepts_than_its_limit() -> None:
    index = ConceptIndex(limit=2)
    index.add([1, 2], ["Anselm rests.", "Brida met Anselm."])
    with pytest.raises(LimitError, match=r"more than 2 concepts; raise limits\.nodes"):
        index.add([3], ["Corvin met Brida."])
    assert index.ids.tolist() == [1, 2] and index.concepts == 2
    index.remove([2])
    index.add([3], ["Corvin met Anselm."])
    assert index.search("Corvin", 5)[0].tolist() == [3, 1]


def test_among_changes_no_score_and_k_cuts_the_same_order() -> None:
    rng = random.Random(3)
    texts = [said(rng) for _ in range(50)]
    corpus, searcher = corpus_of(texts), criterion("graph")
    assert isinstance(searcher, Graph)
    query = f"{NAMES[0]} and {NAMES[1]}"
    everything = searcher.search(corpus, query, 99)
    scores = {hit.index: hit.score for hit in everything}
    assert everything == sorted(everything, key=lambda hit: (-hit.score, hit.index)) and len(everything) > 30
    for k in (0, 1, 7, 20):
        assert searcher.search(corpus, query, k) == everything[:k]
        among = np.arange(1, 50, 3)
        assert searcher.search(corpus, query, k, among) == [h for h in everything if h.index % 3 == 1][:k]
    assert searcher.search(corpus, query, 5, np.array([2])) == [h for h in everything if h.index == 2]
    assert scores == pytest.approx(slow(dict(enumerate(texts)), query, 0.5), abs=2e-8)


@pytest.mark.parametrize("texts", [[], [""], ["", "  ", "!?"]])
def test_chunks_without_concepts_are_not_found(texts: Sequence[str]) -> None:
    assert corpus_of(texts).select("Anselm", 5, search=["graph"]) == []
    assert corpus_of([*texts, "Anselm rests."]).select("", 5, search=["graph"]) == []


def test_chunks_of_one_document_and_chinese_are_found() -> None:
    document = Document.from_text("Anselm keeps a lantern. 我妹妹住在北京。北京有很多桥。")
    cuts = [0, 24, 32, len(document.text)]
    chunks = [Chunk(document, start, end, 1, i) for i, (start, end) in enumerate(pairwise(cuts))]
    corpus = Corpus(chunks, Embedder())
    assert [hit.index for hit in corpus.select("我妹妹在哪里？", 5, search=["graph"])] == [1, 2]


def test_damping_outside_of_its_range_is_refused() -> None:
    for damping in (0, 1, -0.5, math.nan):
        with pytest.raises(ConfigError, match="damping is above 0 and below 1"):
            criterion("graph", damping=damping)


def test_a_memory_is_searched_by_it_and_what_is_forgotten_is_not_found(tmp_path: Path) -> None:
    notes = ("Anselm met Brida.", "Brida keeps a lantern.", "Corvin sold a lantern.", "Dorian sleeps.")
    with memory_of(tmp_path, *notes, settings=settings_of("retrieval.search=[graph]")) as memory:
        assert [item.text for item in memory.recall("Who is Anselm?")] == list(notes[:3])
        assert memory.recall("Who is Anselm?")[0].shares.keys() == {"graph"}
        memory.remember("Dorian met Anselm.")
        assert {item.id for item in memory.recall("Who is Anselm?")} == {1, 2, 3, 4, 5}
        memory.forget([2])
        assert {item.id for item in memory.recall("Who is Anselm?")} == {1, 4, 5}
        memory.edit(1, "Nothing was said.")
        assert {item.id for item in memory.recall("Who is Anselm?")} == {4, 5}

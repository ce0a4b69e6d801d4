"""The graph of concepts by the built-in tagger: the same graph as of what it finds, chosen by name, and never facts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from corpora import corpus_of
from memories import memory_of

from ctxproc.memory.criteria import criterion
from ctxproc.memory.criteria.graph import Graph
from ctxproc.memory.extract.concepts import Concept, Said, by_rules
from ctxproc.memory.extract.tagger import finder
from ctxproc.memory.facts_shelf import FactShelf
from ctxproc.memory.graph import ConceptGraph
from ctxproc.memory.graph_index import ConceptIndex
from ctxproc.memory.graph_shelf import GraphShelf, IndexShelf

TEXTS = ("anna moved to lyon in 2019.", "lyon lies on the rhone.", "We had pasta.")


def pairs(texts: Sequence[str]) -> list[Said]:
    """Words by twos, as one concept each."""
    made: list[Said] = []
    for text in texts:
        twos = (" ".join(two) for two in pairwise(text.split()))
        made.append([(text, [Concept(two, two.lower(), False) for two in twos])])
    return made


def test_an_index_and_a_graph_use_their_finder_for_passages_and_questions() -> None:
    index = ConceptIndex(finder=pairs)
    index.add([1, 2], ["Red House here", "red car"])
    assert index.concepts == 3 and index.search("the RED house", 5)[0].tolist() == [1]
    graph = ConceptGraph(finder=pairs)
    assert graph.context("red house") == [] and sorted(graph.links) == []


def test_the_finder_of_a_name_is_the_same_at_every_call() -> None:
    assert finder("rules") is by_rules and finder("tagger") is finder("tagger") is not finder("tagger", "cpu")


def test_the_criterion_searches_by_what_the_tagger_finds() -> None:
    corpus, chosen = corpus_of(TEXTS), criterion("graph", concepts="tagger")
    assert isinstance(chosen, Graph)
    hits = chosen.search(corpus, "where is lyon", 5)
    assert {hit.index for hit in hits} == {0, 1}
    index = ConceptIndex(finder=finder("tagger"))
    index.add([0, 1, 2], TEXTS)
    ids, scores = index.search("where is lyon", 5)
    assert [hit.index for hit in hits] == ids.tolist() and [hit.score for hit in hits] == scores.tolist()
    assert corpus.concepts("tagger") is corpus.concepts("tagger") is not corpus.concepts()


def test_what_the_tagger_finds_becomes_no_fact_whoever_said_it(tmp_path: Path) -> None:
    with memory_of(tmp_path) as memory:
        memory.remember("Anna Silva was born in Lyon, France, in 1990.", kind="turn", metadata={"role": "assistant"})
        memory.remember("Angela Merkel was born in Hamburg, Germany.", kind="turn", metadata={"role": "user"})
        shelf = GraphShelf(memory.store, memory.owner, finder=finder("tagger"))
        assert {"anna", "silva", "merkel", "hamburg"} <= set(shelf.graph().index._vocabulary)
        index = IndexShelf(memory.store, memory.owner, "memory", finder=finder("tagger")).index()
        assert index.search("Who is Merkel?", 5)[0].tolist()[0] == 2
        assert FactShelf(memory.store, memory.owner).facts().all == []

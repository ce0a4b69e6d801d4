"""RecallM's graph: order, steps, strength, window, revision; and that it is nothing but its passages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from corpora import passage
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import memory_of

from ctxproc.errors import LimitError
from ctxproc.memory.base import Note, Owner, Passage
from ctxproc.memory.extract.concepts import concepts
from ctxproc.memory.graph import ConceptGraph, Revise, Told, kept
from ctxproc.memory.graph_shelf import GraphShelf, IndexShelf
from ctxproc.text import words

DAY = datetime(2026, 5, 1, tzinfo=UTC)
NAMES = [f"{first}{last}" for first in "BCDFGL" for last in ("ano", "eru", "ilo", "omas")]


def turn(key: int, text: str) -> Passage:
    return passage(key, text, DAY, kind="turn")


def graph_of(*texts: str, limit: int = 1000, revise: Revise | None = None) -> ConceptGraph:
    """Each text is an update of its own."""
    graph = ConceptGraph(limit=limit, revise=revise)
    for key, text in enumerate(texts, 1):
        graph.update([turn(key, text)])
    return graph


def told(graph: ConceptGraph, question: str) -> dict[str, Told]:
    return {one.stem: one for one in graph.context(question)}


def plain(graph: ConceptGraph) -> tuple[object, ...]:
    """All that a graph says, as values."""
    drawn = graph.snapshot()
    contexts = [graph.context(name) for name in NAMES]
    ranked = [[(key, round(score, 8)) for key, score in sorted(graph.rank(name, 99))] for name in NAMES]
    return graph.t, dict(drawn.nodes(data=True)), sorted(map(repr, drawn.edges(data=True))), contexts, ranked


def test_what_is_told_stands_in_the_order_in_which_it_was_said() -> None:
    graph = graph_of("The door is red.", "A ferry leaves at seven.", "The door is blue.")
    assert told(graph, "What colour is the door?")["door"].text == "The door is red. The door is blue."
    assert told(graph, "door?")["door"].passages == (1, 3)


def test_each_update_is_one_step_whatever_it_brings() -> None:
    graph = ConceptGraph()
    graph.update([turn(1, "Anselm rests.")])
    graph.update([turn(2, "Brida met Anselm."), turn(3, "Brida rests."), turn(4, "So?")])
    assert graph.t == 2
    graph.update([turn(5, "And so on.")])
    assert graph.t == 3
    graph.update([])
    graph.update([passage(6, "Corvin lives in Lyon.", DAY, kind="fact")])
    assert graph.t == 3 and 6 not in graph and 5 in graph


def test_strength_counts_the_steps_in_which_two_concepts_followed_each_other() -> None:
    graph = graph_of(
        "Anselm met Brida.", "Anselm met Brida. Anselm saw Brida.", "Brida met Anselm.", "Brida met Corvin."
    )
    edges = graph.snapshot().edges
    assert edges["anselm", "brida"] == {"t": 3, "strength": 3}
    assert edges["brida", "corvin"] == {"t": 4, "strength": 1}
    assert ("anselm", "corvin") not in edges


def test_two_passages_of_one_update_strengthen_a_link_once() -> None:
    graph = ConceptGraph()
    graph.update([turn(1, "Anselm met Brida."), turn(2, "Brida met Anselm.")])
    assert graph.snapshot().edges["anselm", "brida"]["strength"] == 1
    assert told(graph, "Anselm?")["anselm"].value == 3 * 1 + 1
    graph.remove([1])
    assert graph.snapshot().edges["anselm", "brida"]["strength"] == 1
    graph.remove([2])
    assert graph.t == 0 and not graph.links


@pytest.mark.parametrize(("between", "found"), [(14, True), (15, False)])
def test_a_neighbour_last_mentioned_more_than_15_updates_before_is_outside_of_the_window(
    between: int, found: bool
) -> None:
    said = ["Anselm met Brida.", *(f"Nobody {i}." for i in range(between)), "Anselm rests."]
    graph = graph_of(*said)
    assert graph.last("anselm") - graph.last("brida") == between + 1
    assert ("brida" in told(graph, "Where is Anselm?")) is found


def test_a_neighbour_that_was_mentioned_since_is_outside_of_the_window_of_the_older_concept() -> None:
    graph = graph_of("Anselm met Brida.", "Brida rests.")
    assert set(told(graph, "Anselm?")) == {"anselm"} and set(told(graph, "Brida?")) == {"anselm", "brida"}


def test_neighbours_are_two_links_away_at_most() -> None:
    graph = graph_of("Dorian met Corvin.", "Corvin met Brida.", "Brida met Anselm.")
    assert set(told(graph, "Anselm?")) == {"anselm", "brida", "corvin"}


def test_a_concept_without_a_neighbour_is_stored_and_told() -> None:
    graph = graph_of("Anselm!", "Brida met Corvin.")
    assert "anselm" in graph.links and graph.links.degree["anselm"] == 0
    assert [one.text for one in graph.context("Who is Anselm?")] == ["Anselm!"]


def test_the_best_neighbours_come_last_and_the_questions_own_concepts_after_them() -> None:
    pairs = [f"Anselm met {name}." for name in NAMES[:14]]
    graph = graph_of(*pairs, f"Anselm met {NAMES[3]} again.")
    found = graph.context("Anselm?")
    # a link's value is 3 x its last step + its strength
    values = {name: 3 * (place + 1) + 1 for place, name in enumerate(NAMES[:14])} | {NAMES[3]: 3 * 15 + 2}
    best = sorted(values, key=lambda name: values[name])[-9:]
    assert [one.concept for one in found] == [*best, "Anselm"]
    assert [one.value for one in found] == [*(values[name] for name in best), sum(values.values())]
    assert [one.essential for one in found] == [False] * 9 + [True]
    assert [one.concept for one in graph.context("Anselm?", most=3)] == [*best[-2:], "Anselm"]
    assert [one.concept for one in graph.context("Anselm?", most=0)] == ["Anselm"]
    assert [one.concept for one in graph.context(f"Anselm or {NAMES[0]}?", most=0)] == [NAMES[0], "Anselm"]


def test_without_a_concept_of_the_question_nothing_is_told() -> None:
    graph = graph_of("Anselm met Brida.")
    assert graph.context("Where is it?") == graph.context("Corvin?") == graph.context("") == []
    assert graph.rank("Corvin?", 5) == []


def test_of_more_than_three_concepts_those_around_the_first_name_stand_for_a_sentence() -> None:
    def names(sentence: str) -> list[str]:
        return [one.surface for one in kept(concepts(sentence))]

    assert names("The keeper gave Brida a lantern and bread.") == ["keeper", "Brida", "lantern"]
    assert names("The keeper has a lantern.") == ["keeper", "lantern"]
    assert names("The keeper has a lantern, bread, cheese and wine.") == ["lantern", "bread", "cheese"]
    assert names("Brida's boat has a lantern, bread and cheese.") == ["Brida", "boat"]


def test_what_is_longer_than_80_words_is_cut_to_the_newest_sentences() -> None:
    said = [f"Anselm counted {' '.join(['so'] * 20)} {number}." for number in range(7)]
    [found] = [one for one in graph_of(*said).context("Anselm?") if one.essential]
    assert found.text == " ".join(said[-3:]) and found.passages == (5, 6, 7)
    assert len(words(found.text)) <= 80 < len(words(" ".join(said[-4:])))


def test_a_single_longer_sentence_is_told_whole() -> None:
    long = f"Anselm counted {' '.join(['so'] * 100)}."
    [found] = graph_of("Anselm rests.", long).context("Anselm?")
    assert found.text == long and found.passages == (2,)


def test_a_reviser_shortens_what_is_too_long_once_for_each_state() -> None:
    asked: list[tuple[str, int]] = []

    def revise(concept: str, said: Sequence[str]) -> str:
        asked.append((concept, len(said)))
        return f"{concept}, {len(said)} times."

    graph = graph_of("Brida rests.", revise=revise)
    for key in range(2, 9):
        graph.update([turn(key, f"Anselm counted {' '.join(['so'] * 20)}.")])
    assert told(graph, "Anselm?")["anselm"].text == "Anselm, 7 times." == told(graph, "Anselm?")["anselm"].text
    assert told(graph, "Brida?")["brida"].text == "Brida rests." and asked == [("Anselm", 7)]
    graph.remove([3])
    assert told(graph, "Anselm?")["anselm"].text == "Anselm, 6 times."
    assert told(graph, "Anselm?")["anselm"].passages == (2, 4, 5, 6, 7, 8)


def test_hybrid_is_the_union_with_another_memory() -> None:
    graph = graph_of("Anselm met Brida.", "Brida rests.", "Corvin rests.", "Anselm sleeps.")
    assert graph.hybrid("Anselm?", [3, 1]) == [3, 1, 2, 4]
    assert set(graph.hybrid("Anselm?", [3, 1])) == {3, 1} | {
        key for one in graph.context("Anselm?") for key in one.passages
    }
    assert graph.hybrid("Dorian?", [2, 2]) == [2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_after_any_changes_it_equals_one_that_was_built_of_what_is_left(seed: int) -> None:
    rng = random.Random(seed)
    graph, there = ConceptGraph(), dict[int, str]()
    for key in rng.sample(range(1, 40), 25):
        text = " ".join(" met ".join(rng.choices(NAMES, k=rng.randint(1, 5))) + "." for _ in range(rng.randint(0, 3)))
        there[key] = text
        graph.update([turn(key, text)])
        if rng.random() < 0.4:
            gone = rng.choice(sorted(there))
            del there[gone]
            graph.remove([gone, 999])
    built = ConceptGraph()
    for key in sorted(there):
        built.update([turn(key, there[key])])
    assert plain(graph) == plain(built)


def test_a_graph_holds_no_more_concepts_than_its_limit() -> None:
    graph = ConceptGraph(limit=2)
    graph.update([turn(1, "Anselm met Brida.")])
    with pytest.raises(LimitError, match=r"raise limits\.nodes"):
        graph.update([turn(2, "Corvin rests.")])
    assert 2 not in graph and graph.t == 1 and sorted(graph.links) == ["anselm", "brida"]


def test_a_shelf_is_followed_through_additions_edits_and_forgetting(tmp_path: Path) -> None:
    with memory_of(tmp_path, "Bano met Beru.", "Bano rests.") as memory:
        shelf, index = GraphShelf(memory.store, memory.owner), IndexShelf(memory.store, memory.owner, "memory")
        graph = shelf.graph()
        assert graph.t == 2 and [key for key, _ in graph.rank("Beru?", 9)] == [1, 2]
        third = memory.remember("Bilo met Bano.", kind="turn")
        memory.remember("Bano lives in Lyon.", kind="fact")
        memory.edit(1, "Cilo met Beru.")
        memory.forget([2])
        assert shelf.graph() is graph and graph.t == 2 and sorted(map(int, graph.index.ids)) == [1, third]
        fresh = GraphShelf(memory.store, memory.owner).graph()
        assert plain(graph) == plain(fresh) and "lyon" not in graph.links
        found = index.index()
        assert len(found) == 3 and found.search("Lyon", 9)[0].tolist() == [4, 3]
        memory.forget([4])
        assert index.index() is found and found.search("Lyon", 9)[0].tolist() == []
        assert found.search("Bano", 9)[0].tolist() == [3]


def test_a_shelf_over_the_limit_says_so_each_time_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with memory_of(tmp_path, "Bano met Beru.", "Cano met Ceru.") as memory:
        for shelf in (
            GraphShelf(memory.store, memory.owner, limit=3),
            IndexShelf(memory.store, memory.owner, "memory", limit=3),
        ):
            read = shelf.graph if isinstance(shelf, GraphShelf) else shelf.index
            for _ in range(2):
                with pytest.raises(LimitError):
                    read()
        second = GraphShelf(memory.store, memory.owner, limit=3)
        with pytest.raises(LimitError):
            second.graph()
        memory.forget([2])
        assert second.graph().t == 1


def test_no_other_owners_words_are_in_the_graph(tmp_path: Path) -> None:
    with memory_of(tmp_path, "Bano met Beru.") as memory:
        memory.store.add(Owner("bob"), [Note("Canary met Cano.")])
        graph = GraphShelf(memory.store, memory.owner).graph()
        assert sorted(graph.links) == ["bano", "beru"] and graph.rank("Canary", 5) == []

"""Facts that supersede: validity against a plain list replayed day by day, reads of every pattern, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import memory_of

from ctxproc.errors import UsageError
from ctxproc.memory.base import Matrix, Note, Passage
from ctxproc.memory.extract.base import Triple
from ctxproc.memory.facts import Fact, Facts, fact_note
from ctxproc.memory.facts_shelf import FactShelf, correct, retract

START = datetime(2025, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def row(key: int, at: int, subject: str, relation: str, object: str, **told: object) -> Passage:
    """A fact of day ``at``; ``told`` are more metadata."""
    metadata = {"subject": subject, "relation": relation, "object": object, **told}
    return Passage(key, Note(f"{subject} {relation} {object}.", "fact", day(at), metadata=metadata))  # type: ignore[arg-type]


def shown(facts: Sequence[Fact]) -> list[tuple[str, int, int | None]]:
    """Object, day of since, day of until."""
    return [(f.object, (f.since - START).days, (f.until - START).days if f.until else None) for f in facts]


HOMES = [
    row(1, 0, "alice", "lives in", "Paris"),
    row(2, 10, "alice", "lives in", "Lyon"),
    row(3, 30, "alice", "lives in", "Nice"),
]


def test_a_new_value_supersedes_the_old_one_which_stays_with_its_interval() -> None:
    facts = Facts.of(HOMES)
    assert shown(facts.read("alice", "lives in")) == [("Nice", 30, None)]
    assert shown(facts.history("alice", "lives in")) == [("Paris", 0, 10), ("Lyon", 10, 30), ("Nice", 30, None)]
    asked = {
        at: [f.object for f in facts.read("alice", "lives in", as_of=day(at))] for at in (-1, 0, 9, 10, 29, 30, 99)
    }
    assert asked == {-1: [], 0: ["Paris"], 9: ["Paris"], 10: ["Lyon"], 29: ["Lyon"], 30: ["Nice"], 99: ["Nice"]}


def test_the_order_of_the_passages_does_not_matter() -> None:
    assert Facts.of(HOMES[::-1]).all == Facts.of(HOMES).all


def test_a_fact_that_was_told_late_takes_its_place_in_time() -> None:
    facts = Facts.of([*HOMES, row(4, 20, "alice", "lives in", "Rome")])
    assert shown(facts.history("alice", "lives in"))[1:3] == [("Lyon", 10, 20), ("Rome", 20, 30)]


def test_of_equal_times_the_later_row_wins_and_the_earlier_never_held() -> None:
    facts = Facts.of([row(1, 0, "alice", "lives in", "Paris"), row(2, 0, "alice", "lives in", "Lyon")])
    assert shown(facts.history("alice", "lives in")) == [("Lyon", 0, None)]
    assert [(f.object, f.held) for f in facts.all] == [("Paris", False), ("Lyon", True)]


def test_what_holds_already_is_not_said_anew() -> None:
    facts = Facts.of([row(1, 0, "alice", "lives in", "Paris"), row(8, 5, "Alice", "Lives  in", "PARIS"), HOMES[1]])
    assert shown(facts.history("alice", "lives in")) == [("Paris", 0, 10), ("Lyon", 10, None)]
    facts = Facts.of([row(1, 0, "alice", "lives in", "Paris"), row(2, 5, "Alice", "Lives  in", "PARIS"), HOMES[2]])
    assert shown(facts.history("alice", "lives in")) == [("Paris", 0, 30), ("Nice", 30, None)]


def test_an_end_closes_its_own_value_only_and_every_value_where_it_names_none() -> None:
    other = Facts.of([HOMES[1], row(5, 20, "alice", "lives in", "Paris", ends=True)])
    assert shown(other.read("alice", "lives in")) == [("Lyon", 10, None)]
    own = Facts.of([HOMES[1], row(5, 20, "alice", "lives in", "Lyon", ends=True)])
    assert own.read("alice", "lives in") == []
    assert shown(own.history("alice", "lives in")) == [("Lyon", 10, 20)]
    likes = [row(n, n, "alice", "likes", what, single=False) for n, what in enumerate(["tea", "jazz", "tea"], 1)]
    all_of = Facts.of([*likes, row(9, 9, "alice", "likes", "", ends=True)])
    assert shown(all_of.history("alice", "likes")) == [("tea", 1, 9), ("jazz", 2, 9)]
    one = Facts.of([*likes, row(9, 9, "alice", "likes", "Tea", ends=True, single=False)])
    assert shown(one.read("alice", "likes")) == [("jazz", 2, None)]


def test_a_value_may_come_back() -> None:
    facts = Facts.of([*HOMES, row(4, 40, "alice", "lives in", "Paris")])
    assert shown(facts.read("alice", "lives in", "paris", history=True)) == [("Paris", 0, 10), ("Paris", 40, None)]


OBJECTS = ("a", "b", "c")
Step = tuple[int, str, bool, bool]
STEPS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from((*OBJECTS, "")), st.booleans(), st.booleans()), min_size=1, max_size=9
)


def replay(steps: Sequence[Step], at: int) -> list[str]:
    """What holds at the end of a day: a list of values that every step up to that day alters, in order of day and place."""
    values: list[str] = []
    for today in range(at + 1):
        for when, object, single, ends in steps:
            if when != today:
                continue
            if ends and object:
                values = [value for value in values if value != object]
            elif ends:
                values = []
            elif single:
                values = [object]
            elif object not in values:
                values = [*values, object]
    return values


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_validity_is_that_of_a_list_replayed_day_by_day(steps: list[Step]) -> None:
    steps = [(when, object, single, ends or not object) for when, object, single, ends in steps]
    rows = [
        row(key, when, "alice", "r", object, single=single, ends=ends)
        for key, (when, object, single, ends) in enumerate(steps, 1)
    ]
    facts = Facts.of(rows)
    for at in range(8):
        assert sorted(f.object for f in facts.read("alice", "r", as_of=day(at))) == sorted(replay(steps, at))
        begun = [f.object for f in facts.read("alice", "r", as_of=day(at)) if f.since == day(at)]
        assert set(begun) >= set(replay(steps, at)) - set(replay(steps, at - 1))
    assert sorted(f.object for f in facts.read("alice", "r")) == sorted(replay(steps, 7))
    assert {f.id for f in facts.all} == set(range(1, len(steps) + 1))


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 6))
def test_what_was_known_at_a_time_is_what_the_rows_said_by_then_make(steps: list[Step], at: int) -> None:
    rows = [
        row(key, when, "alice", "r", object or "d", single=single, ends=ends, said=day(6 - when).isoformat())
        for key, (when, object, single, ends) in enumerate(steps, 1)
    ]
    by_then = [one for one, step in zip(rows, steps, strict=True) if 6 - step[0] <= at]
    assert Facts.of(rows).known(day(at)).all == Facts.of(by_then).all


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.sampled_from("ab"), st.sampled_from("rs"), st.sampled_from("xyz"), st.integers(0, 9)
        )
    ),
    st.lists(st.integers(0, 20)),
    st.integers(0, 9),
)
def test_facts_that_changed_are_those_of_all_that_is_left(
    told: list[tuple[int, str, str, str, int]], gone: list[int], cut: int
) -> None:
    rows = [row(n, at, *names, cancels=cancels) for n, (at, *names, cancels) in enumerate(told, 1)]
    bad = Passage(99, Note("x", "fact", START))
    first, more = [*rows[:cut], bad], rows[cut:]
    less = [one for place, one in enumerate(first) if place in gone]
    facts = Facts.of(first).changed(less, more)
    whole = Facts.of([*(one for one in first if one not in less), *more])
    assert (facts.all, facts.subjects, facts.unreadable) == (whole.all, whole.subjects, whole.unreadable)
    assert facts.read("a", "r", history=True) == whole.read("a", "r", history=True)


PEOPLE = [
    row(1, 0, "alice", "lives in", "Paris"),
    row(2, 1, "Mia", "lives in", "Paris"),
    row(3, 2, "alice", "works at", "Acme"),
    row(4, 3, "Mia", "likes", "Paris", single=False),
    row(5, 4, "alice", "likes", "tea", single=False),
    row(6, 5, "alice", "lives in", "Lyon"),
]


@pytest.mark.parametrize("history", [False, True])
def test_every_pattern_of_open_fields_reads_what_a_scan_finds(history: bool) -> None:
    facts = Facts.of(PEOPLE)
    held = [("alice", "lives in", "Paris")] if history else []
    held += [
        ("Mia", "lives in", "Paris"),
        ("alice", "works at", "Acme"),
        ("Mia", "likes", "Paris"),
        ("alice", "likes", "tea"),
        ("alice", "lives in", "Lyon"),
    ]
    fields = (None, "ALICE", "Mia "), (None, "lives  in", "likes"), (None, "paris", "tea", "Rome")
    for pattern in product(*fields):
        wanted = [
            fact
            for fact in held
            if all(p is None or " ".join(p.lower().split()) == f.lower() for p, f in zip(pattern, fact, strict=True))
        ]
        found = facts.read(*pattern, history=history)
        assert [(f.subject, f.relation, f.object) for f in found] == wanted


def meaning(texts: Sequence[str]) -> Matrix:
    """Two directions: where somebody lives, and everything else; "dwells" is near the first."""
    plane = {"lives in": 0.0, "dwells in": 0.5, "resides at": 1.2}
    angles = np.array([plane.get(text, 1.5 + 0.1 * len(text)) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_paraphrased_relation_is_found_by_embedding_above_the_threshold_only() -> None:
    facts = Facts.of(HOMES)
    assert [f.object for f in facts.read("alice", "dwells in", embed=meaning)] == ["Nice"]  # cosine 0.88
    assert facts.read("alice", "resides at", embed=meaning) == []  # cosine 0.36
    assert facts.read("alice", "dwells in") == []


def test_names_are_taken_for_each_other_only_where_they_are_nearly_the_same() -> None:
    def alike(texts: Sequence[str]) -> Matrix:
        plane = {"lyon, france": 0.5, "paris": 0.7}  # cosines to all else: 0.88, 0.76
        return np.array([[np.cos(plane.get(t, 0.0)), np.sin(plane.get(t, 0.0))] for t in texts], dtype=np.float32)

    facts = Facts.of([row(1, 0, "alice", "lives in", "Lyon")])
    assert [f.object for f in facts.read(object="Lyon, France", embed=alike)] == ["Lyon"]
    assert facts.read(object="Paris", embed=alike) == []


def test_a_sister_is_never_taken_for_a_brother() -> None:
    def same(texts: Sequence[str]) -> Matrix:
        return np.ones((len(texts), 1), dtype=np.float32)

    facts = Facts.of([row(1, 0, "alice", "has sister", "Mia")])
    assert facts.read("alice", "has brother", embed=same) == []
    assert [f.object for f in facts.read("alice", "is sister of", embed=same)] == ["Mia"]


def test_what_is_there_exactly_is_never_replaced_by_what_is_similar() -> None:
    facts = Facts.of([*HOMES, row(9, 0, "bob", "dwells in", "Rome")])
    assert facts.read("alice", "dwells in", embed=meaning) == []


def test_rows_that_are_no_facts_are_left_out_and_counted() -> None:
    bad = [
        Passage(7, Note("x", "fact", START, metadata={"subject": "a", "relation": "r"})),
        Passage(8, Note("x", "fact", START, metadata={"subject": "a", "relation": "r", "object": 3})),
        Passage(9, Note("x", "fact", START, metadata={"subject": " ", "relation": "r", "object": "o"})),
        Passage(10, Note("x", "fact", START, metadata={"subject": "a", "relation": "r", "object": ""})),
    ]
    facts = Facts.of([*HOMES, *bad, Passage(11, Note("hello", "turn", START))])
    assert [f.id for f in facts.all] == [1, 2, 3]
    assert facts.unreadable == 4


def test_a_row_keeps_where_it_was_said() -> None:
    turn = Passage(5, Note("I have lived in Lyon since May.", "turn", day(9), "alice", "chat/1", {"role": "user"}))
    note = fact_note(Triple("alice", "lives in", "Lyon", 0, 31, since=day(3)), turn, by="rules")
    assert note.text == "alice lives in Lyon."
    [fact] = Facts.of([Passage(6, note)]).all
    assert (fact.since, fact.said, fact.speaker, fact.turn, fact.start, fact.end) == (day(3), day(9), "alice", 5, 0, 31)
    assert (fact.by, note.source, fact.single, fact.ends, fact.until) == ("rules", "memory/5", True, False, None)
    gone = fact_note(Triple("alice", "lives in", "Lyon", 0, 31, ends=True), turn)
    assert (gone.text, gone.time) == ("alice no longer lives in Lyon.", day(9))


def notes(*rows: Passage) -> list[Note]:
    return [one.note for one in rows]


def facts_of(memory: object) -> Facts:
    return Facts.of(memory.store.passages(memory.owner, "memory"))  # type: ignore[attr-defined]


def test_a_correction_holds_from_when_the_wrong_one_did_and_can_be_undone(tmp_path: Path) -> None:
    with memory_of(tmp_path) as memory:
        ids = memory.remember_all(notes(*HOMES))
        new = correct(memory, ids[1], "Leon")
        assert shown(facts_of(memory).history("alice", "lives in")) == [
            ("Paris", 0, 10),
            ("Leon", 10, 30),
            ("Nice", 30, None),
        ]
        assert memory.get(new).text == "alice lives in Leon."
        memory.forget(new)
        assert [f.object for f in facts_of(memory).history("alice", "lives in")] == ["Paris", "Lyon", "Nice"]


def test_a_multi_valued_fact_is_corrected_alone(tmp_path: Path) -> None:
    with memory_of(tmp_path) as memory:
        likes = [row(n, n, "alice", "likes", what, single=False) for n, what in enumerate(["tee", "jazz"])]
        first, _ = memory.remember_all(notes(*likes))
        correct(memory, first, "tea")
        assert shown(facts_of(memory).read("alice", "likes")) == [("tea", 0, None), ("jazz", 1, None)]


def test_what_is_taken_back_never_held_and_what_held_before_holds_on(tmp_path: Path) -> None:
    with memory_of(tmp_path) as memory:
        ids = memory.remember_all(notes(*HOMES))
        retract(memory, ids[2])
        assert shown(facts_of(memory).history("alice", "lives in")) == [("Paris", 0, 10), ("Lyon", 10, None)]
        end = memory.remember_all(notes(row(0, 50, "alice", "lives in", "Lyon", ends=True)))[0]
        assert facts_of(memory).read("alice", "lives in") == []
        retract(memory, end)
        assert shown(facts_of(memory).read("alice", "lives in")) == [("Lyon", 10, None)]
        with pytest.raises(UsageError, match="something ended"):
            correct(memory, end, "Lyon")


def test_only_a_fact_with_a_new_value_is_corrected(tmp_path: Path) -> None:
    with memory_of(tmp_path, "a note") as memory:
        with pytest.raises(UsageError, match="note 1 is no fact"):
            retract(memory, 1)
        [fact] = memory.remember_all(notes(HOMES[0]))
        with pytest.raises(UsageError, match="new object is empty"):
            correct(memory, fact, " ")
        with pytest.raises(UsageError, match="has no note 99"):
            correct(memory, 99, "Lyon")


def test_the_shelf_is_followed_through_every_change(tmp_path: Path) -> None:
    with memory_of(tmp_path, "noise") as memory:
        shelf = FactShelf(memory.store, memory.owner)
        assert shelf.facts().all == []
        ids = memory.remember_all(notes(*HOMES))
        seen = shelf.facts()
        assert seen.all == facts_of(memory).all
        memory.remember("more noise")
        assert shelf.facts() is seen
        memory.forget(ids[2])
        assert [f.object for f in shelf.facts().read("alice", "lives in")] == ["Lyon"]
        correct(memory, ids[1], "Leon")
        assert shelf.facts().all == facts_of(memory).all
        assert FactShelf(memory.store, memory.owner).facts() is shelf.facts()
        assert FactShelf(memory.store, type(memory.owner)("bob")).facts().all == []


def test_rows_of_one_moment_come_as_they_were_said_and_not_as_they_were_written() -> None:
    said = [
        row(30, 0, "alice", "lives in", "Rome", turn=5, start=0),
        row(20, 0, "alice", "lives in", "Paris", turn=5, start=16),
        row(10, 0, "alice", "lives in", "Oslo", turn=4, start=90),
    ]
    assert shown(Facts.of(said).history("alice", "lives in")) == [("Paris", 0, None)]
    put_by_hand = row(6, 0, "alice", "lives in", "Bonn")  # after turn 5, before turn 7
    assert shown(Facts.of([*said, put_by_hand]).history("alice", "lives in")) == [("Bonn", 0, None)]
    later = row(8, 0, "alice", "lives in", "Lyon", turn=7)
    assert shown(Facts.of([later, put_by_hand, *said]).history("alice", "lives in")) == [("Lyon", 0, None)]

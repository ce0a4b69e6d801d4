"""Filters on metadata and time, against a slow reading of what they say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from corpora import corpus_of, passage, remembered
from hypothesis import given
from hypothesis import strategies as st
from memories import memory_of, settings_of

from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.corpus import About
from ctxproc.memory.filters import EVERYTHING, OPERATORS, filtered
from ctxproc.memory.known import Known

VALUES = ["alice", "bob", "Alice", "", 1900, 1950, 1950.0, 1, 0, -2.5, True, False]
MAY = datetime(2024, 5, 1, tzinfo=UTC)


def kind(value: object) -> str:
    return type(value).__name__.replace("int", "number").replace("float", "number")


def slow(found: object, sign: str, value: object) -> bool:
    """What an operator says of a value that is there."""
    same = kind(found) == kind(value) and found == value
    if sign in ("=", "in"):
        return same
    if sign in ("!=", "not in"):
        return not same
    if kind(found) != kind(value):
        return False
    return {"<": found < value, "<=": found <= value, ">": found > value, ">=": found >= value}[sign]  # type: ignore[operator]


@pytest.mark.parametrize("sign", OPERATORS)
def test_every_operator_on_every_pair_of_values_is_as_it_reads(sign: str) -> None:
    for found, value in itertools.product(VALUES, VALUES):
        test = filtered({"x": {sign: [value] if "in" in sign else value}})
        assert test.passes(About("s", metadata={"x": found})) == slow(found, sign, value), (found, value)
        assert test.passes(About("s")) == (sign in ("!=", "not in"))


def test_all_tests_of_all_names_hold() -> None:
    test = filtered({"speaker": "alice", "year": {">=": 1900, "<": 2000}, "room": ["a", "b"], "kind": {"!=": "fact"}})
    good = About("s", kind="turn", speaker="alice", metadata={"year": 1950, "room": "b"})
    assert test.passes(good) and test
    for change in (
        {"speaker": "bob"},
        {"kind": "fact"},
        {"metadata": {"year": 2000, "room": "b"}},
        {"metadata": {"year": 1899, "room": "b"}},
        {"metadata": {"year": 1950, "room": "c"}},
        {"metadata": {"year": 1950}},
    ):
        other = {"kind": "turn", "speaker": "alice", "metadata": good.metadata, **change}
        assert not test.passes(About("s", **other))  # type: ignore[arg-type]


def test_own_names_come_before_metadata_of_the_same_name() -> None:
    about = About("book.txt", speaker="alice", metadata={"speaker": "bob", "source": "other"})
    assert filtered({"speaker": "alice", "source": "book.txt"}).passes(about)
    assert not filtered({"speaker": "bob"}).passes(about)


@given(st.text(), st.text(), st.text())
def test_names_and_values_are_data_whatever_they_hold(name: str, value: str, other: str) -> None:
    about = About("s", metadata={name: value})
    if name not in ("source", "kind", "speaker"):
        assert filtered({name: value}).passes(about)
        assert filtered({name: other}).passes(about) == (value == other)


@pytest.mark.parametrize(
    ("since", "until", "passing"),
    [
        (None, None, "bdnx"),
        ("2024-05-01", None, "dnx"),
        (None, "2024-05-01", "bd"),
        ("2024-05-01", "2024-05-01", "d"),
        ("2024-05-01T12:00", None, "nx"),
        (None, "2024-05-01T11:59:59", "bd"),
        ("2024-05-02T02:00+02:00", None, "nx"),
        (date(2024, 5, 2), datetime(2024, 5, 2), "n"),
        (None, "9999-12-31", "bdnx"),
        ("9999-12-31T23:59:59.999999", None, ""),
        (None, datetime(2024, 5, 2, 2, tzinfo=timezone(timedelta(hours=2))), "bdn"),
    ],
)
def test_times_are_in_utc_and_a_day_is_whole(since: object, until: object, passing: str) -> None:
    times = {"b": MAY - timedelta(seconds=1), "d": MAY, "n": MAY + timedelta(days=1), "x": MAY + timedelta(days=2)}
    test = filtered({}, since, until)  # type: ignore[arg-type]
    assert "".join(name for name, time in times.items() if test.passes(About("s", time=time))) == passing
    assert test.passes(About("s")) == (since is None and until is None) == (not test)


@pytest.mark.parametrize(
    ("where", "since", "error", "message"),
    [
        ({"year": {"~": 3}}, None, UnknownNameError, "there are: !=, <, <=, =, >, >=, in, not in"),
        ({"year": {"$gt": 3}}, None, UnknownNameError, "operator of a filter"),
        ({"year": {">": None}}, None, ConfigError, "filter year >: takes a text"),
        ({"year": {">": [1]}}, None, ConfigError, "filter year >: takes a text"),
        ({"year": {"in": [{}]}}, None, ConfigError, "filter year in: takes a text"),
        ({"year": None}, None, ConfigError, "filter year =: takes a text"),
        ({}, "yesterday", ConfigError, "since: a day or a time such as 2024-05-01"),
        ({}, "2024-13-01", ConfigError, "since: a day or a time"),
    ],
)
def test_wrong_filters_are_refused_in_one_line(
    where: dict[str, object], since: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        filtered(where, since)
    assert "\n" not in str(caught.value)


def test_a_selection_finds_only_what_passes_and_as_many_as_there_are() -> None:
    notes = [passage(10 + i, f"the lamp {i}", MAY + timedelta(days=i), metadata={"n": i}) for i in range(30)]
    corpus = remembered(notes)
    for search in (["bm25"], ["cosine"], ["cosine", "bm25"]):
        hits = corpus.select("lamp", 8, search=search, where=filtered({"n": {">=": 25}}))
        assert sorted(hit.index for hit in hits) == [25, 26, 27, 28, 29]
        hits = corpus.select("lamp", 8, search=search, where=filtered({}, until="2024-05-02"))
        assert sorted(hit.index for hit in hits) == [0, 1]
        assert corpus.select("lamp", 8, search=search, where=filtered({"n": 99})) == []
    assert corpus.places(filtered({"n": [3, 4]})).tolist() == [3, 4]
    assert [chunk.text for chunk in corpus.within(filtered({"n": 3}))] == ["the lamp 3"]
    assert corpus.within(EVERYTHING) is corpus.chunks


def test_documents_are_filtered_by_their_source() -> None:
    corpus = corpus_of(["a lamp", "a boat"])
    assert corpus.places(filtered({"source": "text"})).tolist() == [0, 1]
    assert corpus.places(filtered({"source": {"!=": "text"}})).tolist() == []
    assert corpus.places(filtered({}, since="1900-01-01")).tolist() == []


abouts = st.builds(
    About,
    source=st.sampled_from(["a", "b"]),
    kind=st.sampled_from(["note", "fact", "chunk"]),
    speaker=st.sampled_from(["", "alice", "1"]),
    time=st.none() | st.integers(-3, 3).map(lambda days: MAY + timedelta(days=days)),
    metadata=st.dictionaries(st.sampled_from(["x", "y", "speaker"]), st.sampled_from(VALUES), max_size=2),
)
conditions = st.dictionaries(
    st.sampled_from(["x", "y", "z", "speaker", "kind", "source"]),
    st.dictionaries(
        st.sampled_from([sign for sign in OPERATORS if "in" not in sign]), st.sampled_from(VALUES), max_size=2
    )
    | st.dictionaries(st.sampled_from(["in", "not in"]), st.lists(st.sampled_from(VALUES), max_size=3), max_size=1),
    max_size=2,
)
days = st.none() | st.sampled_from(["2024-04-30", "2024-05-01", "2024-05-02T00:00"])


@given(
    st.lists(abouts, max_size=30), st.lists(st.tuples(st.sets(st.integers(0, 29)), conditions, days, days), max_size=6)
)
def test_what_is_known_of_many_passes_as_each_of_them_does(
    told: list[About], asked: list[tuple[set[int], dict[str, object], str | None, str | None]]
) -> None:
    known = Known()
    for those, where, since, until in asked:
        ids = np.array(sorted(one for one in those if one < len(told)), dtype=np.int64)
        test = filtered(where, since, until)
        found = known.passing(test, ids, lambda places, ids=ids: [told[ids[place]] for place in places])
        assert found.tolist() == [test.passes(told[one]) for one in ids]


def test_a_chunk_is_asked_about_once_for_each_name_that_is_new() -> None:
    read: list[int] = []

    def about(places: Sequence[int]) -> list[About]:
        read.extend(ids[place] for place in places)
        return [About("s", metadata={"n": int(ids[place])}) for place in places]

    known, few = Known(), filtered({"n": {"<": 5}})
    for ids, new in (([1, 2, 7], [1, 2, 7]), ([1, 2, 7], []), ([2, 4, 7, 9], [4, 9]), ([9], [])):
        read.clear()
        assert known.passing(few, np.array(ids), about).tolist() == [one < 5 for one in ids]
        assert read == new
    assert known.passing(filtered({}, "2024-05-01"), np.array(ids), about).tolist() == [False] and read == []
    assert known.passing(filtered({"m": 1}), np.array(ids), about).tolist() == [False] and read == [9]


def test_a_filtered_recall_sees_what_was_written_edited_and_forgotten_since(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=settings_of("retrieval.search=[bm25]"))
    ids = [memory.remember(f"lamp {i}", metadata={"room": i % 3}) for i in range(9)]
    asked: list[int] = []
    passages = memory.store.passages
    memory.store.passages = lambda owner, shelf, some=None: asked.extend(some or []) or passages(owner, shelf, some)  # type: ignore[method-assign]

    def found(room: int) -> list[int]:
        return sorted(item.id for item in memory.recall("lamp", 20, where={"room": room}))

    assert found(1) == [ids[1], ids[4], ids[7]]
    memory.forget(ids[4])
    memory.edit(ids[7], "lamp and boat")
    new = memory.remember("lamp", metadata={"room": 1})
    asked.clear()
    assert found(1) == [ids[1], ids[7], new] and found(0) == [ids[0], ids[3], ids[6]]
    assert [one for one in asked if one not in (ids[0], ids[1], ids[3], ids[6], ids[7])] == [new, new]
    other = memory_of(tmp_path, user="bob", settings=settings_of("retrieval.search=[bm25]"))
    other.remember("lamp", metadata={"room": 1})
    assert len(other.recall("lamp", 20, where={"room": 1})) == 1 and found(1) == [ids[1], ids[7], new]

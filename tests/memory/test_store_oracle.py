"""The store against a store in dictionaries, through random histories."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import MODEL, Follower, Place, assert_same, chunks_of, fast_folder

from ctxproc import Document
from ctxproc.memory.base import Filing, Note, Owner
from ctxproc.memory.store import SqliteStore

OWNERS = [Owner("ann"), Owner("ann", "bot"), Owner("ann", "", "bot"), Owner("bob")]
START = datetime(2026, 1, 1, tzinfo=UTC)

values = st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
notes = st.builds(
    Note,
    text=st.text(min_size=1, max_size=30),
    kind=st.sampled_from(["note", "turn", "fact", "summary", "portrait"]),
    time=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])),
    speaker=st.text(max_size=5),
    source=st.text(max_size=5),
    metadata=st.dictionaries(st.text(max_size=5), values, max_size=3),
)
which = st.lists(st.integers(0, 60), max_size=4)
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(notes, min_size=1, max_size=4)),
    st.tuples(st.just("edit"), st.tuples(st.integers(0, 60), st.text(min_size=1, max_size=20))),
    st.tuples(st.just("forget"), which),
    st.tuples(st.just("recall"), which),
    st.tuples(st.just("embed"), which),
    st.tuples(st.just("file"), st.tuples(st.sampled_from("abc"), st.text(max_size=40))),
    st.tuples(st.just("file_all"), st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=40)), max_size=4)),
    st.tuples(st.just("drop"), st.lists(st.sampled_from("abcd"), max_size=2)),
    st.tuples(st.just("set"), st.tuples(st.text(max_size=4), st.text(max_size=4))),
    st.tuples(st.sampled_from(["strip", "reopen", "purge"]), st.none()),
)


def do(store: SqliteStore, owner: Owner, place: Place, what: str, detail: object, step: int) -> None:
    """One step, in the store and in the oracle; passages are named by their place among the owner's."""
    numbers = sorted([*place.passages["library"], *place.passages["memory"]])
    some = [numbers[i % len(numbers)] for i in detail] if numbers and isinstance(detail, list) and what in (
        "forget", "recall", "embed"
    ) else []  # fmt: skip
    time = START - timedelta(hours=step)  # the clock runs backwards
    match what, detail:
        case "add", list(new):
            place.add(store.add(owner, new), new)
        case "edit", (i, str(text)) if place.passages["memory"]:
            mine = sorted(place.passages["memory"])
            store.edit(owner, mine[i % len(mine)], text)
            place.edit(mine[i % len(mine)], text)
        case "forget", _:
            store.forget(owner, some)
            place.forget(some)
        case "recall", _:
            store.recall(owner, some, time)
            place.recall(some, time)
        case "embed", _:
            some = list(dict.fromkeys(some))
            vectors = np.random.default_rng(step).standard_normal((len(some), 4)).astype(np.float32)
            store.embed(owner, MODEL, some, vectors)
            place.embed(some, vectors)
        case "file", (str(source), str(text)):
            document = Document.from_text(text, source)
            number = store.file(owner, document, chunks_of(document, 7), size=step)
            (added,) = [filed.added for filed in store.filed(owner) if filed.id == number]
            place.file(number, document, chunks_of(document, 7), step, added)
        case "file_all", list(those):
            new = [Document.from_text(text, source) for source, text in those]
            ids = store.file_all(owner, [Filing(one, chunks_of(one, 7), None, step) for one in new])
            times = {filed.id: filed.added for filed in store.filed(owner)}
            for number, one in zip(ids, new, strict=True):
                place.file(number, one, chunks_of(one, 7), step, times.get(number, START))
        case "drop", list(sources):
            store.drop(owner, sources)
            place.drop(sources)
        case "set", (str(name), str(value)):
            store.set(owner, name, value)
            place.settings[name] = value
        case "strip", _:
            store.strip(owner)
            place.strip()
        case "purge", _:
            store.purge()


Step = tuple[Owner, tuple[str, object], bool]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.tuples(st.sampled_from(OWNERS), steps, st.booleans()), max_size=40))
def test_a_store_gives_what_dictionaries_give_whatever_is_written(history: list[Step]) -> None:
    compare(history)


@pytest.mark.parametrize("seed", range(4))
def test_a_store_gives_what_dictionaries_give_after_a_long_history(seed: int) -> None:
    dice = random.Random(seed)

    def some() -> list[int]:
        return [dice.randrange(60) for _ in range(dice.randrange(1, 4))]

    def text() -> str:
        return "".join(dice.choices("ab \0é\u4e2d\U0001f600", k=dice.randrange(1, 30)))

    def detail(what: str) -> object:
        match what:
            case "add":
                return [Note(text(), metadata={"k": dice.random()}) for _ in range(dice.randrange(1, 5))]
            case "edit":
                return dice.randrange(60), text()
            case "file":
                return dice.choice("abc"), text() * 3
            case "file_all":
                return [(dice.choice("abc"), text() * 3) for _ in range(dice.randrange(4))]
            case "drop":
                return [dice.choice("abcd")]
            case "set":
                return dice.choice("ab"), text()
        return some()

    kinds = ["add", "edit", "embed", "file", "file_all", "forget"] * 4 + [
        "recall",
        "drop",
        "set",
        "strip",
        "reopen",
        "purge",
    ]
    whats = [dice.choice(kinds) for _ in range(150)]
    compare([(dice.choice(OWNERS), (what, detail(what)), dice.random() < 0.4) for what in whats])


def compare(history: list[Step]) -> None:
    """Do all of it in a store and in dictionaries, and compare all that can be read after every step."""
    with fast_folder() as folder:
        store = SqliteStore(folder / "m.ctxproc")
        places = {owner: Place() for owner in OWNERS}
        followers = [Follower(owner, shelf) for owner in OWNERS for shelf in ("library", "memory")]
        for step, (owner, (what, detail), follow) in enumerate(history):
            if what == "reopen":
                store.close()
                store = SqliteStore(folder / "m.ctxproc")
            do(store, owner, places[owner], what, detail, step)
            assert_same(store, owner, places[owner])
            if follow:
                for follower in followers[2 * OWNERS.index(owner) :][:2]:
                    follower.follow(store, places[follower.owner])
        for follower in followers:
            follower.follow(store, places[follower.owner])
            Follower(follower.owner, follower.shelf).follow(store, places[follower.owner])
        for owner, place in places.items():
            assert_same(store, owner, place)
        has = [o for o in OWNERS if places[o].documents or places[o].passages["memory"]]
        assert store.owners() == sorted(has, key=lambda o: (o.user, o.agent, o.session))
        assert store.check() == []
        store.close()

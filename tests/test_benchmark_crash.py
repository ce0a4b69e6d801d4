"""The harness of `benchmarks/crash.py` finds nothing wrong with an honest store, and catches every kind of liar."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from crash import measure
from numpy.typing import NDArray
from peers import crash_kills
from peers.crash_crowd import tenants, together
from peers.crash_kills import FAULTS, Found, Tally, kills, steps
from peers.crash_subject import Operation, State, Subject, dies, operations, vector

KILLS = 5

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # these children need no other thread


class Honest(Subject):
    """A log in one file, a line per call; a line that was cut off is not there."""

    kinds = ("add", "add", "edit", "forget", "file", "drop")
    steps = ("before write", "after write", "never")

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log"
        self.path.touch()

    def do(self, operation: Operation) -> None:
        self.append({"put": dict(operation.put), "gone": operation.gone})

    def append(self, change: dict[str, object]) -> None:
        with self.path.open("ab", buffering=0) as file:
            os.write(file.fileno(), b"\n" + json.dumps(change).encode() + b"\n")

    def held(self) -> State:
        state: State = {}
        for line in self.path.read_text().split("\n"):
            with suppress(json.JSONDecodeError):
                change = json.loads(line)
                state = Operation("", "", change["put"], tuple(change["gone"])).applied(state)
        return state

    def count(self, owner: str) -> int:
        return sum(key.startswith(f"{owner}/note") for key in self.held())

    def wrong(self) -> list[str]:
        return []

    def nearest(self, owner: str, query: NDArray[np.float32], k: int) -> list[str]:
        mine = {key: text for key, text in self.held().items() if key.startswith(owner)}
        return sorted(mine, key=lambda key: -float(vector(mine[key]) @ query))[:k]

    @classmethod
    def stop_at(cls, step: str, turn: int) -> None:
        if step != "never":
            Honest.append = dies(Honest.append, turn, step.startswith("after"))  # type: ignore[method-assign]


class KeepsInMemory(Honest):
    """Says that it wrote, and did not."""

    def do(self, operation: Operation) -> None:
        pass


class Remembers(Honest):
    """Does not forget."""

    kinds = ("add", "forget")

    def do(self, operation: Operation) -> None:
        self.append({"put": dict(operation.put), "gone": ()})


class StartsAnew(Honest):
    """Begins with an empty file whenever it is opened."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path.write_bytes(b"")


class Breaks(Honest):
    """Cannot read what it wrote."""

    def held(self) -> State:
        raise ValueError("damaged")


class EndsTheReader(Honest):
    """Brings down the process that reads it."""

    def held(self) -> State:
        os._exit(3)


class Disagrees(Honest):
    """Its index is not of its texts."""

    def wrong(self) -> list[str]:
        return ["the index is old"]


class Overwrites(Honest):
    """Overwrites what others wrote since it was opened."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lines = self.path.read_bytes()

    def append(self, change: dict[str, object]) -> None:
        time.sleep(0.005)
        self.lines += json.dumps(change).encode() + b"\n"
        self.path.write_bytes(self.lines)


class Refuses(Honest):
    """Is always busy."""

    def append(self, change: dict[str, object]) -> None:
        raise OSError("database 12 is locked")


class Mixes(Honest):
    """Searches in the notes of everyone."""

    def nearest(self, owner: str, query: NDArray[np.float32], k: int) -> list[str]:
        return super().nearest("", query, k)


def silent(_: str) -> None:
    pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_kills, "LONGEST", 0.04)
    monkeypatch.setattr(crash_kills, "MOST", 30)


def test_an_honest_store_loses_nothing_at_random_moments(tmp_path: Path) -> None:
    tally = kills(Honest, tmp_path, KILLS, 1, silent)
    assert tally.sound and not tally.examples
    assert tally.kills == KILLS and tally.acknowledged > 0


def test_an_honest_store_loses_nothing_at_the_steps_of_a_write(tmp_path: Path) -> None:
    found = steps(Honest, tmp_path, 3, silent)
    assert [(step, tally.kills, tally.inside) for step, tally in found.items()] == [
        ("before write", 3, 3),
        ("after write", 3, 3),
        ("never", 0, 0),
    ]
    assert [tally.acknowledged for tally in found.values()] == [0 + 1 + 2, 0 + 1 + 2, 0]
    assert all(tally.sound for tally in found.values())


@pytest.mark.parametrize("subject", ["store", "memory"])
def test_our_store_and_memory_lose_nothing(tmp_path: Path, subject: str) -> None:
    asked = {"kills": {"count": KILLS, "seed": 2}, "tenants": {"large": 50, "small": 4, "k": 3, "queries": 4}}
    found = measure(subject, sys.executable, asked, tmp_path)
    assert {fault: found["kills"][fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert found["kills"]["kills"] == KILLS and found["kills"]["acknowledged"] > 0
    assert (found["tenants"]["results"], found["tenants"]["recall"], found["tenants"]["foreign"]) == (3, 1, 0)


@pytest.mark.parametrize(
    ("liar", "fault"),
    [
        (KeepsInMemory, "lost"),
        (Remembers, "undone"),
        (StartsAnew, "empty"),
        (Breaks, "unreadable"),
        (EndsTheReader, "unreadable"),
        (Disagrees, "inconsistent"),
    ],
)
def test_a_liar_is_caught(tmp_path: Path, liar: type[Subject], fault: str) -> None:
    tally = kills(liar, tmp_path, KILLS, 1, silent)
    assert getattr(tally, fault) > 0 and not tally.sound and tally.examples


BEFORE = {"ann/note 1": "one", "ann/note 2": "two", "bob/note 3": "three"}
EDIT = Operation("edit", "ann", {"ann/note 1": "new"})
ADD = Operation("add", "ann", {"ann/note 4": "four", "ann/note 5": "five"})
FORGET = Operation("forget", "ann", gone=("ann/note 1", "ann/note 2"))


@pytest.mark.parametrize(
    ("under_way", "held", "faults"),
    [
        (None, BEFORE, {}),
        (EDIT, BEFORE, {}),
        (EDIT, BEFORE | {"ann/note 1": "new"}, {}),
        (ADD, BEFORE | ADD.put, {}),
        (FORGET, {"bob/note 3": "three"}, {}),
        (EDIT, BEFORE | {"ann/note 1": "other"}, {"lost": 1}),
        (None, {"bob/note 3": "three"}, {"lost": 2}),
        (FORGET, {}, {"lost": 1, "empty": 1}),
        (ADD, BEFORE | {"ann/note 4": "four"}, {"half": 1}),
        (FORGET, {"ann/note 1": "one", "bob/note 3": "three"}, {"half": 1}),
        (None, BEFORE | {"ann/note 9": "nine"}, {"undone": 1}),
        (None, {}, {"lost": 3, "empty": 1}),
    ],
)
def test_what_is_found_is_judged(under_way: Operation | None, held: dict[str, str], faults: dict[str, int]) -> None:
    tally = Tally()
    assert tally.add("1", BEFORE, under_way, Found(held)) == (not faults)
    assert {fault: getattr(tally, fault) for fault in FAULTS if getattr(tally, fault)} == faults


def test_what_a_store_is_told_follows_from_the_seed() -> None:
    kinds = ("add", "edit", "forget", "file", "drop", "index")
    first, again = (list(islice(operations({}, "7", kinds), 60)) for _ in range(2))
    assert first == again
    assert {operation.kind for operation, _ in first} == set(kinds)
    state: State = {}
    for operation, after in first:
        touched = {*operation.put, *operation.gone}
        assert set(operation.gone) <= set(state) and all(key.startswith(operation.owner) for key in touched)
        assert after == {k: v for k, v in state.items() if k not in operation.gone} | dict(operation.put)
        state = after


def test_writes_that_others_overwrite_are_noticed(tmp_path: Path) -> None:
    found = together(Honest, tmp_path / "honest", 2, 20, 2)
    assert (found["calls"], found["acknowledged"], found["lost"], found["shrank"], found["errors"]) == (
        40,
        40,
        0,
        0,
        {},
    )
    assert found["counts"] > 0 and found["wrong"] == []
    found = together(Overwrites, tmp_path / "overwrites", 2, 20, 2)
    assert found["acknowledged"] == 40 and found["lost"] > 0
    found = together(Refuses, tmp_path / "refuses", 1, 3, 0)
    assert (found["acknowledged"], found["errors"]) == (0, {"OSError: database N is locked": 3})


def test_the_small_owner_is_compared_with_brute_force(tmp_path: Path) -> None:
    found = tenants(Honest, tmp_path / "honest", large=300, small=5, k=3, queries=4)
    assert (found["results"], found["recall"], found["foreign"]) == (3, 1, 0)
    found = tenants(Mixes, tmp_path / "mixes", large=300, small=5, k=3, queries=4)
    assert found["results"] == 3 and found["recall"] < 1 and found["foreign"] > 0

"""What recall needs to know of everything that was said, kept in arrays and brought up to date by what has changed."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids, Kind, Owner, Passage, Store
from ctxproc.memory.lexical import LexicalIndex
from ctxproc.memory.recollect_words import stemmed

SAID: frozenset[Kind] = frozenset({"turn", "note"})
"""Kinds that are recalled because they are relevant; facts and the portrait have parts of their own."""

_ONLY_ASKS = re.compile(r"[^.!。！]*[?？]\W*\Z")

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int32]
Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """One row for each turn and note, by id. Shapes: (rows,).

    Attributes:
        ids: of the passages, ascending.
        times: in seconds since 1970.
        speakers, sessions: numbers; see `Turns`. What was said in no session has one of its own, below 0.
        users, assistants: who spoke, as the role of a turn says; a note is the user's.
        asks: whether it holds a question mark.
        only_ask: whether it is nothing but a question, or several.
    """

    ids: Ids
    times: Times
    speakers: Numbers
    sessions: Ids
    users: Flags
    assistants: Flags
    asks: Flags
    only_ask: Flags

    def taken(self, places: Flags) -> Self:
        """The rows at these places."""
        return type(self)(*(getattr(self, field.name)[places] for field in fields(self)))

    def joined(self, other: Rows) -> Self:
        """These rows and others, by id."""
        order = np.argsort(np.concatenate([self.ids, other.ids]), kind="stable")
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return type(self)(*(np.concatenate(pair)[order] for pair in pairs))


class Turns:
    """The turns and notes of an owner's memory shelf. Safe in several threads.

    A call reads what changed on the shelf since the last one; the first reads all of it. In memory for each turn are its
    postings and some 40 bytes: its text is in the store alone.

    Args:
        store: where they are.
        owner: whose.

    Attributes:
        rows: as of the last `current`.
        answers: for each row, the place of the question that it answers: the turn before it in its session, if another
            speaker asks there; -1 where there is none. Shape (rows,).
        speakers, sessions: the number of each name.
        portraits: ids of passages of this kind, ascending.
        words: the index of their stems.
    """

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store = store
        self._owner = owner
        self._lock = threading.RLock()
        self._generation = 0
        self.speakers: dict[str, int] = {}
        self.sessions: dict[str, int] = {}
        self.rows = self._read([])
        self.answers = np.zeros(0, np.int64)
        self.portraits: list[int] = []
        self.words = LexicalIndex()

    @contextmanager
    def current(self) -> Iterator[Self]:
        """This, as the shelf is now; it does not change before the block ends."""
        with self._lock:
            if self._store.state(self._owner, "memory").generation != self._generation:
                self._follow()
            yield self

    def _follow(self) -> None:
        """Take in what changed."""
        changed = self._store.changed_passages(self._owner, "memory", self._generation, (*SAID, "portrait"))
        self._remove(changed.removed)
        for some in changed.added:
            self._remove(np.array([one.id for one in some], np.int64))  # of a call that was cut short by an error
            self._add(some)
        self.answers = self._answers()
        self._generation = changed.generation

    def _remove(self, ids: Ids) -> None:
        gone = np.isin(self.rows.ids, ids)
        if gone.any():
            self.words.remove(self.rows.ids[gone])
            self.rows = self.rows.taken(~gone)
        if self.portraits:
            self.portraits = [one for one in self.portraits if one not in set(ids.tolist())]

    def _add(self, passages: Sequence[Passage]) -> None:
        self.portraits += [one.id for one in passages if one.note.kind == "portrait"]
        said = [one for one in passages if one.note.kind in SAID]
        if said:
            self.words.add([one.id for one in said], [stemmed(one.text) for one in said])
            self.rows = self.rows.joined(self._read(said))

    def _read(self, said: Sequence[Passage]) -> Rows:
        notes = [one.note for one in said]
        roles = [str(note.metadata.get("role", "user")) for note in notes]
        return Rows(
            np.array([one.id for one in said], np.int64),
            np.array([seconds(note.time) for note in notes], np.float64),
            np.array([_number(self.speakers, note.speaker) for note in notes], np.int32),
            np.array([self._session(one) for one in said], np.int64),
            np.array([role == "user" for role in roles], np.bool_),
            np.array([role == "assistant" for role in roles], np.bool_),
            np.array(["?" in note.text or "？" in note.text for note in notes], np.bool_),
            np.array([_ONLY_ASKS.match(note.text) is not None for note in notes], np.bool_),
        )

    def _session(self, passage: Passage) -> int:
        name = passage.note.metadata.get("session")
        return -passage.id if name is None else _number(self.sessions, str(name))

    def _answers(self) -> Ids:
        rows = self.rows
        found = np.full(len(rows.ids), -1, np.int64)
        order = np.argsort(rows.times, kind="stable")
        order = order[np.argsort(rows.sessions[order], kind="stable")]
        before, after = order[:-1], order[1:]
        same = rows.sessions[before] == rows.sessions[after]
        other = rows.speakers[before] != rows.speakers[after]
        asked = same & other & rows.asks[before]
        found[after[asked]] = before[asked]
        return found

    def session(self, name: str) -> Ids:
        """The places of the turns of a session, in the order of their times: ids have another one after an import."""
        return self.of_session(self.sessions[name]) if name in self.sessions else _NONE

    def of_session(self, number: int) -> Ids:
        """The same by the number of the session."""
        places = np.flatnonzero(self.rows.sessions == number)
        return places[np.argsort(self.rows.times[places], kind="stable")]


def _number(names: dict[str, int], name: str) -> int:
    """The number of a name; a new one gets the next."""
    return names.setdefault(name, len(names))


def seconds(time: datetime) -> float:
    """Seconds since 1970, below 0 before."""
    return (time - EPOCH).total_seconds()


_NONE: Ids = np.zeros(0, np.int64)
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

"""What a bank knows of every passage of a shelf without reading it again: kept up with the store, change by change."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC

from ctxproc.memory.bank_days import day_of
from ctxproc.memory.bank_junk import shape
from ctxproc.memory.base import Kind, Note, Owner, Passage, Store
from ctxproc.memory.facts import Facts

OTHERS = ("assistant", "tool")
"""Roles whose words are not the user's."""

AT_ONCE = 4096
"""Passages that are read together."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage in the ledger.

    Attributes:
        kind: of the note.
        role: of a turn: "user", "assistant" or "tool"; "" of others.
        key: see `turn_key`; b"" of what is no turn.
        shape: see `ctxproc.memory.bank_junk.shape`; of a user's turn alone.
        day: of a turn, see `day_of`; of a summary of a day, which.
        digest: of the text.
        turn: of a fact: the turn that it is of; 0 of others.
    """

    kind: Kind
    role: str
    key: bytes
    shape: bytes | None
    day: str
    digest: bytes
    turn: int


class Ledger:
    """The entries of an owner's memory shelf, as of the last `follow`. Safe in several threads.

    Args:
        store: where it is.
        owner: whose.
    """

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store = store
        self._owner = owner
        self._generation = 0
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._others: list[int] = []
        self._rows: dict[int, Passage] = {}
        self._known = Facts.of(())
        self._keys: dict[bytes, set[int]] = {}
        self._shapes: dict[bytes, set[int]] = {}
        self._days: dict[str, set[int]] = {}
        self._facts: dict[int, set[int]] = {}

    def follow(self) -> None:
        """Take in what changed since the last call; at the first, all of the shelf is read."""
        with self._lock:
            if self._store.state(self._owner, "memory").generation != self._generation:
                self._follow()

    def _follow(self) -> None:
        changed = self._store.changed_texts(self._owner, "memory", self._generation)
        added = [int(one) for ids, _ in changed.added for one in ids]
        removed = changed.removed.tolist()
        for number in set(removed).difference(added):
            self._unindex(number)
            self._entries.pop(number, None)
        gone = [self._rows.pop(number) for number in removed if number in self._rows]
        rows: list[Passage] = []
        for passage in read(self._store, self._owner, added):
            self._unindex(passage.id)
            self._add(passage)
            rows += [passage] if passage.note.kind == "fact" else []
        self._rows |= {row.id: row for row in rows}
        if gone or rows:
            self._known = self._known.changed(gone, rows)
        self._generation = changed.generation

    def facts(self) -> Facts:
        """The facts; the same object as long as none of them has changed."""
        return self._known

    def same(self, note: Note) -> int:
        """The first turn that says the same at the same time by the same speaker; 0 if there is none."""
        with self._lock:
            return min(self._keys.get(turn_key(note), ()), default=0)

    def duplicates(self) -> list[int]:
        """Turns that say what an earlier one says, at the same time and by the same speaker, ascending."""
        with self._lock:
            return sorted(one for ids in self._keys.values() if len(ids) > 1 for one in sorted(ids)[1:])

    def alike(self, turn: int) -> int:
        """On how many days the user said the same but for names and numbers; 0 where the turn is too short to tell."""
        with self._lock:
            entry = self._entries.get(turn)
            same = self._shapes.get(entry.shape, ()) if entry and entry.shape else ()
            return len({self._entries[number].day for number in same})

    def facts_of(self, turns: Iterable[int]) -> list[int]:
        """The facts of some turns, ascending."""
        with self._lock:
            return sorted(fact for turn in turns for fact in self._facts.get(turn, ()))

    def of_facts(self) -> list[int]:
        """The numbers that facts name as their turns, ascending."""
        with self._lock:
            return sorted(self._facts)

    def of_kind(self, kind: Kind) -> list[int]:
        """All of a kind, ascending."""
        with self._lock:
            return [number for number, entry in self._entries.items() if entry.kind == kind]

    def users(self, after: int) -> list[int]:
        """The user's turns with a higher number than ``after``, ascending."""
        found = []
        with self._lock:
            for number in reversed(self._entries):
                if number <= after:
                    break
                if self._entries[number].role == "user":
                    found.append(number)
        return found[::-1]

    def others(self, before: int, most: int) -> list[int]:
        """The last turns of the assistant and of tools with a lower number than ``before``, at most so many, ascending."""
        with self._lock:
            end = bisect_left(self._others, before)
            return self._others[max(0, end - most) : end]

    def days(self) -> dict[str, list[int]]:
        """The user's turns of each day, ascending."""
        with self._lock:
            return {day: sorted(turns) for day, turns in self._days.items()}

    def summaries(self) -> dict[str, list[int]]:
        """The summaries of each day, ascending: the last one counts, others are what an interrupted run left."""
        found: dict[str, list[int]] = {}
        with self._lock:
            for number, entry in self._entries.items():
                if entry.kind == "summary" and entry.day:
                    found.setdefault(entry.day, []).append(number)
        return found

    def made_of(self, numbers: Iterable[int]) -> str:
        """A digest of some passages, by which it is seen whether what was made of them is still up to date."""
        told = hashlib.blake2b(digest_size=12)
        with self._lock:
            for number in numbers:
                entry = self._entries.get(number)
                told.update(f"{number} ".encode() + (entry.digest if entry else b""))
        return told.hexdigest()

    def _add(self, passage: Passage) -> None:
        entry = entry_of(passage)
        self._entries[passage.id] = entry
        for index, name in self._indexed(entry):
            index.setdefault(name, set()).add(passage.id)
        if entry.role in OTHERS:
            insort(self._others, passage.id)

    def _unindex(self, number: int) -> None:
        entry = self._entries.get(number)
        for index, name in self._indexed(entry) if entry else ():
            index.get(name, set()).discard(number)
            if not index.get(name):
                index.pop(name, None)
        if entry and entry.role in OTHERS:
            del self._others[bisect_left(self._others, number)]

    def _indexed(self, entry: Entry) -> Iterator[tuple[dict[object, set[int]], object]]:
        """Where an entry is found again, and by what."""
        by = ((self._keys, entry.key), (self._shapes, entry.shape), (self._facts, entry.turn))
        yield from ((index, name) for index, name in by if name)  # type: ignore[misc]
        if entry.role == "user":
            yield self._days, entry.day  # type: ignore[misc]


def read(store: Store, owner: Owner, ids: Sequence[int]) -> Iterator[Passage]:
    """These passages of the memory shelf, batch by batch; what is gone is left out."""
    for start in range(0, len(ids), AT_ONCE):
        yield from store.passages(owner, "memory", ids[start : start + AT_ONCE])


def entry_of(passage: Passage) -> Entry:
    """What the ledger keeps of a passage."""
    note, told = passage.note, passage.note.metadata
    is_turn = note.kind == "turn"
    role = str(told.get("role", "")) if is_turn else ""
    day = day_of(note) if is_turn else str(told.get("day", "")) if told.get("of") == "day" else ""
    turn = told.get("turn") if note.kind == "fact" else 0
    return Entry(
        note.kind,
        role,
        turn_key(note) if is_turn else b"",
        shape(note.text) if role == "user" else None,
        day,
        hashlib.blake2b(note.text.encode(), digest_size=8).digest(),
        turn if isinstance(turn, int) else 0,
    )


def turn_key(note: Note) -> bytes:
    """What two turns have in common that are one: text but for case, width and white space, speaker, role and time."""
    text = " ".join(unicodedata.normalize("NFKC", note.text).casefold().split())
    told = (text, note.speaker, str(note.metadata.get("role", "")), note.time.astimezone(UTC).isoformat())
    return hashlib.blake2b("\0".join(told).encode(), digest_size=16).digest()

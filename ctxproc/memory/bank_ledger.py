"""What a bank knows of every passage of a shelf without reading it again: kept up with the store, change by change."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from bisect import bisect_left, insort
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

from ctxproc.memory.bank_days import day_of
from ctxproc.memory.bank_junk import shape
from ctxproc.memory.base import Kind, Note, Owner, Passage, Store
from ctxproc.memory.facts import Facts
from ctxproc.memory.facts_shelf import FactShelf

OTHERS = ("assistant", "tool")
"""Roles whose words are not the user's."""

Name = TypeVar("Name", bound=Hashable)

AT_ONCE = 4096
"""Passages that are read together."""


class Entry(NamedTuple):
    """A passage in the ledger.

    Attributes:
        kind: of the note.
        role: of a turn: "user", "assistant" or "tool"; "" of others.
        key: see `turn_key`; b"" of what is no turn.
        shape: see `ctxproc.memory.bank_junk.shape`; of a user's turn alone.
        time: of the note.
        day: of a turn, see `day_of`; of a summary of a day, which.
        digest: of the text.
        turn: of a fact: the turn that it is of; 0 of others.
    """

    kind: Kind
    role: str
    key: bytes
    shape: bytes | None
    time: datetime
    day: str
    digest: bytes
    turn: int


class Numbers(Generic[Name]):
    """Numbers by a name, most of which have one: that takes no set."""

    def __init__(self) -> None:
        self._held: dict[Name, int | set[int]] = {}

    def __getitem__(self, name: Name) -> Collection[int]:
        """Those of a name, in no order."""
        held = self._held.get(name, ())
        return (held,) if isinstance(held, int) else held

    def add(self, name: Name, number: int) -> None:
        """Give a name one more."""
        held = self._held.setdefault(name, number)
        if isinstance(held, set):
            held.add(number)
        elif held != number:
            self._held[name] = {held, number}

    def discard(self, name: Name, number: int) -> None:
        """Take one from a name, if it has it; a name without any is not here any more."""
        held = self._held.get(name)
        if isinstance(held, set):
            held.discard(number)
        if held in (number, set()):
            del self._held[name]

    def items(self) -> Iterator[tuple[Name, list[int]]]:
        """Each name with its numbers, ascending."""
        yield from ((name, sorted(self[name])) for name in self._held)


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
        self._shelf = FactShelf(store, owner)
        self._keys = Numbers[bytes]()
        self._shapes = Numbers[bytes]()
        self._days = Numbers[str]()
        self._facts = Numbers[int]()

    def follow(self) -> None:
        """Take in what changed since the last call; at the first, all of the shelf is read."""
        with self._lock:
            if self._store.state(self._owner, "memory").generation != self._generation:
                self._follow()

    def _follow(self) -> None:
        since = self._generation
        changed = self._store.changed_passages(self._owner, "memory", since)
        gone = set(changed.removed.tolist())
        rows: list[Passage] = []
        for passage in (one for some in changed.added for one in some):
            gone.discard(passage.id)
            self._unindex(passage.id)
            self._add(passage)
            rows += [passage] if passage.note.kind == "fact" else []
        for number in gone:
            self._unindex(number)
            self._entries.pop(number, None)
        self._shelf.take(since, changed, rows)
        self._generation = changed.generation

    def facts(self) -> Facts:
        """The facts; the same object as long as none of them has changed."""
        return self._shelf.facts()

    def same(self, note: Note) -> int:
        """The first turn that says the same at the same time by the same speaker; 0 if there is none."""
        with self._lock:
            return min(self._keys[turn_key(note)], default=0)

    def duplicates(self) -> list[int]:
        """Turns that say what an earlier one says, at the same time and by the same speaker, ascending."""
        with self._lock:
            return sorted(one for _, ids in self._keys.items() for one in ids[1:])

    def alike(self, turn: int) -> int:
        """On how many days the user said the same but for names and numbers; 0 where the turn is too short to tell."""
        with self._lock:
            entry = self._entries.get(turn)
            same = self._shapes[entry.shape] if entry and entry.shape else ()
            return len({self._entries[number].day for number in same})

    def facts_of(self, turns: Iterable[int]) -> list[int]:
        """The facts of some turns, ascending."""
        with self._lock:
            return sorted(fact for turn in turns for fact in self._facts[turn])

    def of_facts(self) -> list[int]:
        """The numbers that facts name as their turns, ascending."""
        with self._lock:
            return sorted(turn for turn, _ in self._facts.items())

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

    def times(self, upto: int) -> list[tuple[int, datetime]]:
        """Numbers and times of the user's turns up to a number, ascending."""
        with self._lock:
            those = ((number, entry) for number, entry in self._entries.items() if entry.role == "user")
            return [(number, entry.time) for number, entry in those if number <= upto]

    def others(self, before: int, most: int) -> list[int]:
        """The last turns of the assistant and of tools with a lower number than ``before``, at most so many, ascending."""
        with self._lock:
            end = bisect_left(self._others, before)
            return self._others[max(0, end - most) : end]

    def days(self) -> dict[str, list[int]]:
        """The user's turns of each day, ascending."""
        with self._lock:
            return dict(self._days.items())

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
        if entry.key:
            self._keys.add(entry.key, passage.id)
        if entry.shape:
            self._shapes.add(entry.shape, passage.id)
        if entry.turn:
            self._facts.add(entry.turn, passage.id)
        if entry.role == "user":
            self._days.add(entry.day, passage.id)
        if entry.role in OTHERS:
            insort(self._others, passage.id)

    def _unindex(self, number: int) -> None:
        entry = self._entries.get(number)
        if entry is None:
            return
        self._keys.discard(entry.key, number)
        self._shapes.discard(entry.shape or b"", number)
        self._facts.discard(entry.turn, number)
        self._days.discard(entry.day, number)
        if entry.role in OTHERS:
            del self._others[bisect_left(self._others, number)]


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
        note.time,
        day,
        hashlib.blake2b(note.text.encode(), digest_size=8).digest(),
        turn if isinstance(turn, int) else 0,
    )


def turn_key(note: Note) -> bytes:
    """What two turns have in common that are one: text but for case, width and white space, speaker, role and time."""
    text = " ".join(unicodedata.normalize("NFKC", note.text).casefold().split())
    told = (text, note.speaker, str(note.metadata.get("role", "")), note.time.astimezone(UTC).isoformat())
    return hashlib.blake2b("\0".join(told).encode(), digest_size=16).digest()

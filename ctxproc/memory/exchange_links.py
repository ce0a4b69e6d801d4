"""Notes that mean other notes by number, taken into a memory in which the numbers are others.

A fact names the turn that it was made of, a correction the fact that it takes back, a reply the turn that it quotes. In
a file these are numbers of that file. What names a number that the file does not have is remembered with 0 instead,
which no note has: a number of another memory must never come to mean a note of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC
from itertools import takewhile
from typing import TYPE_CHECKING

from ctxproc.memory import exchange
from ctxproc.memory.base import Note, Value

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory

LINKS = ("turn", "cancels")
"""Names of metadata that hold the number of another note, in facts and turns."""

QUOTES = "quotes"
"""The same in a reply: names that begin so hold the numbers of the turns that it answers and quotes."""

MOST_QUOTED = 200
"""Numbers that a reply holds."""

MEANING = frozenset({"fact", "turn"})
"""Kinds of notes that have links."""

FROM = "memory/"
"""The source of a fact is this and the number of its turn."""


def quoting(turns: Iterable[int]) -> dict[str, Value]:
    """The metadata of a reply to some turns, or made of them: ``{"quotes": 3, "quotes2": 7}``; of `MOST_QUOTED` at most."""
    some = list(dict.fromkeys(turns))[:MOST_QUOTED]
    return {f"{QUOTES}{place if place > 1 else ''}": turn for place, turn in enumerate(some, 1)}


def quoted(metadata: Mapping[str, Value]) -> set[int]:
    """The numbers of the turns that a reply answers and quotes."""
    return {_number(value) for name, value in metadata.items() if name.startswith(QUOTES)} - {0}


def bring_in(memory: Memory, numbered: Sequence[tuple[int, Note]]) -> list[int]:
    """Remember notes that mean each other by number; the numbers of those that were not there yet.

    They are remembered in steps, each all or none: what means no other, then what means that, and so on. Interrupted, it
    goes on where it was when it is called again with the same notes.

    Args:
        memory: takes them in; a note that is there already, the same in everything, is left out.
        numbered: the notes with their numbers; 0 where one has none.
    """
    there = {_same(passage.note): passage.id for passage in memory.store.passages(memory.owner, "memory")}
    left = list(numbered)
    ahead = {number for number, _ in numbered if number}
    new: dict[int, int] = {}
    added: list[int] = []
    while left:
        ready = _ready(left, ahead - new.keys())
        lines = {_same(note): note for note in (linked(note, new) for _, note in ready)}
        fresh = [line for line in lines if line not in there]
        ids = memory.remember_all(lines[line] for line in fresh)
        there.update(zip(fresh, ids, strict=True))
        added += ids
        new |= {number: there[_same(linked(note, new))] for number, note in ready if number}
        done = set(map(id, ready))
        left = [pair for pair in left if id(pair) not in done]
    return added


def _same(note: Note) -> str:
    """What two notes have in common that are the same in everything; of their times the moment counts and not the zone."""
    return exchange.to_line(replace(note, time=note.time.astimezone(UTC)))


def _ready(left: Sequence[tuple[int, Note]], waiting: Set[int]) -> Sequence[tuple[int, Note]]:
    """The notes that come next: such as mean none that is still waiting; of a ring of notes that mean each other, all.

    Facts come last and in their order, since of those that hold from the same moment the later one counts.
    """
    free = [pair for pair in left if not _meant(pair[1]) & waiting]
    others = [pair for pair in free if pair[1].kind != "fact"]
    if others:
        return others
    return list(takewhile(lambda pair: not _meant(pair[1]) & waiting, left)) or free or left


def linked(note: Note, numbers: Mapping[int, int]) -> Note:
    """The note with every number that it means replaced by the one it has now; 0 where it has none."""
    if note.kind not in MEANING:
        return note
    metadata: dict[str, Value] = dict(note.metadata)
    for name, value in note.metadata.items():
        if _links(name) and not isinstance(value, str):
            metadata[name] = numbers.get(_number(value), 0)
    source = note.source
    if note.kind == "fact" and source.startswith(FROM):
        source = f"{FROM}{metadata.get('turn', 0)}"
    return replace(note, metadata=metadata, source=source)


def _meant(note: Note) -> set[int]:
    """The numbers that a note means."""
    if note.kind not in MEANING:
        return set()
    return {_number(value) for name, value in note.metadata.items() if _links(name)} - {0}


def _links(name: str) -> bool:
    return name in LINKS or name.startswith(QUOTES)


def _number(value: object) -> int:
    """The value, if it is a number of a note; otherwise 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

"""The facts of a shelf, kept up to date while it changes, and facts that the owner puts right."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ctxproc.errors import UsageError
from ctxproc.memory.base import Owner, Passage, Store, now
from ctxproc.memory.facts import Fact, Facts, fact_of, key, row_note

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory

AT_ONCE = 4096
"""Passages that are read together."""


class FactShelf:
    """The facts on an owner's memory shelf. Safe in several threads.

    Only what changed since the last call is read, and only the facts of its subjects and relations are computed anew, so a
    turn of a long chat costs what it adds.

    Args:
        store: where they are.
        owner: whose.
    """

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store = store
        self._owner = owner
        self._generation = 0
        self._rows: dict[int, Passage] = {}
        self._facts = Facts.of(())
        self._lock = threading.Lock()

    def facts(self) -> Facts:
        """The facts as they are now; the same object as long as none of them has changed."""
        with self._lock:
            if self._store.state(self._owner, "memory").generation == self._generation:
                return self._facts
            changed = self._store.changed_texts(self._owner, "memory", self._generation)
            gone = [self._rows.pop(one) for one in changed.removed.tolist() if one in self._rows]
            added = [int(one) for ids, _ in changed.added for one in ids]
            rows = {row.id: row for row in self._read(added) if row.note.kind == "fact"}
            self._rows |= rows
            self._generation = changed.generation
            if rows or gone:
                self._facts = self._facts.changed(gone, rows.values())
            return self._facts

    def _read(self, ids: Sequence[int]) -> Iterator[Passage]:
        for start in range(0, len(ids), AT_ONCE):
            yield from self._store.passages(self._owner, "memory", ids[start : start + AT_ONCE])


def correct(memory: Memory, fact: int, new_object: str) -> int:
    """Say what is right in place of a fact that was never so; the number of the new row.

    The new one holds from when the wrong one did, and names the same turn, so that forgetting the turn forgets it too. The
    wrong one stays as a row that never held; forgetting the new row brings it back. What was right and has changed is not
    corrected but said anew.

    Raises:
        UsageError: there is no such fact, it says that something ended, or the new object is empty.
    """
    held = _fact(memory, fact)
    if held.ends:
        raise UsageError(f"fact {fact} says that something ended: retract it, and say what is right")
    if not key(new_object):
        raise UsageError("say what is right: the new object is empty; to take the fact back, retract it")
    row = row_note(held, object=new_object, cancels=fact, by="correction", said=now().isoformat())
    return memory.remember_all([row])[0]


def retract(memory: Memory, fact: int) -> int:
    """Take a fact back as never true; the number of the row that says so. What held before it holds on.

    Unlike forgetting, both rows stay, so that the turn is not read for the same fact again.

    Raises:
        UsageError: there is no such fact.
    """
    held = _fact(memory, fact)
    row = row_note(held, ends=True, cancels=fact, by="correction", said=now().isoformat())
    return memory.remember_all([replace(row, text=f"It is not so: {held.text}")])[0]


def _fact(memory: Memory, fact: int) -> Fact:
    memory.get(fact)
    [passage] = memory.store.passages(memory.owner, "memory", [fact])
    found = fact_of(passage) if passage.note.kind == "fact" else None
    if found is None:
        raise UsageError(f"note {fact} is no fact")
    return found

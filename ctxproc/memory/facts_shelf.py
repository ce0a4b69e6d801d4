"""The facts of a shelf, kept up to date while it changes, and facts that the owner puts right."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ctxproc.errors import UsageError
from ctxproc.memory.base import ChangedPassages, Kind, Owner, Passage, Store, now
from ctxproc.memory.facts import Fact, Facts, fact_of, key, row_note

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory


class _Seen:
    """The facts of one owner in one store, as of a generation of the shelf."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.generation = 0
        self.facts = Facts.of(())
        self._rows: dict[int, Passage] = {}

    def take(self, changed: ChangedPassages, rows: Sequence[Passage]) -> None:
        """Take in what changed, of which these are the facts."""
        gone = [self._rows[one] for one in changed.removed.tolist() if one in self._rows]
        if rows or gone:
            self.facts = self.facts.changed(gone, rows)
        for passage in gone:
            del self._rows[passage.id]
        self._rows |= {row.id: row for row in rows}
        self.generation = changed.generation


class FactShelf:
    """The facts on an owner's memory shelf. Safe in several threads.

    Only what changed since the last call is read, and only the facts of its subjects and relations are computed anew, so a
    turn of a long chat costs what it adds. What one has read of a store, all others of the same owner and store know.

    Args:
        store: where they are.
        owner: whose.
    """

    def __init__(self, store: Store, owner: Owner) -> None:
        self._store = store
        self._owner = owner
        with _MAKING:
            self._seen = _SEEN.setdefault(store, {}).setdefault(owner, _Seen())

    def facts(self) -> Facts:
        """The facts as they are now; the same object as long as none of them has changed."""
        with self._seen.lock:
            if self._store.state(self._owner, "memory").generation != self._seen.generation:
                changed = self._store.changed_passages(self._owner, "memory", self._seen.generation, _FACTS)
                self._seen.take(changed, [passage for some in changed.added for passage in some])
            return self._seen.facts

    def take(self, since: int, changed: ChangedPassages, rows: Sequence[Passage]) -> None:
        """Take in what another reader of the shelf found changed since a generation, of which ``rows`` are the facts.

        It is not needed, and saves reading the shelf again. Nothing is done where another generation was seen here.
        """
        with self._seen.lock:
            if self._seen.generation == since:
                self._seen.take(changed, rows)


_FACTS: tuple[Kind, ...] = ("fact",)
_MAKING = threading.Lock()
_SEEN: WeakKeyDictionary[Store, dict[Owner, _Seen]] = WeakKeyDictionary()


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

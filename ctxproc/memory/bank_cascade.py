"""What is forgotten with a note: everything that was made of it.

A turn takes its facts, replies to it and such as quote it, the summary of its day, and summaries of concepts made after
it; a fact takes the row that takes it back; and each of them takes the overall summary and the portrait, which are made of
all. What is still true of the rest is made anew when the bank consolidates next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ctxproc.memory.bank_days import day_of
from ctxproc.memory.base import Owner, Passage, Store
from ctxproc.memory.exchange_links import quoted

AGAIN = "bank.again"
"""The owner's setting with the turns that are to be read again: they say what a forgotten turn said, too."""


@dataclass
class Doomed:
    """What is to be forgotten, and what decides what else is."""

    ids: set[int] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    first_turn: int = 1 << 62
    whole: bool = False

    def add(self, passage: Passage) -> None:
        """One more."""
        note = passage.note
        self.ids.add(passage.id)
        if note.kind == "turn":
            self.days.add(day_of(note))
            self.first_turn = min(self.first_turn, passage.id)
        self.whole |= note.kind in ("turn", "fact") or note.metadata.get("of") == "day"

    def takes(self, passage: Passage) -> bool:
        """Whether a passage was made of one that is to be forgotten."""
        kind, told = passage.note.kind, passage.note.metadata
        if kind == "turn":
            return not self.ids.isdisjoint(quoted(told))
        if kind == "fact":
            return told.get("turn") in self.ids or (told.get("ends") is True and told.get("cancels") in self.ids)
        if kind == "portrait" or (kind == "summary" and told.get("of") == "overall"):
            return self.whole
        if kind == "summary" and told.get("of") == "day":
            return told.get("day") in self.days
        return kind == "summary" and passage.id > self.first_turn


def dependents(store: Store, owner: Owner, passages: Sequence[Passage]) -> list[Passage]:
    """What is forgotten besides these passages, ascending by number. All of the shelf is read."""
    doomed = Doomed()
    for passage in passages:
        doomed.add(passage)
    if not doomed.whole:
        return []
    made = [one for one in everything(store, owner) if one.note.kind != "turn" or quoted(one.note.metadata)]
    found: list[Passage] = []
    while new := [one for one in made if one.id not in doomed.ids and doomed.takes(one)]:
        for passage in new:
            doomed.add(passage)
        found += new
    return sorted(found, key=lambda one: one.id)


def everything(store: Store, owner: Owner) -> Iterator[Passage]:
    """All passages of the memory shelf, ascending."""
    for some in store.changed_passages(owner, "memory").added:
        yield from some


def unsaid(store: Store, owner: Owner, pieces: Sequence[str], doomed: Iterable[int]) -> list[str]:
    """The pieces that nothing says which is kept: of what was made of several turns, some belongs to others."""
    gone = set(doomed)
    left = {piece: piece.casefold() for piece in pieces}
    for passage in everything(store, owner) if left else ():
        if passage.id not in gone:
            text = passage.text.casefold()
            left = {piece: folded for piece, folded in left.items() if folded not in text}
    return list(left)


def read_again(store: Store, owner: Owner, doomed: Sequence[Passage]) -> None:
    """Note which turns may state facts that are forgotten with another turn, so that the bank learns them anew.

    A fact that was said twice is kept once, as that of the first turn. Only numbers of turns are noted, no text. A fact that
    is forgotten without its turn is not learned anew.

    Args:
        store: where they are.
        owner: whose.
        doomed: all that is to be forgotten.
    """
    gone = {passage.id for passage in doomed}
    told = [passage.note.metadata for passage in doomed if passage.note.kind == "fact"]
    objects = {str(one.get("object", "")).casefold() for one in told if one.get("turn") in gone} - {""}
    again = set()
    for passage in everything(store, owner) if objects else ():
        if passage.note.metadata.get("role") == "user" and passage.id not in gone:
            text = passage.text.casefold()
            again |= {passage.id for one in objects if one in text}
    if again:
        held = set(json.loads(store.setting(owner, AGAIN) or "[]"))
        store.set(owner, AGAIN, json.dumps(sorted((held | again) - gone)))

"""Recall for one turn of a chat: what to tell a model besides the message, within a budget of tokens.

Four parts, in the order in which they stand in a prompt: the portrait of the user; turns that are relevant to the message,
the most relevant last; facts, in the order in which they came to hold; the last turns of this session. So what is essential
and what is most recent stands last, next to the message, as in RecallM. Nothing stands there twice.

One search and no call of a language model; `ctxproc.memory.recollect_rank` says which turns are relevant and
`ctxproc.memory.recollect_facts` which facts are told. What they need of the memory is kept in the process between the turns
of a chat, so that a turn reads what the one before it added.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ctxproc.memory.facts_shelf import FactShelf
from ctxproc.memory.recollect_fill import Count, Faded, Filling, Part, Remembered
from ctxproc.memory.recollect_rank import Asked, rank
from ctxproc.memory.recollect_turns import Turns, seconds
from ctxproc.memory.recollect_words import LONGEST

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory
    from ctxproc.memory.stored import Stored

__all__ = ["Count", "Faded", "Part", "Recollection", "Remembered", "recollect"]


@dataclass(frozen=True, slots=True)
class Recollection:
    """What was recalled for a message.

    Attributes:
        items: in the order of a prompt.
        dropped: relevant turns, facts and portraits for which there was no room.
    """

    items: tuple[Remembered, ...] = ()
    dropped: int = 0

    @property
    def tokens(self) -> int:
        """Of all items together."""
        return sum(one.tokens for one in self.items)

    def part(self, name: Part) -> tuple[Remembered, ...]:
        """The items of one part."""
        return tuple(one for one in self.items if one.part == name)


class _Known:
    """What is kept of a memory between two turns."""

    def __init__(self, stored: Stored) -> None:
        self.turns = Turns(stored.store, stored.owner)
        self.facts = FactShelf(stored.store, stored.owner)


_KNOWN: WeakKeyDictionary[Stored, _Known] = WeakKeyDictionary()


def recollect(
    memory: Memory,
    message: str,
    *,
    now: datetime,
    session: str,
    budget: int,
    count: Count,
    as_of: datetime | None = None,
    skip: int = 0,
    faded: Faded | None = None,
    me: str = "",
) -> Recollection:
    """What a memory holds that bears on a message.

    The store notes that the relevant turns were recalled, by which they fade later; not where ``as_of`` looks back.

    Args:
        memory: of the one who says the message.
        message: what is said; its first `LONGEST` characters are looked at. Where it is empty, nothing is relevant.
        now: when it is said; "last May" is seen from here.
        session: of which the recent turns are.
        budget: tokens that all items together may have; never more.
        count: the tokens of a text.
        as_of: recall as it would have been then: what was said later is hidden, and "last May" is seen from there.
        skip: id of a passage that is not recalled, such as the message itself.
        faded: says of a turn whether it has faded by a time, such as `ctxproc.memory.bank.Bank.faded`; then it is relevant
            only where the message asks for it, by its words or its date. Default: none has. Recent turns are there even so.
        me: the name under which the user speaks, the subject of facts about him; default: the owner's.

    Raises:
        StoreError: the store is damaged, or embedded by another model than the settings name.
    """
    stored, at, message = memory.stored, as_of or now, message[:LONGEST]
    known = _KNOWN.get(stored) or _KNOWN.setdefault(stored, _Known(stored))
    with known.turns.current() as turns:
        there = turns.rows.ids != skip
        if as_of is not None:
            there &= turns.rows.times <= seconds(as_of)
        filling = Filling(stored, turns, there, at, budget, count)
        asked = Asked.of(message, at, turns)
        ranked = rank(stored, turns, asked, there)
        facts = known.facts.facts()
        filling.recent(session)
        filling.portrait()
        filling.facts(facts if as_of is None else facts.known(as_of), message, me or memory.owner.user)
        hits = filling.relevant(ranked, asked, faded)
        filling.recent(session, rest=True)
        filling.neighbours(hits)
    if hits and as_of is None:
        memory.store.recall(memory.owner, hits, now)
    return Recollection(tuple(filling.items()), filling.dropped)

"""Filling a budget of tokens with what was recalled, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np

from ctxproc.memory.base import Ids, Passage
from ctxproc.memory.facts import Facts
from ctxproc.memory.item import Item
from ctxproc.memory.recollect_facts import told
from ctxproc.memory.recollect_rank import Asked, Ranked
from ctxproc.memory.recollect_turns import Flags, Turns

if TYPE_CHECKING:
    from ctxproc.memory.stored import Stored

Part = Literal["portrait", "relevant", "fact", "recent"]
Count = Callable[[str], int]
Faded = Callable[[Passage, datetime], bool]


@dataclass(frozen=True, slots=True)
class Remembered:
    """Something that was recalled.

    Attributes:
        item: what; the text of a fact that holds no more says until when it did.
        why: it was recalled, for a reader: what each criterion gave to its score, and from when it is.
        part: where it stands.
        tokens: of its text.
    """

    item: Item
    why: str
    part: Part
    tokens: int


SHARES = {"portrait": 0.15, "fact": 0.25, "recent": 0.35}
"""The most of the budget that a part takes. Relevant turns take what is left, and older recent ones what these leave."""
MOST = 50
"""Relevant turns at most, however large the budget is."""
MOST_RECENT = 200
"""Recent turns at most."""
AT_ONCE = 32
"""Passages that are read together."""


class Filling:
    """A budget that is being filled. What is asked to be put in and is there already is left as it is.

    Args:
        stored: where the passages are.
        turns: brought up to date, and not changing.
        there: which of its rows may be told; shape (rows,).
        at: when facts are to hold, and the latest time of anything that is told.
        budget: tokens of everything together.
        count: the tokens of a text.

    Attributes:
        dropped: what there was no room for.
    """

    def __init__(self, stored: Stored, turns: Turns, there: Flags, at: datetime, budget: int, count: Count) -> None:
        self._stored, self._turns, self._there, self._at = stored, turns, there, at
        self._budget, self._left, self._count = budget, budget, count
        self._parts: dict[Part, dict[int, Remembered]] = {"portrait": {}, "relevant": {}, "fact": {}, "recent": {}}
        self._beside: dict[int, tuple[int, int]] = {}
        self._sessions: dict[int, Ids] = {}
        self.dropped = 0

    def _put(self, part: Part, item: Item, why: str, room: float) -> bool:
        """Put an item in if it fits what is left and ``room``, the tokens that its part may have."""
        used = sum(one.tokens for one in self._parts[part].values())
        tokens = self._count(item.text)
        if tokens > min(self._left, room - used):
            return False
        self._parts[part][item.id] = Remembered(item, why, part, tokens)
        self._left -= tokens
        return True

    def _holds(self, number: int) -> bool:
        return any(number in part for part in self._parts.values())

    def _read(self, ids: Sequence[int]) -> Iterator[Passage]:
        for start in range(0, len(ids), AT_ONCE):
            yield from self._stored.store.passages(self._stored.owner, "memory", ids[start : start + AT_ONCE])

    def recent(self, session: str, *, rest: bool = False) -> None:
        """The last turns of a session, back to the first that does not fit; of ``rest``, whatever is left is filled."""
        room = self._budget * (1.0 if rest else SHARES["recent"])
        places = self._turns.session(session)
        ids = self._turns.rows.ids[places[self._there[places]]][::-1][:MOST_RECENT].tolist()
        for passage in self._read(ids):
            if self._holds(passage.id):
                continue
            if not self._put("recent", Item.of(passage), f"of this session, {_said(passage)}", room):
                break

    def portrait(self) -> None:
        """The latest portrait that there was."""
        made = [one for one in self._read(self._turns.portraits[::-1]) if one.note.time <= self._at]
        for passage in made[:1]:
            why = f"the portrait, of {passage.note.time.date().isoformat()}"
            self.dropped += not self._put("portrait", Item.of(passage), why, self._budget * SHARES["portrait"])

    def facts(self, facts: Facts, message: str, me: str) -> None:
        """The facts that bear on the message, and such as hold of its speaker."""
        embed = self._stored.embedder.embed if self._stored.embeds else None
        some = told(facts, message, embed, at=self._at, me=me)
        read = {passage.id: passage for passage in self._read([one.fact.id for one in some])}
        for one in some:
            if one.fact.id in read:
                item = replace(Item.of(read[one.fact.id]), text=one.text)
                self.dropped += not self._put("fact", item, one.why, self._budget * SHARES["fact"])

    def relevant(self, ranked: Sequence[Ranked], asked: Asked, faded: Faded | None) -> list[int]:
        """The turns that are relevant, the best first, as many as fit; their ids. Nobody's words are told twice."""
        hits: list[int] = []
        seen = {(one.item.speaker, one.item.text) for one in self._parts["recent"].values()}
        by_id = {one.id: one for one in ranked}
        tried = 0
        for passage in self._read(list(by_id)):
            one, words = by_id[passage.id], (passage.note.speaker, passage.text)
            if words in seen or (faded is not None and not one.cued and faded(passage, self._at)):
                continue
            seen.add(words)
            tried += 1
            if self._put("relevant", Item.of(passage, one.score, one.shares), _why(one, asked, passage), self._budget):
                hits.append(passage.id)
            else:
                self.dropped += 1
            if tried == MOST:
                break
        return hits

    def neighbours(self, hits: Sequence[int]) -> None:
        """Beside each of the relevant turns the one before it, then the one after it, as long as anything fits."""
        if self._left <= 0:
            return
        beside = [(hit, step, number) for step in (-1, 1) for hit in hits for number in self._next_to(hit, step)]
        read = {passage.id: passage for passage in self._read([number for *_, number in beside])}
        for hit, step, number in beside:
            if number in read and not self._holds(number):
                why = f"the turn {'before' if step < 0 else 'after'} {hit}, {_said(read[number])}"
                if self._put("relevant", Item.of(read[number]), why, self._budget):
                    self._beside[number] = hit, step

    def _next_to(self, hit: int, step: int) -> list[int]:
        """The turn so many steps after one in its session, if there is one that may be told."""
        rows = self._turns.rows
        place = int(np.searchsorted(rows.ids, hit))
        session = self._session_of(int(rows.sessions[place]))
        at = int(np.flatnonzero(session == place)[0]) + step
        return [int(rows.ids[session[at]])] if 0 <= at < len(session) and self._there[session[at]] else []

    def _session_of(self, number: int) -> Ids:
        """The places of a session, found once."""
        if number not in self._sessions:
            self._sessions[number] = self._turns.of_session(number)
        return self._sessions[number]

    def items(self) -> Iterator[Remembered]:
        """Everything, in the order of a prompt."""
        yield from self._parts["portrait"].values()
        relevant = self._parts["relevant"]
        hits = [number for number in relevant if number not in self._beside]
        for hit in reversed(hits):
            around = [(step, number) for number, (of, step) in self._beside.items() if of == hit]
            yield from (relevant[number] for _, number in sorted([(0, hit), *around]))
        yield from sorted(self._parts["fact"].values(), key=lambda one: (one.item.time, one.item.id))
        yield from sorted(self._parts["recent"].values(), key=lambda one: (one.item.time, one.item.id))


def _said(passage: Passage) -> str:
    by = f" by {passage.note.speaker}" if passage.note.speaker else ""
    return f"said{by} on {passage.note.time.date().isoformat()}"


def _why(one: Ranked, asked: Asked, passage: Passage) -> str:
    """What each criterion gave, the greatest first, and from when it is."""
    dates = " ".join(f' "{text}"' for _, _, text in asked.spans)
    shares = sorted(((share, name) for name, share in one.shares.items() if share >= 0.005), reverse=True)
    parts = [f"{name}{dates if name == 'date' else ''} {share:.2f}" for share, name in shares]
    return f"{', '.join(parts)}; {_said(passage)}"

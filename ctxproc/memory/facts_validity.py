"""When each fact of one subject and relation held: a replay of the rows in the order of time.

The rules, all of them: a fact holds from its ``since``. One that is single closes all others; one that is not stands beside
them. One that says what holds already changes nothing, so the first ``since`` stays. One that ends closes what has its
object, or everything where it names none; an object that does not hold is left as it is, so "I used to live in Paris" does
not end Lyon. Of equal times, what was said later comes later, see `order`: what it closes in the same moment never held.
What was cancelled by another row of them never held and closes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from ctxproc.memory.facts import Fact, key


def replayed(group: Iterable[Fact]) -> list[Fact]:
    """Rows of one subject and relation with their ``until``, by `order`.

    Args:
        group: the rows, in any order; what they say of ``until`` is not read.
    """
    rows = sorted(group, key=order)
    cancelled = {fact.cancels for fact in rows}
    holding: dict[str, Fact] = {}
    until: dict[int, datetime | None] = {}
    for fact in rows:
        name = key(fact.object)
        until[fact.id] = fact.since
        if fact.id in cancelled or _takes_back(fact):
            continue
        closed = _closed(fact, name, holding)
        for one in closed:
            until[holding.pop(one).id] = fact.since
        if not fact.ends and name not in holding:
            holding[name] = fact
            until[fact.id] = None
    return [replace(fact, until=until[fact.id]) for fact in rows]


def order(fact: Fact) -> tuple[datetime, int, int, int]:
    """What comes first of two rows: by since; of equal times as they were said, by turn and place in it; then by id.

    Ids alone do not tell: a turn that is read again gives its rows higher ones. A row of no turn is its own.
    """
    return fact.since, fact.turn or fact.id, fact.start if fact.turn else 0, fact.id


def _takes_back(fact: Fact) -> bool:
    """Whether it only takes another row back, and states nothing itself."""
    return fact.ends and fact.cancels != 0


def _closed(fact: Fact, name: str, holding: Collection[str]) -> list[str]:
    """The objects among those holding that a fact ends."""
    if fact.ends:
        return [one for one in holding if name in ("", one)]
    return [one for one in holding if fact.single and one != name]

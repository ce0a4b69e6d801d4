"""Which facts to tell a model with a message: those that answer it, those that speak of the same, those about the user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from ctxproc.memory.facts import Embed, Fact, Facts, key
from ctxproc.memory.recollect_turns import seconds
from ctxproc.memory.recollect_words import bare, stemmed
from ctxproc.text import words

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 40
"""Facts at most, however large the budget is."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact that is told.

    Attributes:
        fact: which.
        text: what it says; of one that holds no more, with the month in which it ended.
        why: it is told, and when it holds.
    """

    fact: Fact
    text: str
    why: str


def told(facts: Facts, message: str, embed: Embed | None, *, at: datetime, me: str) -> list[Told]:
    """The facts to tell, the most useful first, each once, `MOST` at most.

    First what answers the message (`ctxproc.memory.facts_ask`), such as what held before where it asks for that; then what
    shares words with it, whether it holds or did, the most words first; then what holds of the user, the latest first.
    What begins after ``at`` is not told.

    Args:
        facts: as far as they are known.
        message: may be empty.
        embed: makes vectors of the message and of relations; without, words decide alone.
        at: when they are to hold.
        me: the user, as the subject of facts.
    """
    found: dict[int, Told] = {}
    for fact, why in _chosen(facts, message, embed, at, me):
        if len(found) < MOST and fact.since <= at:
            found.setdefault(fact.id, Told(fact, _text(fact, at), f"{why}; {_held(fact, at)}"))
    return list(found.values())


def _chosen(facts: Facts, message: str, embed: Embed | None, at: datetime, me: str) -> Iterator[tuple[Fact, str]]:
    if message.strip():
        for answer in facts.ask(message, embed, now=at, me=me):
            yield answer.fact, f"answers the message ({answer.mode} {answer.score:.2f})"
    ever = [fact for fact in facts.all if fact.held and not fact.ends]
    asked = _stems(bare(message, ()))
    shared = {fact.id: len(asked & _stems(fact.text)) for fact in ever}
    for fact in sorted(ever, key=lambda fact: (-shared[fact.id], not fact.holds(at), -seconds(fact.since), fact.id)):
        if shared[fact.id]:
            yield fact, "shares words with the message"
    mine = [fact for fact in ever if fact.holds(at) and key(fact.subject) == key(me)]
    for fact in sorted(mine, key=lambda fact: (fact.since, fact.id), reverse=True):
        yield fact, f"holds of {fact.subject}"


@lru_cache(maxsize=1 << 14)
def _stems(text: str) -> frozenset[str]:
    return frozenset(words(stemmed(text), query=True))


def _text(fact: Fact, at: datetime) -> str:
    ended = fact.until is not None and fact.until <= at
    return f"{fact.text} (until {fact.until:%Y-%m})" if ended else fact.text


def _held(fact: Fact, at: datetime) -> str:
    since = f"since {fact.since.date().isoformat()}"
    if fact.until is None or fact.until > at:
        return since
    return f"{since}, until {fact.until.date().isoformat()}"

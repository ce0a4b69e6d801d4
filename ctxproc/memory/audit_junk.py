"""Facts that nobody stated: of programs' messages, of words that were somebody else's, about people nobody mentioned."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from ctxproc.memory.bank_days import day_of
from ctxproc.memory.bank_junk import ECHO, HEARD, REPEATS, machine, mentioned, shape, spoken
from ctxproc.memory.bank_learn import statements
from ctxproc.memory.bank_ledger import OTHERS
from ctxproc.memory.base import Passage
from ctxproc.memory.extract.base import own_words, speaker_of
from ctxproc.memory.facts import Fact


def junk(facts: Iterable[Fact], shelf: Mapping[int, Passage]) -> Iterator[tuple[Fact, str]]:
    """Those of some facts that are junk by their form, and why.

    Args:
        facts: each with a user's turn on the shelf.
        shelf: all passages by number.
    """
    facts = list(facts)
    repeated = _repeated(shelf.values())
    echoes = _echoes(facts, shelf)
    users = [one for one in shelf.values() if one.note.metadata.get("role") == "user"]
    texts = [f"{spoken(one.text)}{spoken(speaker_of(one))}" for one in users]
    known: dict[str, bool] = {}
    for fact in facts:
        turn = shelf[fact.turn]
        if fact.subject not in known:
            near = [spoken(turn.text), spoken(speaker_of(turn))]
            known[fact.subject] = mentioned(fact.subject, near) or any(
                mentioned(fact.subject, [text]) for text in texts
            )
        if machine(turn.text):
            yield fact, f"turn {turn.id} is a program's message or an instruction to a model"
        elif turn.id in repeated:
            yield (
                fact,
                f"turn {turn.id}, names and numbers aside, is the same on {repeated[turn.id]} days, as a program's is",
            )
        elif fact.id in echoes:
            yield fact, f"turn {turn.id} repeats passage {echoes[fact.id]} word for word, which is not the user's"
        elif not known[fact.subject]:
            yield fact, f"no user ever mentioned {fact.subject}"


def _repeated(passages: Iterable[Passage]) -> dict[int, int]:
    """The user's turns that are the same as others but for names and numbers, and on how many days."""
    same: dict[bytes, list[Passage]] = {}
    for one in passages:
        form = shape(one.text) if one.note.metadata.get("role") == "user" else None
        if form:
            same.setdefault(form, []).append(one)
    days = [(group, len({day_of(one.note) for one in group})) for group in same.values()]
    return {one.id: number for group, number in days if number >= REPEATS for one in group}


def _echoes(facts: Iterable[Fact], shelf: Mapping[int, Passage]) -> dict[int, int]:
    """Facts whose statement stands in one of the `HEARD` turns of others before it, and which turn that is.

    As `ctxproc.memory.bank_junk.echoed` of every statement and every such turn, yet each turn is read once.
    """
    begins: dict[tuple[str, ...], list[tuple[Fact, str]]] = {}
    for fact in facts:
        turn = shelf[fact.turn]
        own = [(start, end) for start, end in own_words(turn) if start < fact.end and fact.start < end]
        for said in map(spoken, statements(turn, fact.start, own)):
            if len(said.split()) >= ECHO:
                begins.setdefault(tuple(said.split()[:ECHO]), []).append((fact, said))
    others = [one for one in shelf.values() if one.note.metadata.get("role") in OTHERS]
    ids = [other.id for other in others]
    found: dict[int, int] = {}
    for nth, other in enumerate(others if begins else ()):
        text = spoken(other.text)
        heard = text.split()
        for place in range(len(heard) - ECHO + 1):
            for fact, said in begins.get(tuple(heard[place : place + ECHO]), ()):
                if nth < bisect_left(ids, fact.turn) <= nth + HEARD and said in text:
                    found.setdefault(fact.id, other.id)
    return found

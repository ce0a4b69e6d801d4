"""What a turn teaches: the facts of its extractor that are not known yet and that the user can have meant."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from ctxproc.memory.bank_junk import echoed, machine, mentioned, spoken
from ctxproc.memory.base import Note, Passage
from ctxproc.memory.extract.base import own_words, speaker_of
from ctxproc.memory.facts import Fact, Facts, fact_note, key

if TYPE_CHECKING:
    from ctxproc.memory.extract.base import Extractor, Triple


def learned(
    turn: Passage, extractor: Extractor, facts: Facts, others: Callable[[], Sequence[str]], *, restate: bool = False
) -> list[Note]:
    """The facts that a turn adds, in the order in which they stand; none where it is not the user's own.

    Left out is what this turn has taught already, what restates a fact that holds (it keeps its first ``since``) and is all
    that the turn says of it ("I moved to Paris. I live in Rome." says two things where it was Rome before), what stands word
    for word in something that somebody else said before, and what is about someone the turn does not name.

    Args:
        turn: any passage.
        extractor: finds the triples.
        facts: all that are there.
        others: gives what the assistant and tools said before, as `ctxproc.memory.bank_junk.spoken` gives it.
        restate: what restates a fact is given, too, as where turns before this one are still to be read.
    """
    own = own_words(turn)
    if not own or machine(turn.text):
        return []
    triples = extractor.extract(turn)
    if not triples:
        return []
    rows = (fact for triple in triples for fact in facts.rows(triple.subject, triple.relation))
    there = {_key(fact) for fact in rows if fact.turn == turn.id}
    about = Counter(name[:2] for name in {_key(triple) for triple in triples if triple.single or triple.ends})
    heard = others()
    notes: list[Note] = []
    for triple in triples:
        name = _key(triple)
        again = not restate and about[name[:2]] <= 1 and restated(triple, turn.note.time, facts)
        if name not in there and not again and sound(triple, turn, own, heard):
            there.add(name)
            notes.append(fact_note(triple, turn, extractor.name))
    return notes


def sound(triple: Triple, turn: Passage, own: Sequence[tuple[int, int]], others: Sequence[str]) -> bool:
    """Whether the user can have meant it: it stands in his own words, is no echo, and its subject is named there."""
    said = [(start, end) for start, end in own if start < triple.end and triple.start < end]
    if not said or any(echoed(text, others) for text in statements(turn, triple.start, said)):
        return False
    return mentioned(triple.subject, [spoken(turn.text), spoken(speaker_of(turn))])


def statements(turn: Passage, start: int, said: Sequence[tuple[int, int]]) -> list[str]:
    """What may be an echo: sentences, and a sentence from where the fact begins: others' words may follow one's own."""
    return [turn.text[low:high] for low, end in said for low, high in {(low, end), (max(low, start), end)}]


def restated(triple: Triple, said: datetime, facts: Facts) -> bool:
    """Whether it says again what was said before and holds when it says so."""
    since = triple.since or said
    if triple.ends:
        return False
    held = facts.read(triple.subject, triple.relation, triple.object, history=True)
    return any(fact.holds(since) and fact.said <= said for fact in held)


def late(facts: Facts, after: int, turns: Sequence[tuple[int, datetime]]) -> Callable[[Passage], bool] | None:
    """Tells of a turn whether it may say anew what, as is known by now, did not hold any more when it said so; None of none.

    It may where a fact that was told later ends that value at an earlier time ("I moved to Rome in March."), since what
    restates a fact is not kept.

    Args:
        facts: all that are there.
        after: facts with a higher number than this are new.
        turns: numbers and times of the user's turns, ascending by number.
    """
    numbers = [number for number, _ in turns]
    latest = list(accumulate((time for _, time in turns), max))
    ended: dict[tuple[str, str], datetime] = {}
    for fact in facts.all:
        told = bisect_left(numbers, fact.turn or fact.id)
        closes = (fact.single or fact.ends) and not fact.cancels
        if fact.id > after and closes and told and latest[told - 1] > fact.since:
            name = key(fact.subject), key(fact.relation)
            ended[name] = min(fact.since, ended.get(name, fact.since))
    objects = {name: {one.object.casefold() for one in facts.rows(*name)} - {""} for name in ended}

    def concerned(turn: Passage) -> bool:
        text = turn.text.casefold()
        return any(
            turn.note.time > since and any(one in text for one in objects[name]) for name, since in ended.items()
        )

    return concerned if ended else None


def superfluous(facts: Facts) -> Iterator[Fact]:
    """The facts that only restate another one: they never held, since one said before them held already.

    Without them the others hold as they do with them. What was taken back as never true is not among them.
    """
    cancelled = {fact.cancels for fact in facts.all if fact.cancels}
    for fact in facts.all:
        if fact.held or fact.ends or fact.cancels or fact.id in cancelled:
            continue
        same = facts.read(fact.subject, fact.relation, fact.object, history=True)
        if any(one.holds(fact.since) and one.said <= fact.said for one in same):
            yield fact


def _key(fact: Fact | Triple) -> tuple[str, str, str, bool]:
    """What makes two facts of one turn the same."""
    return key(fact.subject), key(fact.relation), key(fact.object), fact.ends
